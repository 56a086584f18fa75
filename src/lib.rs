//! Tells which audit log lines are anomalous.
//!
//! The score of a line is the probability that a DistilBERT sentiment classifier gives to its
//! `NEGATIVE` label; a line is flagged from a threshold up. One log line goes through the crate
//! like this: a face ([`node`]) takes it, the [`detector`] cuts it into windows of tokens, the
//! [`model`] turns each window into logits, and [`analysis`] turns logits into the reported score.
//!
//! | module | what it is for |
//! |---|---|
//! | [`error`] | the one error type, and the stable code of each case |
//! | [`config`] | every setting, read and checked in one place |
//! | [`analysis`] | from logits to the reported score and verdict |
//! | [`detector`] | text to score, and the one detector of the process, loaded when first needed |
//! | [`model`] | where a model comes from, its tokenizer, and the DistilBERT classifier |
//! | [`node`] | the Node.js addon; the only place with napi types |

pub mod analysis;
pub mod config;
pub mod detector;
pub mod error;
pub mod model;
#[cfg(feature = "node")]
pub mod node;
