//! ModernBERT (Warner et al., arXiv:2412.13663): rotary positions, and most blocks see near tokens alone.
//!
//! candle-transformers has the encoder. The head is here, since its own ends in a softmax, and labels with
//! probabilities of their own need the logits.

use candle_core::D;
use candle_nn::{Module, layer_norm_no_bias, linear, linear_no_bias};
use candle_transformers::models::modernbert::{Config as Sizes, ModernBert};
use serde::Deserialize;

use super::bert::BERT_TOKENS;
use super::candle::{CandleNetwork, only};
use super::family::Family;
use super::network::{Network, Plan, check_sizes};
use super::tokenizer::MAX_TOKENS;
use super::weights::Weights;
use crate::config::Precision;
use crate::error::Result;

/// `ModernBertForSequenceClassification`.
pub const MODERNBERT: Family = Family {
    model_type: "modernbert",
    class: "ModernBertForSequenceClassification",
    plan: |json, labels| Ok(Box::new(ModernBertPlan { config: serde_json::from_slice(json)?, labels })),
    tokens: &BERT_TOKENS,
};

#[derive(Debug)]
struct ModernBertPlan {
    config: Config,
    labels: usize,
}

/// Absent fields have the defaults of Python's `ModernBertConfig`.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    hidden_activation: String,
    classifier_activation: String,
    norm_eps: f64,
    norm_bias: bool,
    attention_bias: bool,
    mlp_bias: bool,
    classifier_bias: bool,
    classifier_pooling: Pooling,
    local_attention: usize,
    /// Of the older files, as the two that follow.
    global_attn_every_n_layers: usize,
    global_rope_theta: f64,
    local_rope_theta: f64,
    /// Of the newer files, as the one that follows.
    layer_types: Option<Vec<Layer>>,
    rope_parameters: Ropes,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Pooling {
    Cls,
    Mean,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Layer {
    FullAttention,
    SlidingAttention,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ropes {
    full_attention: Rope,
    sliding_attention: Rope,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rope {
    rope_type: Option<String>,
    rope_theta: Option<f64>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            vocab_size: 50_368,
            hidden_size: 768,
            intermediate_size: 1152,
            num_hidden_layers: 22,
            num_attention_heads: 12,
            max_position_embeddings: 8192,
            hidden_activation: "gelu".to_owned(),
            classifier_activation: "gelu".to_owned(),
            norm_eps: 1e-5,
            norm_bias: false,
            attention_bias: false,
            mlp_bias: false,
            classifier_bias: false,
            classifier_pooling: Pooling::Cls,
            local_attention: 128,
            global_attn_every_n_layers: 3,
            global_rope_theta: 160_000.0,
            local_rope_theta: 10_000.0,
            layer_types: None,
            rope_parameters: Ropes::default(),
        }
    }
}

impl Config {
    /// Every how many blocks one sees all tokens; `None` if they do not take turns so.
    fn period(&self) -> Option<usize> {
        let Some(types) = &self.layer_types else { return Some(self.global_attn_every_n_layers) };
        let found = types.iter().skip(1).position(|&layer| layer == Layer::FullAttention);
        let period = found.map_or(types.len().max(1), |before| before + 1);
        let full = |block: usize| block.is_multiple_of(period);
        let regular = types.iter().enumerate().all(|(block, &layer)| full(block) == (layer == Layer::FullAttention));
        (regular && types.len() == self.num_hidden_layers).then_some(period)
    }

    fn sizes(&self) -> Sizes {
        let Ropes { full_attention, sliding_attention } = &self.rope_parameters;
        Sizes {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            intermediate_size: self.intermediate_size,
            // It makes a table of them, of which no more is used.
            max_position_embeddings: self.max_position_embeddings.min(MAX_TOKENS),
            layer_norm_eps: self.norm_eps,
            // It never looks at this.
            pad_token_id: 0,
            global_attn_every_n_layers: self.period().unwrap_or(1),
            global_rope_theta: full_attention.rope_theta.unwrap_or(self.global_rope_theta),
            local_attention: self.local_attention,
            local_rope_theta: sliding_attention.rope_theta.unwrap_or(self.local_rope_theta),
            classifier_config: None,
        }
    }
}

impl Plan for ModernBertPlan {
    fn vocabulary(&self) -> usize {
        self.config.vocab_size
    }

    fn max_tokens(&self) -> usize {
        self.config.max_position_embeddings
    }

    fn check(&self) -> std::result::Result<(), String> {
        let config = &self.config;
        only("hidden_activation", config.hidden_activation.as_str(), "gelu")?;
        only("classifier_activation", config.classifier_activation.as_str(), "gelu")?;
        only("norm_bias", config.norm_bias, false)?;
        only("attention_bias", config.attention_bias, false)?;
        only("mlp_bias", config.mlp_bias, false)?;
        only("classifier_bias", config.classifier_bias, false)?;
        for rope in [&config.rope_parameters.full_attention, &config.rope_parameters.sliding_attention] {
            only("rope_type", rope.rope_type.as_deref().unwrap_or("default"), "default")?;
        }
        let period =
            config.period().ok_or("layer_types must have full_attention at regular distances, from the first")?;
        let sizes = [
            ("the size of the vocabulary", config.vocab_size),
            ("the number of positions", config.max_position_embeddings),
            ("the number of layers", config.num_hidden_layers),
            ("the size of the feed-forward vectors", config.intermediate_size),
            ("local_attention", config.local_attention),
            ("global_attn_every_n_layers", period),
        ];
        check_sizes(&sizes, config.hidden_size, config.num_attention_heads)?;
        // Rotations are of pairs of elements.
        if !(config.hidden_size / config.num_attention_heads).is_multiple_of(2) {
            return Err("the elements of an attention head must be even in number".to_owned());
        }
        Ok(())
    }

    fn load(&self, weights: &Weights, precision: Precision) -> Result<Box<dyn Network>> {
        let (sizes, pooling, dim) = (self.config.sizes(), self.config.classifier_pooling, self.config.hidden_size);
        // candle-transformers takes its absence for the first block's, which has none.
        for block in 1..sizes.num_hidden_layers {
            let norm = weights.at(format_args!("model.layers.{block}.attn_norm"));
            if !norm.has("weight") {
                return Err(norm.invalid("weight", "not in the file"));
            }
        }
        CandleNetwork::load(MODERNBERT.model_type, weights, precision, |tensors| {
            let encoder = ModernBert::load(tensors.clone(), &sizes)?;
            let dense = linear_no_bias(dim, dim, tensors.pp("head.dense"))?;
            let norm = layer_norm_no_bias(dim, sizes.layer_norm_eps, tensors.pp("head.norm"))?;
            let classifier = linear(dim, self.labels, tensors.pp("classifier"))?;
            Ok(Box::new(move |ids| {
                let hidden = encoder.forward(ids, &ids.ones_like()?)?;
                let pooled = match pooling {
                    Pooling::Cls => hidden.narrow(1, 0, 1)?.squeeze(1)?,
                    Pooling::Mean => hidden.mean(D::Minus2)?,
                };
                classifier.forward(&norm.forward(&dense.forward(&pooled)?.gelu_erf()?)?)
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn older_and_newer_files_say_the_same() {
        let older = config(r#"{"num_hidden_layers": 5, "global_attn_every_n_layers": 2, "global_rope_theta": 7.0}"#);
        let newer = config(
            r#"{"num_hidden_layers": 5, "rope_parameters": {"full_attention": {"rope_theta": 7.0, "rope_type": "default"}},
                "layer_types": ["full_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention"]}"#,
        );
        assert_eq!(older.sizes(), newer.sizes());
        assert_eq!(newer.period(), Some(2));
    }

    #[test]
    fn blocks_that_take_no_turns_are_refused() {
        for types in [r#"["sliding_attention", "full_attention"]"#, r#"["full_attention"]"#, "[]"] {
            assert_eq!(
                config(&format!(r#"{{"num_hidden_layers": 2, "layer_types": {types}}}"#)).period(),
                None,
                "{types}"
            );
        }
        let lone = r#"{"num_hidden_layers": 2, "layer_types": ["full_attention", "sliding_attention"]}"#;
        assert_eq!(config(lone).period(), Some(2));
    }

    #[test]
    fn what_candle_does_not_have_is_refused_by_its_field() {
        for (json, field) in [
            (r#"{"norm_bias": true}"#, "norm_bias"),
            (r#"{"hidden_activation": "silu"}"#, "hidden_activation"),
            (r#"{"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}"#, "rope_type"),
            (r#"{"num_attention_heads": 0}"#, "attention heads"),
            (r#"{"global_attn_every_n_layers": 0}"#, "global_attn_every_n_layers"),
            (r#"{"hidden_size": 36}"#, "even"),
        ] {
            let found = ModernBertPlan { config: config(json), labels: 2 }.check().unwrap_err();
            assert!(found.contains(field), "{found}");
        }
        ModernBertPlan { config: config("{}"), labels: 2 }.check().unwrap();
    }
}
