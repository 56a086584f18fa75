//! DeBERTa 2 and 3 (He et al., arXiv:2006.03654 and arXiv:2111.09543): attention to content and to distances
//! apart. Computed by candle-transformers.

use candle_transformers::models::debertav2::{Config as Sizes, DebertaV2SeqClassificationModel, HiddenAct};
use serde::Deserialize;

use super::bert::BERT_TOKENS;
use super::candle::{CandleNetwork, only};
use super::family::Family;
use super::network::{Network, Plan, check_sizes};
use super::tokenizer::MAX_TOKENS;
use super::weights::Weights;
use crate::config::Precision;
use crate::error::Result;

/// `DebertaV2ForSequenceClassification`.
pub const DEBERTA_V2: Family = Family {
    model_type: "deberta-v2",
    class: "DebertaV2ForSequenceClassification",
    plan: |json, labels| Ok(Box::new(DebertaPlan { config: serde_json::from_slice(json)?, labels })),
    tokens: &BERT_TOKENS,
};

#[derive(Debug)]
struct DebertaPlan {
    config: Config,
    labels: usize,
}

/// Absent fields have the defaults of Python's `DebertaV2Config`.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    relative_attention: bool,
    max_relative_positions: isize,
    position_biased_input: bool,
    pos_att_type: Option<Terms>,
    position_buckets: isize,
    share_att_key: bool,
    norm_rel_ebd: Option<String>,
    embedding_size: Option<usize>,
    attention_head_size: Option<usize>,
    conv_kernel_size: usize,
    pooler_hidden_act: String,
    pooler_hidden_size: Option<usize>,
}

/// Of attention: `c2p|p2c`, or a list.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Terms {
    Joined(String),
    List(Vec<String>),
}

impl Default for Config {
    fn default() -> Self {
        Config {
            vocab_size: 128_100,
            hidden_size: 1536,
            num_hidden_layers: 24,
            num_attention_heads: 24,
            intermediate_size: 6144,
            hidden_act: "gelu".to_owned(),
            max_position_embeddings: 512,
            type_vocab_size: 0,
            layer_norm_eps: 1e-7,
            relative_attention: false,
            max_relative_positions: -1,
            position_biased_input: true,
            pos_att_type: None,
            position_buckets: -1,
            share_att_key: false,
            norm_rel_ebd: None,
            embedding_size: None,
            attention_head_size: None,
            conv_kernel_size: 0,
            pooler_hidden_act: "gelu".to_owned(),
            pooler_hidden_size: None,
        }
    }
}

impl Config {
    fn terms(&self) -> Vec<String> {
        match &self.pos_att_type {
            None => Vec::new(),
            Some(Terms::Joined(text)) => text.split('|').map(|term| term.trim().to_lowercase()).collect(),
            Some(Terms::List(terms)) => terms.clone(),
        }
    }

    /// The farthest distance that is told from farther ones.
    fn farthest(&self) -> isize {
        if self.max_relative_positions < 1 {
            self.max_position_embeddings.cast_signed()
        } else {
            self.max_relative_positions
        }
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            intermediate_size: self.intermediate_size,
            hidden_act: HiddenAct::Gelu,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            max_position_embeddings: self.max_position_embeddings,
            type_vocab_size: self.type_vocab_size,
            initializer_range: 0.0,
            layer_norm_eps: self.layer_norm_eps,
            relative_attention: self.relative_attention,
            max_relative_positions: self.farthest(),
            pad_token_id: None,
            position_biased_input: self.position_biased_input,
            pos_att_type: self.terms(),
            position_buckets: Some(self.position_buckets),
            share_att_key: Some(self.share_att_key),
            attention_head_size: None,
            embedding_size: self.embedding_size,
            norm_rel_ebd: self.norm_rel_ebd.as_deref().map(|norm| norm.trim().to_lowercase()),
            conv_kernel_size: None,
            conv_groups: None,
            conv_act: None,
            id2label: None,
            label2id: None,
            pooler_dropout: Some(0.0),
            pooler_hidden_act: Some(HiddenAct::Gelu),
            pooler_hidden_size: Some(self.hidden_size),
            cls_dropout: None,
        }
    }
}

impl Plan for DebertaPlan {
    fn vocabulary(&self) -> usize {
        self.config.vocab_size
    }

    fn max_tokens(&self) -> usize {
        // Distances have no end; a table of positions has.
        if self.config.position_biased_input { self.config.max_position_embeddings } else { MAX_TOKENS }
    }

    fn check(&self) -> std::result::Result<(), String> {
        let config = &self.config;
        only("hidden_act", config.hidden_act.as_str(), "gelu")?;
        only("pooler_hidden_act", config.pooler_hidden_act.as_str(), "gelu")?;
        only("conv_kernel_size", config.conv_kernel_size, 0)?;
        only("pooler_hidden_size", config.pooler_hidden_size.unwrap_or(config.hidden_size), config.hidden_size)?;
        let sizes = [
            ("the size of the vocabulary", config.vocab_size),
            ("the number of positions", config.max_position_embeddings),
            ("the number of layers", config.num_hidden_layers),
            ("the size of the feed-forward vectors", config.intermediate_size),
            ("the size of the embeddings", config.embedding_size.unwrap_or(config.hidden_size)),
            ("the number of token types", config.type_vocab_size.saturating_add(1)),
            ("max_relative_positions", usize::try_from(config.farthest()).unwrap_or(0)),
            ("position_buckets", usize::try_from(config.position_buckets).unwrap_or(1).max(1)),
        ];
        check_sizes(&sizes, config.hidden_size, config.num_attention_heads)?;
        let head = config.hidden_size / config.num_attention_heads;
        only("attention_head_size", config.attention_head_size.unwrap_or(head), head)?;
        if (1..4).contains(&config.position_buckets) {
            return Err(format!(
                "position_buckets is {}; a logarithm of distances needs four",
                config.position_buckets
            ));
        }
        for term in config.terms() {
            if !["c2p", "p2c"].contains(&term.as_str()) {
                return Err(format!("pos_att_type has {term:?}; only c2p and p2c are supported"));
            }
        }
        Ok(())
    }

    fn load(&self, weights: &Weights, precision: Precision) -> Result<Box<dyn Network>> {
        let sizes = self.config.sizes();
        let labels = (0..self.labels as u32).map(|label| (label, String::new())).collect();
        CandleNetwork::load(DEBERTA_V2.model_type, weights, precision, |tensors| {
            let model = DebertaV2SeqClassificationModel::load(tensors.pp("deberta"), &sizes, Some(labels))?;
            Ok(Box::new(move |ids| model.forward(ids, None, None)))
        })
    }
}
