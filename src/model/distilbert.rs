//! DistilBERT with a sequence classification head.
//!
//! The architecture is that of Sanh et al., "DistilBERT, a distilled version of BERT"
//! (arXiv:1910.01108), and the arithmetic that of `DistilBertForSequenceClassification` in Python
//! `transformers`: erf GELU (Hendrycks and Gimpel, arXiv:1606.08415), layer norm after each
//! residual, and a head of two linear layers on the first token. `candle-transformers` has the
//! encoder alone, with the tanh GELU, so it serves only as a reference in the tests.
//!
//! One sequence goes through at a time, so no padding and no mask exist, and a text's logits
//! cannot depend on what else is scored.

use std::collections::BTreeMap;

use candle_core::{D, Result as CandleResult, Tensor};
use serde::Deserialize;

use super::files::{CONFIG, ModelFiles};
use super::weights::Weights;
use crate::error::{Error, Result};

/// Layer norm's epsilon, fixed in the architecture.
const EPSILON: f32 = 1e-12;

/// `config.json`; absent fields have the defaults of Python's `DistilBertConfig`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct DistilBertConfig {
    model_type: String,
    architectures: Vec<String>,
    activation: Activation,
    id2label: BTreeMap<usize, String>,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    n_layers: usize,
    n_heads: usize,
    dim: usize,
    hidden_dim: usize,
}

/// The function between the two linear layers of a block.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Activation {
    Gelu,
    Relu,
}

impl Default for DistilBertConfig {
    fn default() -> Self {
        DistilBertConfig {
            model_type: String::new(),
            architectures: Vec::new(),
            activation: Activation::Gelu,
            id2label: BTreeMap::new(),
            vocab_size: 30_522,
            max_position_embeddings: 512,
            n_layers: 6,
            n_heads: 12,
            dim: 768,
            hidden_dim: 4 * 768,
        }
    }
}

impl DistilBertConfig {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] if it is missing, [`Error::ModelInvalid`] naming the field, what
    /// was found and what would be right.
    pub fn read(files: &ModelFiles) -> Result<Self> {
        let bytes = files.require(CONFIG)?;
        let invalid = |found: String| Err(Error::ModelInvalid(format!("{}: {found}", files.describe(CONFIG))));
        let mut config: DistilBertConfig = match serde_json::from_slice(&bytes) {
            Ok(config) => config,
            Err(error) => return invalid(format!("not the configuration of a DistilBERT: {error}")),
        };
        if config.model_type != "distilbert" {
            return invalid(format!("model_type is {:?}; only \"distilbert\" is supported", config.model_type));
        }
        let architecture = "DistilBertForSequenceClassification";
        if !config.architectures.is_empty() && !config.architectures.iter().any(|name| name == architecture) {
            return invalid(format!("architectures is {:?}; it must hold {architecture:?}", config.architectures));
        }
        for (field, value) in [
            ("vocab_size", config.vocab_size),
            ("max_position_embeddings", config.max_position_embeddings),
            ("n_layers", config.n_layers),
            ("n_heads", config.n_heads),
            ("dim", config.dim),
            ("hidden_dim", config.hidden_dim),
        ] {
            // The upper bound only keeps products of sizes from overflowing.
            if !(1..=1 << 24).contains(&value) {
                return invalid(format!("{field} is {value}, which makes no sense"));
            }
        }
        if !config.dim.is_multiple_of(config.n_heads) {
            return invalid(format!("dim {} is not a multiple of n_heads {}", config.dim, config.n_heads));
        }
        if config.id2label.is_empty() {
            config.id2label = (0..2).map(|id| (id, format!("LABEL_{id}"))).collect();
        }
        if !config.id2label.keys().copied().eq(0..config.id2label.len()) {
            return invalid(format!("id2label has the ids {:?}; they must count from 0", config.id2label.keys()));
        }
        Ok(config)
    }

    /// Names of the labels, in the order of the logits.
    pub fn labels(&self) -> Vec<&str> {
        self.id2label.values().map(String::as_str).collect()
    }
}

/// The network.
pub struct DistilBert {
    word_embeddings: Tensor,
    position_embeddings: Tensor,
    embedding_norm: LayerNorm,
    blocks: Vec<Block>,
    pre_classifier: Linear,
    classifier: Linear,
}

impl DistilBert {
    /// Takes the tensors of `DistilBertForSequenceClassification` out of `weights`.
    ///
    /// # Errors
    /// [`Error::ModelInvalid`] for a missing tensor or another shape than `config` says.
    pub fn load(config: &DistilBertConfig, weights: &Weights<'_>) -> Result<Self> {
        let dim = config.dim;
        let embeddings = weights.at("distilbert.embeddings");
        let layers = weights.at("distilbert.transformer.layer");
        Ok(DistilBert {
            word_embeddings: embeddings.at("word_embeddings").get("weight", &[config.vocab_size, dim])?,
            position_embeddings: embeddings
                .at("position_embeddings")
                .get("weight", &[config.max_position_embeddings, dim])?,
            embedding_norm: LayerNorm::load(dim, &embeddings.at("LayerNorm"))?,
            blocks: (0..config.n_layers).map(|layer| Block::load(config, &layers.at(layer))).collect::<Result<_>>()?,
            pre_classifier: Linear::load(dim, dim, &weights.at("pre_classifier"))?,
            classifier: Linear::load(dim, config.id2label.len(), &weights.at("classifier"))?,
        })
    }

