//! A weight matrix packed into panels, in f32 or int8.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::{AsView, NdTensor, NdTensorView};

use super::Rows;
use super::buffer::{Arena, Buffer, Scratch};
use super::gemm::{MultiplyF32, MultiplyInt8};
use super::level::{Arch, Level, Op};
use super::quantize::{Quantized, padded};
use super::vector::range;
use crate::config::Precision;
use crate::error::{Error, Result};

/// Columns of a panel where `rten-gemm` multiplies: it packs the activations anew for each panel.
const LIBRARY_COLUMNS: usize = 256;

/// The largest quantized weight.
const LARGEST: f32 = 127.0;

/// A matrix of shape `[inputs, outputs]`.
pub struct Matrix {
    /// The instructions it is packed for.
    pub level: Level,
    /// Columns of the left-hand side of a product.
    pub inputs: usize,
    /// Columns of the result.
    pub outputs: usize,
    /// Columns of a panel; the last panel is filled up with zeros.
    pub columns: usize,
    /// The weights.
    pub weights: Weights,
}

/// Packed weights.
pub enum Weights {
    /// Panels of `[inputs][columns]`.
    F32(Buffer<f32>),
    /// Whole numbers with a scale for each output.
    Int8 {
        /// The numbers, -127 to 127.
        panels: Int8Panels,
        /// By what an output's numbers are to be multiplied; padded to whole panels.
        scales: Vec<f32>,
        /// The sum of an output's numbers; padded to whole panels.
        sums: Vec<i32>,
    },
}

/// Panels in int8.
pub enum Int8Panels {
    /// Of `[padded inputs / 4][columns][4]`, for [`MultiplyInt8`].
    Dot(Buffer<i8>),
    /// As `rten-gemm` packs them for this processor.
    Library(Vec<PackedBMatrix<i8>>),
}

/// The left-hand side of a product.
pub enum Input<'a> {
    /// For f32 weights.
    F32(Rows<'a>),
    /// For int8 weights.
    Int8 {
        /// The activations.
        activations: &'a Quantized,
        /// Which of their rows.
        rows: Range<usize>,
    },
}

impl Input<'_> {
    /// Some of the rows.
    pub fn narrow(&self, within: Range<usize>) -> Self {
        match self {
            Input::F32(x) => Input::F32(x.rows(within)),
            Input::Int8 { activations, rows } => {
                Input::Int8 { activations, rows: rows.start + within.start..rows.start + within.end }
            }
        }
    }
}

/// The sums of one panel, `[rows][columns]`; the memory is kept from one use to the next.
#[derive(Default)]
pub struct Sums {
    /// In f32.
    pub f32: Scratch<f32>,
    /// In int8.
    pub int8: Scratch<i32>,
}

impl Matrix {
    /// Packs the rows of `blocks`, of `inputs` elements each: every row holds the weights of one
    /// output, as the files have them. Several blocks are stacked. The threads of the pool that
    /// this is called in share the work.
    ///
    /// # Errors
    /// [`Error::ModelInvalid`] for a weight that is not finite, [`Error::Internal`] without memory.
    pub fn pack(
        arena: &Arc<Arena>,
        level: Level,
        precision: Precision,
        inputs: usize,
        blocks: &[&[f32]],
    ) -> Result<Self> {
        let rows: Vec<&[f32]> = blocks.iter().flat_map(|block| block.chunks_exact(inputs)).collect();
        let outputs = rows.len();
        match precision {
            Precision::F32 => {
                let columns = level.panel_columns();
                let mut panels = arena.take(inputs * outputs.next_multiple_of(columns))?;
                panels.par_chunks_exact_mut(inputs * columns).zip(rows.par_chunks(columns)).for_each(
                    |(panel, rows)| {
                        level.run(PackF32 { rows, columns, panel });
                    },
                );
                Ok(Matrix { level, inputs, outputs, columns, weights: Weights::F32(panels) })
            }
            Precision::Int8 => {
                let columns = if level.has_dot() { level.panel_columns() } else { LIBRARY_COLUMNS };
                let (depth, all) = (padded(inputs), outputs.next_multiple_of(columns));
                let mut panels = arena.take(depth * all)?;
                let (mut scales, mut sums) = (vec![0.0; all], vec![0; all]);
                let places = scales.par_chunks_exact_mut(columns).zip(sums.par_chunks_exact_mut(columns));
                panels.par_chunks_exact_mut(depth * columns).zip(rows.par_chunks(columns)).zip(places).try_for_each(
                    |((panel, rows), (scales, sums))| level.run(PackInt8 { rows, columns, panel, scales, sums }),
                )?;
                let panels = if level.has_dot() {
                    Int8Panels::Dot(panels)
                } else {
                    Int8Panels::Library(
                        panels.chunks_exact(depth * columns).map(|panel| library(panel, columns)).collect(),
                    )
                };
                Ok(Matrix { level, inputs, outputs, columns, weights: Weights::Int8 { panels, scales, sums } })
            }
        }
    }

