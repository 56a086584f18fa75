//! The encoder against candle-transformers', which is independent of ours.
//!
//! candle-transformers has the tanh GELU where Hugging Face has the erf one, so the two are
//! compared with the other activation of the architecture, ReLU, where both are right.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, Module, VarBuilder};
use candle_transformers::models::distilbert::{Config, DistilBertModel};

use crate::{load, project, score};

#[test]
fn scores_equal_those_of_candle_transformers() {
    let tiny = project("__test__/fixtures/tiny");
    let folder = tempfile::tempdir().unwrap();
    for name in ["model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(tiny.join(name), folder.path().join(name)).unwrap();
    }
    let config = std::fs::read_to_string(tiny.join("config.json")).unwrap();
    let config = config.replace(r#""activation": "gelu""#, r#""activation": "relu""#);
    std::fs::write(folder.path().join("config.json"), &config).unwrap();
    let ours = load(folder.path().to_str().unwrap(), &[]).unwrap();

    let weights: HashMap<String, Tensor> =
        candle_core::safetensors::load(tiny.join("model.safetensors"), &Device::Cpu).unwrap();
    let variables = VarBuilder::from_tensors(weights.clone(), DType::F32, &Device::Cpu);
    let config: Config = serde_json::from_str(&config).unwrap();
    let encoder = DistilBertModel::load(variables, &config).unwrap();
    let linear = |name: &str| {
        Linear::new(weights[&format!("{name}.weight")].clone(), Some(weights[&format!("{name}.bias")].clone()))
    };
    let tokenizer = tokenizers::Tokenizer::from_file(tiny.join("tokenizer.json")).unwrap();

    for text in ["Failed login attempt for username: admin", "ok", "", "Nightly sync finished, 0 errors, 12 files"] {
        let encoding = tokenizer.encode(text, true).unwrap();
        let ids = Tensor::new(encoding.get_ids(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let length = encoding.get_ids().len();
        let nothing_masked = Tensor::zeros((1, 1, 1, length), DType::U8, &Device::Cpu).unwrap();
        let hidden = encoder.forward(&ids, &nothing_masked).unwrap();
        let first = hidden.narrow(1, 0, 1).unwrap().squeeze(1).unwrap();
        let pooled = linear("pre_classifier").forward(&first).unwrap().relu().unwrap();
        let logits: Vec<f32> = linear("classifier").forward(&pooled).unwrap().squeeze(0).unwrap().to_vec1().unwrap();
        let reference = audit_anomaly::analysis::probability(&logits, &[0]);
        let found = score(&ours, &[text])[0];
        assert!((found - reference).abs() < 1e-5, "{text:?}: {found}, candle-transformers {reference}");
    }
}
