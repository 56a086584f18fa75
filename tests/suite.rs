//! The Rust integration tests, in one program so that they link once.

#[path = "suite/golden.rs"]
mod golden;
#[path = "suite/invariance.rs"]
mod invariance;
#[path = "suite/models.rs"]
mod models;
#[path = "suite/ops.rs"]
mod ops;
#[path = "suite/reference.rs"]
mod reference;
#[path = "suite/tokenizer.rs"]
mod tokenizer;
#[path = "suite/windows.rs"]
mod windows;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use audit_anomaly::config::Config;
use audit_anomaly::detector::Detector;
use audit_anomaly::error::Result;
use audit_anomaly::model::progress::Meter;

/// A path below the project's root.
fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A detector as `ANOMALY_MODEL` and the other `variables` describe it.
fn detector(model: &str, variables: &[(&str, &str)]) -> Result<Detector> {
    let config = Config::from_env(|name| match name {
        "ANOMALY_MODEL" => Some(model.to_owned()),
        _ => variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned()),
    })?;
    Detector::load(&config.model, &Arc::new(Meter::default())).map(|(detector, _)| detector)
}

/// The tiny random model of the fixtures.
fn tiny(variables: &[(&str, &str)]) -> Detector {
    let path = project("__test__/fixtures/tiny");
    detector(path.to_str().expect("a path in UTF-8"), variables).expect("the tiny model loads")
}

/// Unrounded scores.
fn score(detector: &Detector, texts: &[impl AsRef<str> + Sync]) -> Vec<f64> {
    detector.score(texts, &AtomicBool::new(false)).expect("the texts can be scored")
}
