//! The Rust integration tests, in one program so that they link once.

#[path = "suite/families.rs"]
mod families;
#[path = "suite/golden.rs"]
mod golden;
#[path = "suite/invariance.rs"]
mod invariance;
#[path = "suite/models.rs"]
mod models;
#[path = "suite/ops.rs"]
mod ops;
#[path = "suite/queue.rs"]
mod queue;
#[path = "suite/reference.rs"]
mod reference;
#[path = "suite/tokenizer.rs"]
mod tokenizer;
#[path = "suite/windows.rs"]
mod windows;

use std::path::PathBuf;
use std::sync::Arc;

use audit_anomaly::config::Config;
use audit_anomaly::detector::Detector;
use audit_anomaly::error::Result;
use audit_anomaly::model::progress::Meter;
use audit_anomaly::queue::Queue;

/// A path below the project's root.
fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A model as `ANOMALY_MODEL` and the other `variables` describe it, with its queue and, unless they say so, without a
/// cache.
fn load(name: &str, variables: &[(&str, &str)]) -> Result<Arc<Queue>> {
    let value = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
    let config = Config::from_env(|variable| match variable {
        "ANOMALY_MODEL" => Some(name.to_owned()),
        "ANOMALY_CACHE_SIZE" => value(variable).or(Some("0".to_owned())),
        _ => value(variable),
    })?;
    let (detector, _) = Detector::load(&config.model, &Arc::new(Meter::default()))?;
    let queue = Arc::new(Queue::new(&config.limits));
    queue.start(Arc::new(detector));
    Ok(queue)
}

/// The tiny random model of the fixtures.
fn tiny(variables: &[(&str, &str)]) -> Arc<Queue> {
    let path = project("__test__/fixtures/tiny");
    load(path.to_str().expect("a path in UTF-8"), variables).expect("the tiny model loads")
}

/// Unrounded scores.
fn score(model: &Arc<Queue>, texts: &[impl AsRef<str>]) -> Vec<f64> {
    model.score(texts).expect("the texts can be scored")
}
