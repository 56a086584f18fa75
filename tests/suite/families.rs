//! Each family gives the logits of Python transformers, which __test__/golden/make_families.py wrote down.

use std::path::PathBuf;

use audit_anomaly::config::Precision;
use audit_anomaly::error::Error;
use audit_anomaly::model::Classifier;
use audit_anomaly::model::files::ModelFiles;
use audit_anomaly::model::ops::threads::Threads;
use serde::Deserialize;

use crate::project;

/// Computed by the engine.
const ENGINE: [&str; 5] = ["bert", "roberta", "xlm-roberta", "camembert", "electra"];
/// Computed by candle-transformers.
const CANDLE: [&str; 2] = ["modernbert", "deberta-v2"];

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
    try_load(family, precision).unwrap()
}

fn try_load(family: &str, precision: Precision) -> Result<Classifier, Error> {
    // Its labels say nothing.
    let named = (family == "camembert").then(|| vec!["LABEL_1".to_owned()]);
    Classifier::load(&ModelFiles::Directory(directory(family)), named.as_deref(), precision)
}

fn windows(classifier: &Classifier, family: &str) -> Vec<Vec<u32>> {
    cases(family).iter().map(|case| classifier.tokenizer().windows(&case.text).unwrap().remove(0)).collect()
}

fn cases(family: &str) -> Vec<Case> {
    let cases: Vec<Case> =
        serde_json::from_slice(&std::fs::read(directory(family).join("logits.json")).unwrap()).unwrap();
    assert!(cases.len() >= 60);
    cases
}

#[test]
fn tokens_and_logits_are_pythons() {
    for family in ENGINE.into_iter().chain(CANDLE) {
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
    for family in ENGINE {
        for precision in [Precision::F32, Precision::Int8] {
            let classifier = load(family, precision);
            let windows = windows(&classifier, family);
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
fn candle_s_logits_are_the_same_in_every_batch_on_any_number_of_threads() {
    for family in CANDLE {
        let mut found = Vec::new();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let classifier = pool.install(|| load(family, Precision::F32));
            let windows = windows(&classifier, family);
            let sequences: Vec<&[u32]> = windows.iter().map(Vec::as_slice).collect();
            found.push(classifier.logits(&sequences, Threads::ONE).unwrap());
            found
                .push(sequences.iter().map(|ids| classifier.logits(&[ids], Threads::ONE).unwrap().remove(0)).collect());
        }
        assert!(found.iter().all(|logits| *logits == found[0]), "{family}");
    }
}

#[test]
fn families_without_int8_say_so() {
    for family in CANDLE {
        let error = try_load(family, Precision::Int8).err().unwrap();
        assert_eq!(error.code(), "INVALID_CONFIG");
        assert!(error.to_string().contains("ANOMALY_PRECISION") && error.to_string().contains(family), "{error}");
    }
}

#[test]
fn a_tensor_that_is_missing_is_named_in_families_of_candle_too() {
    for (family, tensor) in [("modernbert", "model.layers.3.attn_norm.weight"), ("deberta-v2", "pooler.dense.bias")] {
        let broken = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(directory(family)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), broken.path().join(file.file_name())).unwrap();
        }
        let weights = broken.path().join("model.safetensors");
        let bytes = std::fs::read(&weights).unwrap();
        let renamed = tensor.replace("weight", "height").replace("bias", "bits");
        assert_eq!(renamed.len(), tensor.len());
        let at = bytes.windows(tensor.len()).position(|window| window == tensor.as_bytes()).unwrap();
        let bytes = [&bytes[..at], renamed.as_bytes(), &bytes[at + tensor.len()..]].concat();
        std::fs::write(&weights, bytes).unwrap();
        let files = ModelFiles::Directory(broken.path().to_owned());
        let error = Classifier::load(&files, None, Precision::F32).err().unwrap();
        assert_eq!(error.code(), "MODEL_INVALID");
        assert!(error.to_string().contains(tensor) && error.to_string().contains("not in the file"), "{error}");
    }
}

#[test]
fn int8_is_close_in_every_family() {
    for family in ENGINE {
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
