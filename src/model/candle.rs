//! Networks of candle-transformers: f32, one sequence at a time.

use std::fmt::Display;
use std::panic::resume_unwind;
use std::thread;

use candle_core::{DType, Device, Error as CandleError, Result as CandleResult, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::network::Network;
use super::ops::threads::Threads;
use super::weights::Weights;
use crate::config::Precision;
use crate::error::{Error, Result};
use crate::panic;

/// Token ids of one sequence, `[1, tokens]`, to its logits, `[1, labels]`.
type Forward = Box<dyn Fn(&Tensor) -> CandleResult<Tensor> + Send + Sync>;

/// A network of candle-transformers, and the threads that it computes on.
pub struct CandleNetwork {
    forward: Forward,
    threads: ThreadPool,
}

impl CandleNetwork {
    /// Has `build` make the network out of `weights`, for the `family` of that name. It computes on as
    /// many threads as the pool has that this is called in.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for another precision than f32, [`Error::ModelInvalid`] where `build`
    /// fails.
    pub fn load(
        family: &str,
        weights: &Weights,
        precision: Precision,
        build: impl FnOnce(VarBuilder<'static>) -> CandleResult<Forward>,
    ) -> Result<Box<dyn Network>> {
        if precision != Precision::F32 {
            return Err(Error::InvalidConfig(format!(
                "ANOMALY_PRECISION is int8, and models of the family {family} are computed in f32 alone"
            )));
        }
        let backend: Box<dyn SimpleBackend> = Box::new(Backend(weights.clone()));
        let forward = build(VarBuilder::from_backend(backend, DType::F32, Device::Cpu))
            .map_err(|error| Error::ModelInvalid(error.to_string()))?;
        let threads = ThreadPoolBuilder::new()
            .num_threads(rayon::current_num_threads())
            .thread_name(|index| format!("{}candle-{index}", panic::THREAD))
            .build()
            .map_err(|error| Error::Internal(format!("the threads cannot start: {error}")))?;
        Ok(Box::new(CandleNetwork { forward, threads }))
    }

    fn logits(&self, ids: &[u32]) -> CandleResult<Vec<f32>> {
        let ids = Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu)?;
        (self.forward)(&ids)?.squeeze(0)?.to_vec1()
    }
}

impl Network for CandleNetwork {
    fn forward(&self, sequences: &[&[u32]], _: Threads<'_>) -> CandleResult<Vec<Vec<f32>>> {
        // candle splits its products with rayon. A worker's thread belongs to a pool too: one that waited for
        // rayon would meanwhile take up the work of another worker, and leave its own batch until the queue
        // is empty. Waiting for a plain thread it does nothing else.
        thread::scope(|scope| {
            let compute = || self.threads.install(|| sequences.iter().map(|ids| self.logits(ids)).collect());
            let builder = thread::Builder::new().name(format!("{}candle", panic::THREAD));
            builder.spawn_scoped(scope, compute)?.join().unwrap_or_else(|payload| resume_unwind(payload))
        })
    }
}

/// Gives candle the tensors of [`Weights`].
struct Backend(Weights);

impl SimpleBackend for Backend {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> CandleResult<Tensor> {
        let tensor = self.0.map(name, shape.dims()).map_err(CandleError::wrap)?;
        let elements = tensor.elements().into_owned();
        tensor.release();
        Tensor::from_vec(elements, shape, device)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> CandleResult<Tensor> {
        // Every network here says which shape it wants.
        Err(CandleError::wrap(self.0.invalid(name, "asked for without a shape")))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.has(name)
    }
}

/// Says that a field has another value than `supported`.
///
/// # Errors
/// Where it has.
pub fn only<T: PartialEq + Display>(field: &str, found: T, supported: T) -> std::result::Result<(), String> {
    if found == supported {
        return Ok(());
    }
    Err(format!("{field} is {found}; only {supported} is supported"))
}
