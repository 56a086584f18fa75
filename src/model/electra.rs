//! ELECTRA's discriminator (Clark et al., arXiv:2003.10555): BERT with word vectors that may be
//! narrower than the hidden ones, and another head.

use super::bert::{BERT_TOKENS, BLOCK_NAMES, Config, DEFAULTS, Defaults};
use super::encoder::{Architecture, Names};
use super::family::Family;
use super::network::Planned;
use super::ops::linear::Activation;

/// `ElectraForSequenceClassification`.
pub const ELECTRA: Family =
    Family { model_type: "electra", class: "ElectraForSequenceClassification", plan: read, tokens: &BERT_TOKENS };

const NAMES: Names = Names {
    embeddings: "electra.embeddings",
    projection: "electra.embeddings_project",
    blocks: "electra.encoder.layer",
    head: ["classifier.dense", "classifier.out_proj"],
    ..BLOCK_NAMES
};

/// What Python's `ElectraConfig` assumes.
const ELECTRA_DEFAULTS: Defaults =
    Defaults { embedding_size: Some(128), hidden_size: 256, heads: 4, intermediate_size: 1024, ..DEFAULTS };

fn read(json: &[u8], labels: usize) -> Planned {
    let architecture = Config::read(json)?.architecture(&ELECTRA_DEFAULTS, &NAMES, labels);
    // Whatever the blocks have.
    Ok(Box::new(Architecture { head: Activation::Gelu, ..architecture }))
}
