//! Each family gives the logits of Python transformers, which __test__/golden/make_families.py wrote down.

use std::path::PathBuf;

use audit_anomaly::config::Precision;
use audit_anomaly::model::Classifier;
use audit_anomaly::model::files::ModelFiles;
use audit_anomaly::model::ops::threads::Threads;
use serde::Deserialize;

use crate::project;

const FAMILIES: [&str; 5] = ["bert", "roberta", "xlm-roberta", "camembert", "electra"];

#[derive(Deserialize)]
struct Case {
    text: String,
    /// Of short texts.
    ids: Option<Vec<u32>>,
    logits: Vec<f32>,
}

fn directory(family: &str) -> PathBuf {
    project("__test__/fixtures/families").join(family)
}

fn load(family: &str, precision: Precision) -> Classifier {
    // Its labels say nothing.
    let named = (family == "camembert").then(|| vec!["LABEL_1".to_owned()]);
    Classifier::load(&ModelFiles::Directory(directory(family)), named.as_deref(), precision).unwrap()
}

fn cases(family: &str) -> Vec<Case> {
    let cases: Vec<Case> =
        serde_json::from_slice(&std::fs::read(directory(family).join("logits.json")).unwrap()).unwrap();
    assert!(cases.len() >= 60);
    cases
}

#[test]
fn tokens_and_logits_are_pythons() {
    for family in FAMILIES {
        let classifier = load(family, Precision::F32);
        let mut furthest = 0.0_f32;
        for Case { text, ids, logits } in cases(family) {
            let windows = classifier.tokenizer().windows(&text).unwrap();
            if let Some(ids) = ids {
                assert_eq!(windows, [ids], "{family}: {text:?}");
            }
            let found = classifier.logits(&[&windows[0]], Threads::ONE).unwrap();
            assert_eq!(found[0].len(), logits.len());
            for (found, logit) in found[0].iter().zip(&logits) {
                furthest = furthest.max((found - logit).abs());
                assert!((found - logit).abs() < 1e-4, "{family}: {text:?}: {found}, Python {logit}");
            }
        }
        println!("{family}: at most {furthest:.1e} from Python");
    }
}

#[test]
fn a_text_s_logits_are_the_same_to_the_last_bit_in_every_batch() {
    for family in FAMILIES {
        for precision in [Precision::F32, Precision::Int8] {
            let classifier = load(family, precision);
            let windows: Vec<Vec<u32>> = cases(family)
                .iter()
                .map(|case| classifier.tokenizer().windows(&case.text).unwrap().remove(0))
                .collect();
            let sequences: Vec<&[u32]> = windows.iter().map(Vec::as_slice).collect();
            let together = classifier.logits(&sequences, Threads::ONE).unwrap();
            for (sequence, together) in sequences.iter().zip(&together) {
                let alone = classifier.logits(&[sequence], Threads::ONE).unwrap();
                assert_eq!(&alone[0], together, "{family} in {precision:?}");
            }
        }
    }
}

#[test]
fn int8_is_close_in_every_family() {
    for family in FAMILIES {
        let (exact, int8) = (load(family, Precision::F32), load(family, Precision::Int8));
        let mut differences = Vec::new();
        for Case { text, .. } in cases(family) {
            let windows = exact.tokenizer().windows(&text).unwrap();
            let score = |classifier: &Classifier| {
                let logits = classifier.logits(&[&windows[0]], Threads::ONE).unwrap();
                classifier.labels().score(&logits[0])
            };
            differences.push((score(&exact) - score(&int8)).abs());
        }
        let mean = differences.iter().sum::<f64>() / differences.len() as f64;
        println!("{family}: {mean:.5} from f32 on average");
        // These have vectors of 32 elements, where rounding shows more than in any real model.
        assert!(mean > 0.0 && mean < 0.02, "{family}: {mean}");
    }
}
