//! Tells which audit log lines are anomalous.
//!
//! The score of a line is the probability that a DistilBERT sentiment classifier gives to its
//! `NEGATIVE` label; a line is flagged from a threshold up. One log line goes through the crate
//! like this: a face ([`node`]) takes it and hands it to the [`engine`], where it waits in the
//! [`queue`] for a worker; the [`detector`] cuts it into windows of tokens, the [`model`] turns a
//! batch of windows into logits, and [`analysis`] turns logits into the reported score.
//!
//! | module | what it is for |
//! |---|---|
//! | [`error`] | the one error type, and the stable code of each case |
//! | [`config`] | every setting, read and checked in one place |
//! | [`analysis`] | from logits to the reported score and verdict |
//! | [`engine`] | the one engine of the process: the model, loaded when first needed, and its queue |
//! | [`queue`] | what waits to be scored, and the workers that score it in batches |
//! | [`cache`] | scores of texts that were scored before |
//! | [`detector`] | a loaded model: text to windows of tokens, windows to scores |
//! | [`model`] | where a model comes from, its tokenizer, and the DistilBERT classifier |
//! | [`panic`] | a panic becomes an error that repeats no text of a log |
//! | [`node`] | the Node.js addon; the only place with napi types |
//! | `json` | JSON as Python reads it, for the two below |
//! | `scan` | scores files and pipes of log lines |
//! | `server` | the HTTP service; the only place with axum types |

pub mod analysis;
pub mod cache;
pub mod config;
pub mod detector;
pub mod engine;
pub mod error;
#[cfg(feature = "server")]
pub mod json;
pub mod model;
#[cfg(feature = "node")]
pub mod node;
pub mod panic;
pub mod queue;
#[cfg(feature = "server")]
pub mod scan;
#[cfg(feature = "server")]
pub mod server;
