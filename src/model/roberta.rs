//! RoBERTa (Liu et al., arXiv:1907.11692), XLM-RoBERTa (Conneau et al., arXiv:1911.02116) and
//! CamemBERT (Martin et al., arXiv:1911.03894): BERT with positions that are counted from behind the
//! padding token, and another head.

use super::bert::{BLOCK_NAMES, Config, DEFAULTS, Defaults};
use super::encoder::Names;
use super::family::{Family, SpecialTokens};
use super::network::Planned;

/// `RobertaForSequenceClassification`.
pub const ROBERTA: Family = Family {
    model_type: "roberta",
    class: "RobertaForSequenceClassification",
    plan: |json, labels| read(json, labels, 50_265),
    tokens: &TOKENS,
};

/// `XLMRobertaForSequenceClassification`.
pub const XLM_ROBERTA: Family = Family {
    model_type: "xlm-roberta",
    class: "XLMRobertaForSequenceClassification",
    plan: |json, labels| read(json, labels, 30_522),
    tokens: &TOKENS,
};

/// `CamembertForSequenceClassification`.
pub const CAMEMBERT: Family = Family {
    model_type: "camembert",
    class: "CamembertForSequenceClassification",
    plan: |json, labels| read(json, labels, 30_522),
    tokens: &TOKENS,
};

const TOKENS: SpecialTokens = SpecialTokens { unk: "<unk>", cls: "<s>", sep: "</s>", pad: "<pad>", mask: "<mask>" };

/// All three keep the first one's names.
const NAMES: Names = Names {
    embeddings: "roberta.embeddings",
    blocks: "roberta.encoder.layer",
    head: ["classifier.dense", "classifier.out_proj"],
    ..BLOCK_NAMES
};

fn read(json: &[u8], labels: usize, vocab_size: usize) -> Planned {
    let defaults = Defaults { vocab_size, padding: Some(1), ..DEFAULTS };
    Ok(Box::new(Config::read(json)?.architecture(&defaults, &NAMES, labels)))
}
