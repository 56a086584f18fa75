//! A failure anywhere in a long text counts.
//!
//! Shown with a model that is built here to be a perfect detector of one word, so that the windows alone
//! decide: with a trained model the test would measure the training.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use crate::{load, score};

/// Writes a DistilBERT of one block that is certain of NEGATIVE if and only if its window holds the word `failure`.
///
/// Attention is uniform and so adds the mean of all tokens to the first one; the word alone has a part along the
/// first two axes, which the output projection makes large and the head reads.
fn write_detector_of_a_word(directory: &Path) {
    let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "routine", "failure"];
    std::fs::write(directory.join("vocab.txt"), vocabulary.join("\n")).unwrap();
    let config = serde_json::json!({
        "model_type": "distilbert", "vocab_size": vocabulary.len(), "dim": 4, "n_heads": 1, "n_layers": 1,
        "hidden_dim": 1, "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
    });
    std::fs::write(directory.join("config.json"), config.to_string()).unwrap();

    let tensor = |values: Vec<f32>, shape: &[usize]| Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    let diagonal = |[a, b, c, d]: [f32; 4]| {
        tensor(vec![a, 0.0, 0.0, 0.0, 0.0, b, 0.0, 0.0, 0.0, 0.0, c, 0.0, 0.0, 0.0, 0.0, d], &[4, 4])
    };
    let zeros = |shape: &[usize]| tensor(vec![0.0; shape.iter().product()], shape);
    let words: Vec<f32> = vocabulary
        .iter()
        .flat_map(|word| if *word == "failure" { [1.0, -1.0, 0.0, 0.0] } else { [0.0, 0.0, 1.0, -1.0] })
        .collect();
    let mut tensors = HashMap::from([
        ("distilbert.embeddings.word_embeddings.weight".to_owned(), tensor(words, &[vocabulary.len(), 4])),
        ("distilbert.embeddings.position_embeddings.weight".to_owned(), zeros(&[512, 4])),
        ("classifier.weight".to_owned(), tensor(vec![20.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], &[2, 4])),
        ("classifier.bias".to_owned(), tensor(vec![-5.0, 0.0], &[2])),
        ("pre_classifier.weight".to_owned(), diagonal([1.0; 4])),
        ("pre_classifier.bias".to_owned(), zeros(&[4])),
    ]);
    let block = "distilbert.transformer.layer.0";
    for (name, scales) in
        [("q_lin", [0.0; 4]), ("k_lin", [0.0; 4]), ("v_lin", [1.0; 4]), ("out_lin", [512.0, 512.0, 0.0, 0.0])]
    {
        tensors.insert(format!("{block}.attention.{name}.weight"), diagonal(scales));
        tensors.insert(format!("{block}.attention.{name}.bias"), zeros(&[4]));
    }
    for (name, output, input) in [("lin1", 1, 4), ("lin2", 4, 1)] {
        tensors.insert(format!("{block}.ffn.{name}.weight"), zeros(&[output, input]));
        tensors.insert(format!("{block}.ffn.{name}.bias"), zeros(&[output]));
    }
    for norm in
        ["distilbert.embeddings.LayerNorm", &format!("{block}.sa_layer_norm"), &format!("{block}.output_layer_norm")]
    {
        tensors.insert(format!("{norm}.weight"), tensor(vec![1.0; 4], &[4]));
        tensors.insert(format!("{norm}.bias"), zeros(&[4]));
    }
    candle_core::safetensors::save(&tensors, directory.join("model.safetensors")).unwrap();
}

#[test]
fn a_failure_is_found_anywhere_in_a_long_text() {
    let directory = tempfile::tempdir().unwrap();
    write_detector_of_a_word(directory.path());
    let model = load(directory.path().to_str().unwrap(), &[]).unwrap();
    let words = vec!["routine"; 3_000];
    let quiet = score(&model, &[words.join(" ")])[0];
    assert!(quiet < 0.01, "3,000 routine words score {quiet}");
    // Every place near the edges of windows, and every 37th besides.
    let edges = (0..8_usize)
        .flat_map(|window| [window * 382, window * 382 + 509])
        .flat_map(|edge| edge.saturating_sub(2)..edge + 3);
    let places: Vec<usize> =
        edges.chain((0..=3_000).step_by(37)).chain([2_999, 3_000]).filter(|&place| place <= 3_000).collect();
    let texts: Vec<String> = places
        .iter()
        .map(|&place| {
            let mut words = words.clone();
            words.insert(place, "failure");
            words.join(" ")
        })
        .collect();
    for (place, found) in places.iter().zip(score(&model, &texts)) {
        assert!(found >= 0.99, "a failure at word {place} scores {found}");
    }
}
