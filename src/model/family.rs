//! The families of models that are supported, and what `config.json` says of one.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::files::{CONFIG, ModelFiles};
use super::network::{Plan, Planned};
use super::{bert, deberta, distilbert, electra, modernbert, roberta};
use crate::error::{Error, Result};

/// Every family.
const FAMILIES: [&Family; 8] = [
    &distilbert::DISTILBERT,
    &bert::BERT,
    &roberta::ROBERTA,
    &roberta::XLM_ROBERTA,
    &roberta::CAMEMBERT,
    &electra::ELECTRA,
    &modernbert::MODERNBERT,
    &deberta::DEBERTA_V2,
];

/// A family of models.
#[derive(Debug)]
pub struct Family {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// What `architectures` holds.
    pub class: &'static str,
    /// Reads `config.json`, for so many labels.
    pub plan: fn(&[u8], usize) -> Planned,
    /// The special tokens, where the tokenizer's files do not name others.
    pub tokens: &'static SpecialTokens,
}

/// Texts of the special tokens.
#[derive(Debug)]
pub struct SpecialTokens {
    /// For what is not in the vocabulary.
    pub unk: &'static str,
    /// Before a text.
    pub cls: &'static str,
    /// Behind a text.
    pub sep: &'static str,
    /// Never used here, but a text may hold it.
    pub pad: &'static str,
    /// Likewise.
    pub mask: &'static str,
}

/// A `config.json`, understood.
#[derive(Debug)]
pub struct Model {
    /// Which family it is of.
    pub family: &'static Family,
    /// The network.
    pub plan: Box<dyn Plan>,
    /// Names of the labels, in the order of the logits.
    pub labels: Vec<String>,
    /// Whether each label has a probability of its own, instead of all sharing one.
    pub multi_label: bool,
}

/// The fields that are the same for all families; absent ones mean what they mean in Python.
#[derive(Deserialize)]
#[serde(default)]
struct Header {
    model_type: String,
    architectures: Option<Vec<String>>,
    id2label: BTreeMap<usize, String>,
    problem_type: Option<String>,
    /// Of BERT and its like; others move with the distance of two tokens.
    position_embedding_type: Option<String>,
}

impl Default for Header {
    fn default() -> Self {
        Header {
            model_type: String::new(),
            architectures: None,
            id2label: (0..2).map(|id| (id, format!("LABEL_{id}"))).collect(),
            problem_type: None,
            position_embedding_type: None,
        }
    }
}

impl Model {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] if it is missing, [`Error::ModelInvalid`] naming the field, what was
    /// found and what would be right.
    pub fn read(files: &ModelFiles) -> Result<Self> {
        let bytes = files.require(CONFIG)?;
        let invalid = |found: String| Error::ModelInvalid(format!("{}: {found}", files.describe(CONFIG)));
        let header: Header = serde_json::from_slice(&bytes)
            .map_err(|error| invalid(format!("not the configuration of a classifier: {error}")))?;
        let family = FAMILIES.into_iter().find(|family| family.model_type == header.model_type).ok_or_else(|| {
            let supported = FAMILIES.map(|family| family.model_type).join(", ");
            invalid(format!("model_type is {:?}; supported are {supported}", header.model_type))
        })?;
        if let Some(classes) = header.architectures
            && !classes.is_empty()
            && !classes.iter().any(|class| class == family.class)
        {
            return Err(invalid(format!("architectures is {classes:?}; it must hold {:?}", family.class)));
        }
        if let Some(kind) = header.position_embedding_type
            && kind != "absolute"
        {
            return Err(invalid(format!("position_embedding_type is {kind:?}; only \"absolute\" is supported")));
        }
        let multi_label = match header.problem_type.as_deref() {
            None | Some("single_label_classification") => false,
            Some("multi_label_classification") => true,
            Some(other) => {
                return Err(invalid(format!(
                    "problem_type is {other:?}; single_label_classification and multi_label_classification are supported"
                )));
            }
        };
        let ids = header.id2label.keys().copied();
        if header.id2label.is_empty() || !ids.clone().eq(0..header.id2label.len()) {
            return Err(invalid(format!("id2label has the ids {:?}; they must count from 0", ids.collect::<Vec<_>>())));
        }
        let labels: Vec<String> = header.id2label.into_values().collect();
        if labels.len() == 1 && !multi_label {
            return Err(invalid(format!("the only label is {:?}; a probability needs two", labels[0])));
        }
        let plan = (family.plan)(&bytes, labels.len())
            .map_err(|error| invalid(format!("not the configuration of a {}: {error}", family.model_type)))?;
        plan.check().map_err(invalid)?;
        Ok(Model { family, plan, labels, multi_label })
    }
}
