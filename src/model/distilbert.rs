//! DistilBERT (Sanh et al., arXiv:1910.01108): BERT without token types and pooler.

use serde::Deserialize;

use super::bert::BERT_TOKENS;
use super::encoder::{Architecture, Names};
use super::family::Family;
use super::network::Planned;
use super::ops::linear::Activation;

/// `DistilBertForSequenceClassification`.
pub const DISTILBERT: Family =
    Family { model_type: "distilbert", class: "DistilBertForSequenceClassification", plan: read, tokens: &BERT_TOKENS };

const NAMES: Names = Names {
    embeddings: "distilbert.embeddings",
    projection: "",
    blocks: "distilbert.transformer.layer",
    query_key_value: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    output: ["attention.out_lin", "sa_layer_norm"],
    feed_forward: ["ffn.lin1", "ffn.lin2", "output_layer_norm"],
    head: ["pre_classifier", "classifier"],
};

/// Absent fields have the defaults of Python's `DistilBertConfig`.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    activation: Activation,
    vocab_size: usize,
    max_position_embeddings: usize,
    n_layers: usize,
    n_heads: usize,
    dim: usize,
    hidden_dim: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            activation: Activation::Gelu,
            vocab_size: 30_522,
            max_position_embeddings: 512,
            n_layers: 6,
            n_heads: 12,
            dim: 768,
            hidden_dim: 4 * 768,
        }
    }
}

fn read(json: &[u8], labels: usize) -> Planned {
    let Config { activation, vocab_size, max_position_embeddings, n_layers, n_heads, dim, hidden_dim } =
        serde_json::from_slice(json)?;
    Ok(Box::new(Architecture {
        vocabulary: vocab_size,
        positions: max_position_embeddings,
        padding: None,
        token_types: 0,
        embedding: dim,
        layers: n_layers,
        heads: n_heads,
        dim,
        hidden_dim,
        activation,
        // Fixed in its code.
        epsilon: 1e-12,
        head: Activation::Relu,
        labels,
        names: &NAMES,
    }))
}
