//! Named tensors of a safetensors file, each checked against the shape that is expected.

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;

use crate::error::{Error, Result};

/// The tensors of one file; those below a prefix after [`at`](Weights::at).
pub struct Weights<'a> {
    tensors: std::rc::Rc<SafeTensors<'a>>,
    file: String,
    prefix: String,
}

impl<'a> Weights<'a> {
    /// Reads the header of `bytes`; `file` is how messages call it.
    ///
    /// # Errors
    /// [`Error::ModelInvalid`] for a header that is cut, corrupt, or does not fit the data.
    pub fn parse(bytes: &'a [u8], file: String) -> Result<Self> {
        match SafeTensors::deserialize(bytes) {
            Ok(tensors) => Ok(Weights { tensors: tensors.into(), file, prefix: String::new() }),
            Err(error) => Err(Error::ModelInvalid(format!(
                "{file} ({} bytes) is not a whole safetensors file: {error}; fetch it again",
                bytes.len()
            ))),
        }
    }

    /// The tensors whose names start with `name` and a dot.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        Weights { tensors: self.tensors.clone(), file: self.file.clone(), prefix: format!("{}{name}.", self.prefix) }
    }

    /// The tensor `name` as `f32`, which must have `shape`.
    ///
    /// # Errors
    /// [`Error::ModelInvalid`] if it is missing, of another shape, or not of floating point.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let name = format!("{}{name}", self.prefix);
        let invalid = |found: String| {
            Error::ModelInvalid(format!("{}: tensor {name}: {found}; its shape must be {shape:?}", self.file))
        };
        let view = self.tensors.tensor(&name).map_err(|_| invalid("not in the file".to_owned()))?;
        if view.shape() != shape {
            return Err(invalid(format!("found shape {:?}", view.shape())));
        }
        if !matches!(view.dtype(), safetensors::Dtype::F32 | safetensors::Dtype::F16 | safetensors::Dtype::BF16) {
            return Err(invalid(format!("found type {:?}, not F32, F16 or BF16", view.dtype())));
        }
        let tensor = view.load(&Device::Cpu).and_then(|tensor| tensor.to_dtype(DType::F32));
        tensor.map_err(|error| invalid(error.to_string()))
    }
}
