//! BERT (Devlin et al., arXiv:1810.04805), and the `config.json` that its relatives share with it.

use serde::Deserialize;

use super::encoder::{Architecture, Names};
use super::family::{Family, SpecialTokens};
use super::ops::linear::Activation;

/// `BertForSequenceClassification`.
pub const BERT: Family = Family {
    model_type: "bert",
    class: "BertForSequenceClassification",
    plan: |json, labels| Ok(Box::new(Config::read(json)?.architecture(&DEFAULTS, &NAMES, labels))),
    tokens: &BERT_TOKENS,
};

/// The special tokens of BERT, DistilBERT and ELECTRA.
pub const BERT_TOKENS: SpecialTokens =
    SpecialTokens { unk: "[UNK]", cls: "[CLS]", sep: "[SEP]", pad: "[PAD]", mask: "[MASK]" };

const NAMES: Names = Names {
    embeddings: "bert.embeddings",
    blocks: "bert.encoder.layer",
    // The pooler looks at the first token alone, so it is the first layer of a head.
    head: ["bert.pooler.dense", "classifier"],
    ..BLOCK_NAMES
};

/// Names within a block, which all relatives share.
pub const BLOCK_NAMES: Names = Names {
    embeddings: "",
    projection: "",
    blocks: "",
    query_key_value: ["attention.self.query", "attention.self.key", "attention.self.value"],
    output: ["attention.output.dense", "attention.output.LayerNorm"],
    feed_forward: ["intermediate.dense", "output.dense", "output.LayerNorm"],
    head: ["", ""],
};

/// What Python's `BertConfig` assumes.
pub const DEFAULTS: Defaults = Defaults {
    vocab_size: 30_522,
    embedding_size: None,
    hidden_size: 768,
    heads: 12,
    intermediate_size: 3072,
    padding: None,
};

/// What absent fields mean in a family.
pub struct Defaults {
    /// `vocab_size`.
    pub vocab_size: usize,
    /// `embedding_size`; `None` for `hidden_size`, whatever the field says.
    pub embedding_size: Option<usize>,
    /// `hidden_size`.
    pub hidden_size: usize,
    /// `num_attention_heads`.
    pub heads: usize,
    /// `intermediate_size`.
    pub intermediate_size: usize,
    /// `pad_token_id`, where positions are counted from behind the padding token; else `None`, whatever
    /// the field says.
    pub padding: Option<u32>,
}

/// The fields that matter.
#[derive(Deserialize)]
pub struct Config {
    vocab_size: Option<usize>,
    embedding_size: Option<usize>,
    hidden_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    intermediate_size: Option<usize>,
    hidden_act: Option<Activation>,
    max_position_embeddings: Option<usize>,
    type_vocab_size: Option<usize>,
    layer_norm_eps: Option<f32>,
    pad_token_id: Option<u32>,
}

impl Config {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// For a field of another type, or an activation that there is none of.
    pub fn read(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }

    /// The network; the head's activation is BERT's, the hyperbolic tangent.
    pub fn architecture(self, defaults: &Defaults, names: &'static Names, labels: usize) -> Architecture {
        let dim = self.hidden_size.unwrap_or(defaults.hidden_size);
        Architecture {
            vocabulary: self.vocab_size.unwrap_or(defaults.vocab_size),
            positions: self.max_position_embeddings.unwrap_or(512),
            padding: defaults.padding.map(|default| self.pad_token_id.unwrap_or(default)),
            token_types: self.type_vocab_size.unwrap_or(2),
            embedding: defaults.embedding_size.map_or(dim, |default| self.embedding_size.unwrap_or(default)),
            layers: self.num_hidden_layers.unwrap_or(12),
            heads: self.num_attention_heads.unwrap_or(defaults.heads),
            dim,
            hidden_dim: self.intermediate_size.unwrap_or(defaults.intermediate_size),
            activation: self.hidden_act.unwrap_or(Activation::Gelu),
            epsilon: self.layer_norm_eps.unwrap_or(1e-12),
            head: Activation::Tanh,
            labels,
            names,
        }
    }
}
