//! The arithmetic that decides the speed, as candle custom ops on tensors of the processor.
//!
//! Each op owns its packed weights, writes into a tensor of the caller's workspace, and allocates
//! nothing. The loops are written once over [`rten_simd::Isa`] and compiled for AVX-512, AVX2 and
//! NEON; [`level::Level`] picks one when the program runs.
//!
//! | module | what it is for |
//! |---|---|
//! | [`buffer`] | memory for weights |
//! | [`level`] | which vector instructions this processor has, and the way to them |
//! | [`gemm`] | the product of a few rows with one packed panel of a matrix, in f32 and int8 |
//! | [`matrix`] | a weight matrix packed into panels, in f32 or int8 |
//! | [`linear`] | `x W + b`, with the activation, or the residual and layer norm, fused |
//! | [`attention`] | scaled dot-product attention over sequences of any lengths, without padding |
//! | [`first`] | attention of first tokens alone, for the last block |
//! | `gelu` | the exact GELU, of each lane |
//! | [`norm`] | layer norm |
//! | [`embedding`] | word and position vectors, read from the file where it is mapped |
//! | [`quantize`] | rows of activations to 8 bits, each with its own scale |
//! | `vector` | loops over a row in vectors |
//! | [`threads`] | one op split over the threads of its pool |
//!
//! A row of an op's result depends on that row of its input alone, and every sum runs in one
//! order whatever the number of rows or threads: so a text's score is the same to the last bit in
//! every batch.

pub mod attention;
pub mod buffer;
pub mod embedding;
pub mod first;
mod gelu;
pub mod gemm;
pub mod level;
pub mod linear;
pub mod matrix;
pub mod norm;
pub mod quantize;
pub mod threads;
mod vector;

use std::ops::Range;

use candle_core::{CpuStorage, Layout, Result, bail};

/// A matrix of `f32`, seen through a candle layout: rows of unit stride.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// From the first element to the last.
    pub data: &'a [f32],
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub columns: usize,
    /// Distance between the starts of rows.
    pub stride: usize,
}

impl<'a> Rows<'a> {
    /// A whole matrix without gaps.
    pub fn new(data: &'a [f32], columns: usize) -> Self {
        Rows { data, rows: data.len() / columns, columns, stride: columns }
    }

    fn of(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let (rows, columns, stride) = shape_of(layout)?;
        let data = &storage.as_slice::<f32>()?[layout.start_offset()..];
        Ok(Rows { data: &data[..span(rows, columns, stride)], rows, columns, stride })
    }

    /// One row.
    #[inline]
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.data[index * self.stride..][..self.columns]
    }

    /// Some of the rows.
    pub fn rows(&self, range: Range<usize>) -> Self {
        let data = &self.data[range.start * self.stride..];
        Rows { data: &data[..span(range.len(), self.columns, self.stride)], rows: range.len(), ..*self }
    }

    /// The columns from `start` on.
    pub fn narrow(&self, start: usize, columns: usize) -> Self {
        Rows { data: &self.data[start..], columns, ..*self }
    }
}

/// The rows of a contiguous tensor that an op writes.
fn rows_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<(&'a mut [f32], usize)> {
    let (rows, columns, stride) = shape_of(layout)?;
    if stride != columns {
        bail!("the output of an op must be contiguous");
    }
    let start = layout.start_offset();
    match storage {
        CpuStorage::F32(data) => Ok((&mut data[start..start + rows * columns], columns)),
        _ => bail!("the output of an op must be f32"),
    }
}

fn shape_of(layout: &Layout) -> Result<(usize, usize, usize)> {
    let (rows, columns) = layout.shape().dims2()?;
    match *layout.stride() {
        [stride, 1] => Ok((rows, columns, stride)),
        _ => bail!("an op's rows must have unit stride"),
    }
}

/// Elements from the first of a strided matrix to its last.
fn span(rows: usize, columns: usize, stride: usize) -> usize {
    if rows == 0 { 0 } else { (rows - 1) * stride + columns }
}