    /// The most memory of an arena that a packed matrix takes, in bytes.
    pub fn most_bytes(precision: Precision, inputs: usize, outputs: usize) -> usize {
        // No panel is wider.
        let all = outputs.next_multiple_of(LIBRARY_COLUMNS);
        match precision {
            Precision::F32 => inputs * all * size_of::<f32>(),
            Precision::Int8 => padded(inputs) * all,
        }
    }

    /// Number of panels.
    pub fn panels(&self) -> usize {
        self.outputs.div_ceil(self.columns)
    }

    /// Multiplies `input` with one panel.
    pub fn multiply(&self, panel: usize, input: &Input<'_>, sums: &mut Sums) {
        match (&self.weights, input) {
            (Weights::F32(panels), Input::F32(x)) => {
                let length = self.inputs * self.columns;
                sums.f32.grow(x.rows * self.columns);
                self.level.multiply_f32(MultiplyF32 {
                    a: x.data,
                    stride: x.stride,
                    rows: x.rows,
                    depth: self.inputs,
                    columns: self.columns,
                    panel: &panels[panel * length..][..length],
                    weights: true,
                    sums: &mut sums.f32,
                });
            }
            (Weights::Int8 { panels, .. }, Input::Int8 { activations, rows }) => {
                let depth = padded(self.inputs);
                let a = &activations.values[rows.start * depth..rows.end * depth];
                let rows = rows.len();
                sums.int8.grow(rows * self.columns);
                match panels {
                    Int8Panels::Dot(panels) => self.level.multiply_int8(MultiplyInt8 {
                        a,
                        rows,
                        depth,
                        panel: &panels[panel * depth * self.columns..][..depth * self.columns],
                        sums: &mut sums.int8,
                    }),
                    Int8Panels::Library(panels) => {
                        let a = GemmInputA::Unpacked(NdTensorView::from_data([rows, depth], a));
                        let sums = &mut sums.int8[..rows * self.columns];
                        GemmExecutor::<u8, i8, i32>::new()
                            .gemm(sums, a, GemmInputB::Packed(&panels[panel]), GemmOptions::default())
                            .expect("the shapes fit: they are this matrix's own");
                    }
                }
            }
            _ => unreachable!("the input is quantized if and only if the weights are"),
        }
    }
}

/// A panel of groups of 4 as `rten-gemm` wants it.
fn library(panel: &[i8], columns: usize) -> PackedBMatrix<i8> {
    let depth = panel.len() / columns;
    let weights =
        NdTensor::from_fn([depth, columns], |[k, column]: [usize; 2]| panel[(k / 4 * columns + column) * 4 + k % 4]);
    GemmExecutor::<u8, i8, i32>::new().prepack_b(weights.view())
}

struct PackF32<'a> {
    rows: &'a [&'a [f32]],
    columns: usize,
    panel: &'a mut [f32],
}

impl Op for PackF32<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<A: Arch, const R: usize>(self, _: A) {
        // By cache lines of the rows, or each would be read from memory 16 times.
        const BLOCK: usize = 16;
        for (block, lines) in self.panel.chunks_mut(BLOCK * self.columns).enumerate() {
            for (index, line) in lines.chunks_exact_mut(self.columns).enumerate() {
                for (weight, row) in line.iter_mut().zip(self.rows) {
                    *weight = row[block * BLOCK + index];
                }
            }
        }
    }
}

struct PackInt8<'a> {
    rows: &'a [&'a [f32]],
    columns: usize,
    panel: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [i32],
}

impl Op for PackInt8<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn eval<A: Arch, const R: usize>(self, arch: A) -> Result<()> {
        for (column, row) in self.rows.iter().enumerate() {
            let Some((least, most)) = range(arch.isa(), row) else {
                return Err(Error::ModelInvalid("a weight is not finite".to_owned()));
            };
            let largest = most.max(-least);
            let (scale, inverse) = if largest > 0.0 { (largest / LARGEST, LARGEST / largest) } else { (0.0, 0.0) };
            let mut total = 0;
            for (k, group) in row.chunks(4).enumerate() {
                let place = &mut self.panel[(k * self.columns + column) * 4..][..4];
                for (number, weight) in place.iter_mut().zip(group) {
                    let rounded = round(weight * inverse);
                    total += rounded;
                    *number = rounded as i8;
                }
            }
            self.scales[column] = scale;
            self.sums[column] = total;
        }
        Ok(())
    }
}

/// To the nearest whole number, ties to even, for small `x`: adding 1.5 × 2^23 leaves no room for a
/// fraction. `f32::round_ties_even` would be a call where SSE 4.1 is not a given.
#[inline(always)]
fn round(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
}
