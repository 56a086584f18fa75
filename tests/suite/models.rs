//! A model that cannot be used says which file or field, what was found and what would be right.

use std::fs;
use std::path::Path;

use crate::{load, project, score};

/// A copy of the tiny model, changed by `change`.
fn changed(change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"] {
        fs::copy(project("__test__/fixtures/tiny").join(name), copy.path().join(name)).unwrap();
    }
    change(copy.path());
    copy
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// The failure to load `directory`: its code, and its message, which must hold `parts`.
fn refused(directory: &Path, code: &str, parts: &[&str]) {
    let error = load(directory.to_str().unwrap(), &[]).err().expect("it must not load");
    assert_eq!(error.code(), code, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{error:?} does not say {part:?}");
    }
}

#[test]
fn a_missing_directory() {
    refused(Path::new("/nowhere/at/all"), "MODEL_NOT_FOUND", &["/nowhere/at/all", "does not exist", "ANOMALY_MODEL"]);
}

#[test]
fn a_file_in_place_of_a_directory() {
    let folder = changed(|_| {});
    refused(&folder.path().join("config.json"), "MODEL_NOT_FOUND", &["is not a directory"]);
}

#[test]
fn missing_files() {
    for (name, hint) in [("config.json", ""), ("model.safetensors", "pytorch_model.bin is never read")] {
        let folder = changed(|path| {
            fs::remove_file(path.join(name)).unwrap();
            fs::write(path.join("pytorch_model.bin"), "x").unwrap();
        });
        refused(folder.path(), "MODEL_NOT_FOUND", &[name, "does not exist", hint]);
    }
    let folder = changed(|path| {
        fs::remove_file(path.join("tokenizer.json")).unwrap();
        fs::remove_file(path.join("vocab.txt")).unwrap();
    });
    refused(folder.path(), "MODEL_NOT_FOUND", &["tokenizer.json", "vocab.txt"]);
    refused(tempfile::tempdir().unwrap().path(), "MODEL_NOT_FOUND", &["config.json", "does not exist"]);
}

#[test]
fn truncated_and_corrupt_weights() {
    for cut in [0, 4, 100, 50_000] {
        let folder = changed(|path| {
            let bytes = fs::read(path.join("model.safetensors")).unwrap();
            fs::write(path.join("model.safetensors"), &bytes[..cut]).unwrap();
        });
        refused(folder.path(), "MODEL_INVALID", &["model.safetensors", &format!("({cut} bytes)"), "safetensors"]);
    }
    let folder = changed(|path| {
        let mut bytes = fs::read(path.join("model.safetensors")).unwrap();
        bytes[8..40].fill(b'?');
        fs::write(path.join("model.safetensors"), bytes).unwrap();
    });
    refused(folder.path(), "MODEL_INVALID", &["model.safetensors", "not a whole safetensors file"]);
    let folder = changed(|path| {
        let mut bytes = fs::read(path.join("model.safetensors")).unwrap();
        bytes[..8].fill(0xff);
        fs::write(path.join("model.safetensors"), bytes).unwrap();
    });
    refused(folder.path(), "MODEL_INVALID", &["model.safetensors"]);
}

#[test]
fn weights_with_values_that_are_not_finite() {
    let folder = changed(|path| {
        let mut bytes = fs::read(path.join("model.safetensors")).unwrap();
        let header = 8 + usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        bytes[header..].fill(0xff);
        fs::write(path.join("model.safetensors"), bytes).unwrap();
    });
    refused(folder.path(), "MODEL_INVALID", &["model.safetensors", "not finite"]);
}

