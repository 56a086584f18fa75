//! A loaded model: text to windows of tokens, windows to scores.

use std::sync::Arc;

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::model::Classifier;
use crate::model::ops::threads::together;
use crate::model::progress::Meter;
use crate::model::source::Source;
use crate::panic;

/// A loaded model and the threads that run it.
pub struct Detector {
    classifier: Classifier,
    name: String,
    threads: rayon::ThreadPool,
}

impl Detector {
    /// Finds, if need be downloads, and loads the model of `config`. The second value is what the
    /// user should be told about it, if anything.
    ///
    /// # Errors
    /// Those of [`Source::find`] and of [`Classifier::load`].
    pub fn load(config: &ModelConfig, meter: &Arc<Meter>) -> Result<(Self, Option<String>)> {
        let source = Source::find(&config.choice, &config.hub, meter)?;
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(config.threads.get())
            .thread_name(|index| format!("{}{index}", panic::THREAD))
            .build()
            .map_err(|error| Error::Internal(format!("the threads cannot start: {error}")))?;
        let classifier =
            threads.install(|| Classifier::load(&source.files, config.labels.as_deref(), config.precision))?;
        Ok((Detector { classifier, name: source.name, threads }, source.warning))
    }

    /// The `model_name` of this detector's scores.
    pub fn model_name(&self) -> &str {
        &self.name
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Has `work` done on one of these threads.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        self.threads.spawn(work);
    }

    /// The windows of token ids whose highest score is that of `text`: one for a text that fits
    /// the model, else several that overlap.
    ///
    /// # Errors
    /// [`Error::Internal`] if the tokenizer fails.
    pub fn windows(&self, text: &str) -> Result<Vec<Vec<u32>>> {
        #[cfg(feature = "faults")]
        assert!(!text.contains("fault: panic"), "{text}");
        self.classifier.tokenizer().windows(text)
    }

    /// The unrounded score of each window, 0 to 1. It depends on that window alone, to the last
    /// bit.
    ///
    /// Must be called on one of this detector's threads, over `threads` of which the work
    /// is split.
    ///
    /// # Errors
    /// [`Error::Internal`] when the arithmetic fails.
    pub fn score(&self, windows: &[&[u32]], threads: usize) -> Result<Vec<f64>> {
        let logits = together(threads, |threads| self.classifier.logits(windows, threads))?;
        Ok(logits.iter().map(|logits| self.classifier.labels().score(logits)).collect())
    }
}
