//! Which labels of a classifier mean an anomaly, and what score the logits give.

use super::family::Model;
use super::files::{CONFIG, ModelFiles};
use crate::analysis;
use crate::error::{Error, Result};

/// Names that mean an anomaly by themselves.
const ANOMALOUS: [&str; 7] = ["negative", "anomaly", "anomalous", "abnormal", "malicious", "toxic", "error"];

/// From logits to the anomaly score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// Indices of the labels that mean an anomaly.
    anomalous: Vec<usize>,
    multi_label: bool,
}

impl Labels {
    /// Finds the `wanted` labels of `model`, in any case; without any, those whose names say that they
    /// mean an anomaly.
    ///
    /// # Errors
    /// [`Error::ModelInvalid`] with the model's labels if one is not among them; without `wanted` if no
    /// name says it, or if all do.
    pub fn choose(model: &Model, wanted: Option<&[String]>, files: &ModelFiles) -> Result<Self> {
        let Model { labels, multi_label, .. } = model;
        let refused = |found: String| {
            Error::ModelInvalid(format!(
                "{} {found}; its labels are {labels:?}; set ANOMALY_LABELS to those that mean an anomaly",
                files.describe(CONFIG),
            ))
        };
        let find = |name: &String| {
            let index = labels.iter().position(|label| label.eq_ignore_ascii_case(name));
            index.ok_or_else(|| refused(format!("has no label {name:?} in id2label")))
        };
        let anomalous: Vec<usize> = match wanted {
            Some(names) => names.iter().map(find).collect::<Result<_>>()?,
            None => (0..labels.len())
                .filter(|&index| ANOMALOUS.iter().any(|name| labels[index].trim().eq_ignore_ascii_case(name)))
                .collect(),
        };
        if anomalous.is_empty() {
            return Err(refused(format!("has no label that means an anomaly by its name ({})", ANOMALOUS.join(", "))));
        }
        // Every line would have the score 1, which somebody who names them all may want.
        if wanted.is_none() && !multi_label && anomalous.len() == labels.len() {
            return Err(refused("has labels of which all mean an anomaly".to_owned()));
        }
        Ok(Labels { anomalous, multi_label: *multi_label })
    }

    /// The score of a text with these `logits`: the probability of the labels that mean an anomaly
    /// together; of the likeliest of them, where each has a probability of its own.
    pub fn score(&self, logits: &[f32]) -> f64 {
        if self.multi_label {
            analysis::highest_probability(logits, &self.anomalous)
        } else {
            analysis::probability(logits, &self.anomalous)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(labels: &str, multi_label: bool, wanted: Option<&[&str]>) -> Result<Labels> {
        let folder = tempfile::tempdir().unwrap();
        let problem = if multi_label { "multi_label_classification" } else { "single_label_classification" };
        let json = format!(r#"{{"model_type": "bert", "id2label": {labels}, "problem_type": "{problem}"}}"#);
        std::fs::write(folder.path().join(CONFIG), json).unwrap();
        let files = ModelFiles::Directory(folder.path().to_owned());
        let wanted: Option<Vec<String>> = wanted.map(|names| names.iter().map(|name| name.to_string()).collect());
        Labels::choose(&Model::read(&files)?, wanted.as_deref(), &files)
    }

    #[test]
    fn names_that_say_it_are_found_in_any_case() {
        for name in ["NEGATIVE", "Anomaly", "anomalous", "ABNORMAL", "malicious", "toxic", "Error"] {
            let labels = choose(&format!(r#"{{"0": "fine", "1": "{name}"}}"#), false, None).unwrap();
            assert_eq!(labels.anomalous, [1], "{name}");
        }
        let labels =
            choose(r#"{"0": "negative", "1": "neutral", "2": "positive", "3": "toxic"}"#, false, None).unwrap();
        assert_eq!(labels.anomalous, [0, 3]);
    }

    #[test]
    fn what_is_not_clear_is_refused_with_the_labels_and_the_setting() {
        for (labels, wanted, found) in [
            (r#"{"0": "LABEL_0", "1": "LABEL_1"}"#, None, "no label that means an anomaly"),
            (r#"{"0": "negative", "1": "error"}"#, None, "all mean an anomaly"),
            (r#"{"0": "good", "1": "bad"}"#, Some(&["worse"][..]), "no label \"worse\""),
        ] {
            let error = choose(labels, false, wanted).unwrap_err();
            assert_eq!(error.code(), "MODEL_INVALID");
            let message = error.to_string();
            assert!(message.contains(found) && message.contains("ANOMALY_LABELS"), "{message}");
            assert!(message.contains("labels are ["), "{message}");
        }
        assert_eq!(choose(r#"{"0": "LABEL_0", "1": "LABEL_1"}"#, false, Some(&["label_0"])).unwrap().anomalous, [0]);
    }

    #[test]
    fn scores_add_up_or_are_the_highest() {
        let three = r#"{"0": "good", "1": "toxic", "2": "malicious"}"#;
        let logits = [1.0, 0.0, -1.0];
        let together = choose(three, false, None).unwrap().score(&logits);
        let shares = logits.map(|logit: f32| f64::from(logit).exp());
        assert!((together - (shares[1] + shares[2]) / shares.iter().sum::<f64>()).abs() < 1e-12);
        assert_eq!(choose(three, true, None).unwrap().score(&logits), 0.5);
        // Each label has a probability of its own, so one is enough.
        assert_eq!(choose(r#"{"0": "toxic"}"#, true, None).unwrap().score(&[0.0]), 0.5);
        assert!(choose(r#"{"0": "toxic"}"#, false, None).is_err());
    }
}