#[test]
fn other_shapes_than_the_configuration_says() {
    let config = |from: &'static str, to: &'static str| changed(move |path| edit(&path.join("config.json"), from, to));
    let folder = config(r#""dim": 32"#, r#""dim": 64"#);
    refused(folder.path(), "MODEL_INVALID", &["model.safetensors", "word_embeddings", "32]", "64]"]);
    let folder = config(r#""n_layers": 2"#, r#""n_layers": 3"#);
    refused(folder.path(), "MODEL_INVALID", &["transformer.layer.2.attention.q_lin.weight", "not in the file"]);
    let folder = config(r#""hidden_dim": 64"#, r#""hidden_dim": 65"#);
    refused(folder.path(), "MODEL_INVALID", &["ffn.lin1.weight", "[64, 32]", "[65, 32]"]);
}

#[test]
fn configurations_that_make_no_sense() {
    for (from, to, parts) in [
        (
            r#""model_type": "distilbert""#,
            r#""model_type": "gpt2""#,
            ["model_type is \"gpt2\"", "distilbert, bert, roberta, xlm-roberta, camembert, electra"],
        ),
        ("DistilBertForSequenceClassification", "DistilBertForMaskedLM", ["architectures", "DistilBertForMaskedLM"]),
        (r#""activation": "gelu""#, r#""activation": "swish""#, ["config.json", "swish"]),
        (r#""n_heads": 4"#, r#""n_heads": 5"#, ["vectors of 32", "5 attention heads"]),
        (r#""n_heads": 4"#, r#""n_heads": 0"#, ["number of attention heads is 0", "makes no sense"]),
        (r#""n_layers": 2"#, r#""n_layers": 0"#, ["number of layers is 0", "makes no sense"]),
        (r#""n_layers": 2"#, r#""n_layers": -2"#, ["config.json", "-2"]),
        (r#""max_position_embeddings": 512"#, r#""max_position_embeddings": 64"#, ["64 positions", "130"]),
        ("\"0\": \"NEGATIVE\"", "\"7\": \"NEGATIVE\"", ["id2label", "count from 0"]),
        ("\"0\": \"NEGATIVE\"", "\"0\": \"SAD\"", ["\"SAD\"", "ANOMALY_LABELS"]),
        ("{", "{{", ["config.json", "line 1"]),
    ] {
        let folder = changed(|path| edit(&path.join("config.json"), from, to));
        refused(folder.path(), "MODEL_INVALID", &parts);
    }
}

#[test]
fn three_labels_without_negative_and_the_way_out() {
    let folder = changed(|path| {
        let labels = "\"id2label\": {\"0\": \"calm\", \"1\": \"odd\", \"2\": \"bad\"}, \"was\": {";
        edit(&path.join("config.json"), "\"id2label\": {", labels);
    });
    refused(folder.path(), "MODEL_INVALID", &["negative", "\"calm\", \"odd\", \"bad\"", "ANOMALY_LABELS"]);
    // With the names of its labels it gets further: to the two rows of the classifier.
    let error = load(folder.path().to_str().unwrap(), &[("ANOMALY_LABELS", "odd,BAD")]).err().unwrap();
    assert!(error.to_string().contains("classifier.weight"), "{error}");
}

#[test]
fn labels_choose_what_is_anomalous() {
    let model = project("__test__/fixtures/tiny");
    let with = |labels| load(model.to_str().unwrap(), &[("ANOMALY_LABELS", labels)]).unwrap();
    let (negative, positive) = (score(&with("negative"), &["x"])[0], score(&with("POSITIVE"), &["x"])[0]);
    assert!((negative + positive - 1.0).abs() < 1e-12);
    assert!((score(&with("negative, positive"), &["x"])[0] - 1.0).abs() < 1e-12);
}

#[test]
fn tokenizers_that_do_not_fit() {
    let folder = changed(|path| fs::write(path.join("tokenizer.json"), "{}").unwrap());
    refused(folder.path(), "MODEL_INVALID", &["tokenizer.json"]);
    let folder = changed(|path| edit(&path.join("config.json"), "\"vocab_size\": ", "\"vocab_size\": 1, \"was\": "));
    refused(folder.path(), "MODEL_INVALID", &["tokenizer.json", "vocab_size"]);
    let folder = changed(|path| {
        fs::remove_file(path.join("tokenizer.json")).unwrap();
        edit(&path.join("vocab.txt"), "[CLS]", "[START]");
    });
    refused(folder.path(), "MODEL_INVALID", &["vocab.txt", "[CLS]"]);
    let folder = changed(|path| fs::write(path.join("tokenizer_config.json"), "{\"do_lower_case\": 3}").unwrap());
    refused(folder.path(), "MODEL_INVALID", &["tokenizer_config.json"]);
}

#[test]
fn half_precision_weights_and_a_vocabulary_alone_load() {
    let folder = changed(|path| fs::remove_file(path.join("tokenizer.json")).unwrap());
    let model = load(folder.path().to_str().unwrap(), &[]).unwrap();
    let whole = load(project("__test__/fixtures/tiny").to_str().unwrap(), &[]).unwrap();
    let texts = ["Failed login", "用户 😀 naïve", ""];
    assert_eq!(score(&model, &texts), score(&whole, &texts));
}
