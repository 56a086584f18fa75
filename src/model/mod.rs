//! A model directory becomes a [`Classifier`]: token ids to one logit per label.

pub mod distilbert;
pub mod files;
pub mod hub;
pub mod ops;
pub mod progress;
pub mod source;
pub mod tokenizer;
pub(crate) mod weights;

use crate::config::Precision;
use crate::error::{Error, Result};
use distilbert::{DistilBert, DistilBertConfig};
use files::ModelFiles;
use ops::level::Level;
use ops::threads::Threads;
use tokenizer::Tokenizer;
use weights::Weights;

/// A sequence classifier with its tokenizer.
pub struct Classifier {
    tokenizer: Tokenizer,
    network: DistilBert,
    anomalous: Vec<usize>,
}

impl Classifier {
    /// Loads the model in `files`; `labels` are the names that count as anomalous, in any case.
    /// The threads of the pool that this is called in share the work.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] for a missing file, [`Error::ModelInvalid`] for one that cannot be
    /// used; both name the file, what was found and what would be right.
    pub fn load(files: &ModelFiles, labels: &[String], precision: Precision) -> Result<Self> {
        let config = DistilBertConfig::read(files)?;
        let anomalous = anomalous_labels(&config, labels, files)?;
        let tokenizer = Tokenizer::load(files, &config)?;
        let weights = Weights::parse(files.read_weights()?, files.describe(files::WEIGHTS))?;
        let network = DistilBert::load(&config, &weights, precision, Level::best())?;
        let classifier = Classifier { tokenizer, network, anomalous };
        classifier.check(files)?;
        Ok(classifier)
    }

    /// The tokenizer that belongs to the network.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Indices of the labels whose probabilities add up to the anomaly score.
    pub fn anomalous(&self) -> &[usize] {
        &self.anomalous
    }

    /// One logit per label for each of `sequences`, of token ids with their special tokens.
    ///
    /// # Errors
    /// [`Error::Internal`] when the arithmetic fails or gives a value that is not finite.
    pub fn logits(&self, sequences: &[&[u32]], threads: Threads<'_>) -> Result<Vec<Vec<f32>>> {
        let logits = self.network.forward(sequences, threads).map_err(|error| Error::Internal(error.to_string()))?;
        if logits.iter().flatten().all(|logit| logit.is_finite()) {
            Ok(logits)
        } else {
            Err(Error::Internal("the model gave a logit that is not finite".to_owned()))
        }
    }

    /// Scores the empty text once, so that weights with NaN or infinities fail here, where the
    /// message can name the file, and not at the first log line.
    fn check(&self, files: &ModelFiles) -> Result<()> {
        let ids = self.tokenizer.windows("")?.concat();
        self.logits(&[&ids], Threads::ONE).map(drop).map_err(|error| {
            Error::ModelInvalid(format!("{} cannot score a text: {error}", files.describe(files::WEIGHTS)))
        })
    }
}

/// Indices of the `wanted` labels among those of the model.
fn anomalous_labels(config: &DistilBertConfig, wanted: &[String], files: &ModelFiles) -> Result<Vec<usize>> {
    let labels = config.labels();
    wanted
        .iter()
        .map(|name| {
            labels.iter().position(|label| label.eq_ignore_ascii_case(name)).ok_or_else(|| {
                Error::ModelInvalid(format!(
                    "{} has no label {name:?} in id2label; its labels are {labels:?}; \
                     set ANOMALY_LABELS to those that mean an anomaly",
                    files.describe(files::CONFIG),
                ))
            })
        })
        .collect()
}
