//! A model directory becomes a [`Classifier`]: token ids to one logit per label.

pub(crate) mod bert;
pub(crate) mod candle;
pub(crate) mod deberta;
pub(crate) mod distilbert;
pub(crate) mod electra;
pub mod encoder;
pub mod family;
pub mod files;
pub mod hub;
pub mod labels;
pub(crate) mod modernbert;
pub mod network;
pub mod ops;
pub mod progress;
pub(crate) mod roberta;
pub mod source;
pub mod tokenizer;
pub(crate) mod weights;

use crate::config::Precision;
use crate::error::{Error, Result};
use family::Model;
use files::ModelFiles;
use labels::Labels;
use network::Network;
use ops::threads::Threads;
use tokenizer::Tokenizer;
use weights::Weights;

/// A sequence classifier with its tokenizer.
pub struct Classifier {
    tokenizer: Tokenizer,
    network: Box<dyn Network>,
    labels: Labels,
}

impl Classifier {
    /// Loads the model in `files`; `labels` are the names of those that mean an anomaly, in any case,
    /// or `None` to go by what the model calls them. The threads of the pool that this is called in
    /// share the work.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] for a missing file, [`Error::ModelInvalid`] for one that cannot be
    /// used; both name the file, what was found and what would be right. [`Error::InvalidConfig`] for a
    /// precision that the model's family does not have.
    pub fn load(files: &ModelFiles, labels: Option<&[String]>, precision: Precision) -> Result<Self> {
        let model = Model::read(files)?;
        let labels = Labels::choose(&model, labels, files)?;
        let tokenizer = Tokenizer::load(files, &model)?;
        let network = model.plan.load(&Weights::open(files)?, precision)?;
        let classifier = Classifier { tokenizer, network, labels };
        classifier.check(files)?;
        Ok(classifier)
    }

    /// The tokenizer that belongs to the network.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// From logits to scores.
    pub fn labels(&self) -> &Labels {
        &self.labels
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
