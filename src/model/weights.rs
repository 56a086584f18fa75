//! Named tensors of safetensors files, each checked against the shape that is expected.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::files::{Bytes, ModelFiles};
use crate::error::{Error, Result};

/// The tensors of a model, in one file or several; those below a prefix after [`at`](Weights::at).
#[derive(Clone)]
pub struct Weights {
    shards: Arc<[Shard]>,
    prefix: String,
}

/// One safetensors file.
struct Shard {
    file: Arc<Bytes>,
    metadata: Metadata,
    /// Where the tensors' bytes start in the file.
    start: usize,
    /// How messages call the file.
    name: String,
}

impl Shard {
    fn parse(file: Bytes, name: String) -> Result<Self> {
        // `deserialize` also checks that the tensors fill the file without gaps or overlaps.
        let header = SafeTensors::deserialize(&file).and_then(|_| SafeTensors::read_metadata(&file));
        match header {
            // Eight bytes say how long the header is.
            Ok((length, metadata)) => Ok(Shard { file: Arc::new(file), metadata, start: 8 + length, name }),
            Err(error) => Err(Error::ModelInvalid(format!(
                "{name} ({} bytes) is not a whole safetensors file: {error}; fetch it again",
                file.len()
            ))),
        }
    }
}

impl Weights {
    /// Reads the headers of the model's weight files.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] for a missing file, [`Error::ModelInvalid`] for a header that is cut,
    /// corrupt, or does not fit the data.
    pub fn open(files: &ModelFiles) -> Result<Self> {
        let shards = files
            .weight_files()?
            .into_iter()
            .map(|name| Shard::parse(files.map(&name)?, files.describe(&name)))
            .collect::<Result<_>>()?;
        Ok(Weights { shards, prefix: String::new() })
    }

    /// Size of the files together.
    pub fn file_bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.file.len()).sum()
    }

    /// The tensors whose names start with `name` and a dot.
    pub fn at(&self, name: impl Display) -> Self {
        Weights { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// Whether there is a tensor `name`.
    pub fn has(&self, name: &str) -> bool {
        self.shard(name).is_some()
    }

    fn shard(&self, name: &str) -> Option<(&Shard, &TensorInfo)> {
        let full_name = format!("{}{name}", self.prefix);
        self.shards.iter().find_map(|shard| Some((shard, shard.metadata.info(&full_name)?)))
    }

    /// The tensor `name`, which must have `shape`, left where it is.
    ///
    /// # Errors
    /// [`Error::ModelInvalid`] if it is missing, of another shape, or not of floating point.
    pub fn map(&self, name: &str, shape: &[usize]) -> Result<MappedTensor> {
        let invalid = |found: &str| self.invalid(name, &format!("{found}; its shape must be {shape:?}"));
        let (shard, info) = self.shard(name).ok_or_else(|| invalid("not in the file"))?;
        if info.shape != shape {
            return Err(invalid(&format!("found shape {:?}", info.shape)));
        }
        if !matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return Err(invalid(&format!("found type {:?}, not F32, F16 or BF16", info.dtype)));
        }
        let (start, end) = info.data_offsets;
        Ok(MappedTensor {
            file: shard.file.clone(),
            place: shard.start + start..shard.start + end,
            dtype: info.dtype,
            columns: shape.last().copied().unwrap_or(1),
        })
    }

    /// The elements of the tensor `name`, which must have `shape`.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        Ok(self.map(name, shape)?.elements().into_owned())
    }

    /// What is wrong with the tensor `name`.
    pub fn invalid(&self, name: &str, found: &str) -> Error {
        let place = match &*self.shards {
            [only] => only.name.as_str(),
            _ => self.shard(name).map_or("the weights", |(shard, _)| shard.name.as_str()),
        };
        Error::ModelInvalid(format!("{place}: tensor {}{name}: {found}", self.prefix))
    }
}

/// A tensor that stays in its file.
pub struct MappedTensor {
    file: Arc<Bytes>,
    place: Range<usize>,
    dtype: Dtype,
    columns: usize,
}

impl MappedTensor {
    fn bytes(&self) -> &[u8] {
        &self.file[self.place.clone()]
    }

    fn row_bytes(&self) -> usize {
        self.columns * self.dtype.bitsize() / 8
    }

    /// Every element as `f32`, without a copy where the file has them so.
    pub fn elements(&self) -> Cow<'_, [f32]> {
        if self.dtype == Dtype::F32 && cfg!(target_endian = "little") {
            // SAFETY: every pattern of bits is an `f32`.
            let (before, elements, after) = unsafe { self.bytes().align_to::<f32>() };
            if before.is_empty() && after.is_empty() {
                return Cow::Borrowed(elements);
            }
        }
        let mut elements = vec![0.0; self.bytes().len() * 8 / self.dtype.bitsize()];
        decode(self.dtype, self.bytes(), &mut elements);
        Cow::Owned(elements)
    }

    /// Whether there is a row of this index.
    pub fn has_row(&self, index: usize) -> bool {
        index < self.place.len() / self.row_bytes()
    }

    /// Writes the elements of one row to `out`.
    pub fn read_row(&self, index: usize, out: &mut [f32]) {
        decode(self.dtype, &self.bytes()[index * self.row_bytes()..][..self.row_bytes()], out);
    }

    /// Says that the tensor is not needed soon: the system takes its pages back, and reads the
    /// file again should it be.
    pub fn release(self) {
        self.file.release(self.place.clone());
    }
}

/// Decodes little-endian numbers.
fn decode(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::F16 => decode_half(bytes, out, f16::from_le_bytes),
        Dtype::BF16 => decode_half(bytes, out, bf16::from_le_bytes),
        _ => {
            for (element, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *element = f32::from_le_bytes(*bytes);
            }
        }
    }
}

fn decode_half<T: Copy + Default>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; 2]) -> T)
where
    [T]: HalfFloatSliceExt,
{
    let mut numbers = [T::default(); 128];
    for (bytes, out) in bytes.chunks(2 * numbers.len()).zip(out.chunks_mut(numbers.len())) {
        let numbers = &mut numbers[..out.len()];
        for (place, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *place = number(*bytes);
        }
        numbers.convert_to_f32_slice(out);
    }
}