    /// One logit per label for `ids`, of shape `[tokens]`, with at most `max_position_embeddings`
    /// tokens.
    ///
    /// # Errors
    /// candle's, for ids or lengths out of bounds.
    pub fn forward(&self, ids: &Tensor) -> CandleResult<Vec<f32>> {
        let words = self.word_embeddings.index_select(ids, 0)?;
        let positions = self.position_embeddings.narrow(0, 0, ids.dim(0)?)?;
        let mut hidden = self.embedding_norm.forward(&(words + positions)?)?;
        let (last, blocks) = self.blocks.split_last().expect("n_layers is at least 1");
        for block in blocks {
            hidden = block.forward(&hidden, &hidden)?;
        }
        // The head sees the first token alone, and so the last block computes no other.
        let first = last.forward(&hidden.narrow(0, 0, 1)?, &hidden)?;
        let pooled = self.pre_classifier.forward(&first)?.relu()?;
        self.classifier.forward(&pooled)?.squeeze(0)?.to_vec1()
    }
}

/// One transformer block.
struct Block {
    attention: Attention,
    attention_norm: LayerNorm,
    lin1: Linear,
    lin2: Linear,
    activation: Activation,
    output_norm: LayerNorm,
}

impl Block {
    fn load(config: &DistilBertConfig, weights: &Weights<'_>) -> Result<Self> {
        let (dim, hidden_dim) = (config.dim, config.hidden_dim);
        Ok(Block {
            attention: Attention::load(config, &weights.at("attention"))?,
            attention_norm: LayerNorm::load(dim, &weights.at("sa_layer_norm"))?,
            lin1: Linear::load(dim, hidden_dim, &weights.at("ffn.lin1"))?,
            lin2: Linear::load(hidden_dim, dim, &weights.at("ffn.lin2"))?,
            activation: config.activation,
            output_norm: LayerNorm::load(dim, &weights.at("output_layer_norm"))?,
        })
    }

    /// The block's output for the tokens of `queries`, which attend to all of `sequence`; both
    /// are of shape `[tokens, dim]`.
    fn forward(&self, queries: &Tensor, sequence: &Tensor) -> CandleResult<Tensor> {
        let attended = (self.attention.forward(queries, sequence)? + queries)?;
        let attended = self.attention_norm.forward(&attended)?;
        let inner = self.lin1.forward(&attended)?;
        let inner = match self.activation {
            Activation::Gelu => inner.gelu_erf()?,
            Activation::Relu => inner.relu()?,
        };
        self.output_norm.forward(&(self.lin2.forward(&inner)? + attended)?)
    }
}

/// Scaled dot-product attention with several heads (Vaswani et al., arXiv:1706.03762).
struct Attention {
    q_lin: Linear,
    k_lin: Linear,
    v_lin: Linear,
    out_lin: Linear,
    heads: usize,
}

impl Attention {
    fn load(config: &DistilBertConfig, weights: &Weights<'_>) -> Result<Self> {
        let linear = |name| Linear::load(config.dim, config.dim, &weights.at(name));
        Ok(Attention {
            q_lin: linear("q_lin")?,
            k_lin: linear("k_lin")?,
            v_lin: linear("v_lin")?,
            out_lin: linear("out_lin")?,
            heads: config.n_heads,
        })
    }

    fn forward(&self, queries: &Tensor, sequence: &Tensor) -> CandleResult<Tensor> {
        let (tokens, dim) = queries.dims2()?;
        let head_dim = dim / self.heads;
        // [tokens, dim] to [heads, tokens, head_dim]
        let split = |x: Tensor| x.reshape(((), self.heads, head_dim))?.transpose(0, 1)?.contiguous();
        let q = (split(self.q_lin.forward(queries)?)? / (head_dim as f64).sqrt())?;
        let k = split(self.k_lin.forward(sequence)?)?;
        let v = split(self.v_lin.forward(sequence)?)?;
        let weights = candle_nn::ops::softmax_last_dim(&q.matmul(&k.transpose(D::Minus1, D::Minus2)?)?)?;
        let context = weights.matmul(&v)?.transpose(0, 1)?.contiguous()?.reshape((tokens, dim))?;
        self.out_lin.forward(&context)
    }
}

/// `x W + b`.
struct Linear {
    /// Shape `[in, out]`: transposed once here, since candle multiplies faster with it so.
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn load(input: usize, output: usize, weights: &Weights<'_>) -> Result<Self> {
        let weight = weights.get("weight", &[output, input])?;
        let weight = weight.t().and_then(|weight| weight.contiguous());
        Ok(Linear {
            weight: weight.map_err(|error| Error::Internal(error.to_string()))?,
            bias: weights.get("bias", &[output])?,
        })
    }

    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        x.matmul(&self.weight)?.broadcast_add(&self.bias)
    }
}

/// Layer normalization (Ba et al., arXiv:1607.06450).
struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    fn load(dim: usize, weights: &Weights<'_>) -> Result<Self> {
        Ok(LayerNorm { weight: weights.get("weight", &[dim])?, bias: weights.get("bias", &[dim])? })
    }

    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        candle_nn::ops::layer_norm(x, &self.weight, &self.bias, EPSILON)
    }
}
