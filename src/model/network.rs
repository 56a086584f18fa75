//! What the file of a family provides: the plan of a network, and the network that is loaded by it.

use std::fmt::Debug;

use candle_core::Result as CandleResult;

use super::ops::threads::Threads;
use super::weights::Weights;
use crate::config::Precision;
use crate::error::Result;

/// The plan that a `config.json` holds, or what in it is of another type than it must be.
pub type Planned = serde_json::Result<Box<dyn Plan>>;

/// What `config.json` says of a network.
pub trait Plan: Debug + Send + Sync {
    /// Rows of the table of word vectors.
    fn vocabulary(&self) -> usize;

    /// Longest sequence, in tokens with the special ones.
    fn max_tokens(&self) -> usize;

    /// Whether the network can be computed, before its weights are looked at.
    ///
    /// # Errors
    /// Which field has which value, and what would be right.
    fn check(&self) -> std::result::Result<(), String>;

    /// Loads the network; the threads of the pool that this is called in share the work.
    ///
    /// # Errors
    /// [`Error::ModelInvalid`](crate::error::Error::ModelInvalid) for a tensor that is missing or of
    /// another shape, [`Error::InvalidConfig`](crate::error::Error::InvalidConfig) for a precision that
    /// the family does not have.
    fn load(&self, weights: &Weights, precision: Precision) -> Result<Box<dyn Network>>;
}

/// A network that classifies sequences.
pub trait Network: Send + Sync {
    /// One logit per label for each of `sequences`, of token ids, with at most
    /// [`Plan::max_tokens`] tokens each. They depend on that sequence alone, to the last bit.
    ///
    /// # Errors
    /// candle's, for ids or lengths out of bounds.
    fn forward(&self, sequences: &[&[u32]], threads: Threads<'_>) -> CandleResult<Vec<Vec<f32>>>;
}

/// Whether sizes make sense, each with what it is called, and whether `heads` share vectors of `dim`.
///
/// # Errors
/// Which does not.
pub fn check_sizes(sizes: &[(&str, usize)], dim: usize, heads: usize) -> std::result::Result<(), String> {
    for &(what, value) in
        sizes.iter().chain(&[("the size of the hidden vectors", dim), ("the number of attention heads", heads)])
    {
        // The upper bound only keeps products of sizes from overflowing.
        if !(1..=1 << 24).contains(&value) {
            return Err(format!("{what} is {value}, which makes no sense"));
        }
    }
    if !dim.is_multiple_of(heads) {
        return Err(format!("hidden vectors of {dim} elements cannot be shared by {heads} attention heads"));
    }
    Ok(())
}
