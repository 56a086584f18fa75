//! Scores equal those of Python transformers, which __test__/golden/make_golden.py wrote down.

use std::sync::Arc;

use audit_anomaly::analysis::Verdict;
use audit_anomaly::queue::Queue;
use serde::Deserialize;

use crate::{load, project, score, tiny};

/// How far an unrounded score may be from Python's.
const TOLERANCE: f64 = 1e-5;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<Case>,
    windowed: Vec<Windowed>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    tokens: usize,
    score: f64,
}

#[derive(Deserialize)]
struct Windowed {
    text: String,
    windows: Vec<f64>,
}

fn golden(name: &str) -> Golden {
    let path = project(&format!("__test__/fixtures/{name}.json"));
    serde_json::from_slice(&std::fs::read(path).expect("the golden file")).expect("the golden file's form")
}

/// Whether the reported decimals may differ: Python's value lies at a rounding boundary.
fn at_a_boundary(score: f64) -> bool {
    let scaled = score * 1e4;
    (scaled - scaled.floor() - 0.5).abs() <= TOLERANCE * 1e4
}

fn check(model: &Arc<Queue>, name: &str) {
    let golden = golden(name);
    assert!(golden.texts.len() >= 150);
    assert!(golden.texts.iter().any(|case| case.tokens == 512));
    let texts: Vec<&str> = golden.texts.iter().map(|case| case.text.as_str()).collect();
    let mut worst = 0.0_f64;
    for (case, score) in golden.texts.iter().zip(score(model, &texts)) {
        let shown: String = case.text.chars().take(60).collect();
        assert!((score - case.score).abs() <= TOLERANCE, "{shown:?}: {score}, Python {}", case.score);
        let (ours, pythons) = (Verdict::new(score, 0.7), Verdict::new(case.score, 0.7));
        assert!(ours == pythons || at_a_boundary(case.score), "{shown:?}: {ours:?}, Python {pythons:?}");
        worst = worst.max((score - case.score).abs());
    }
    println!("{name}: {} texts, at most {worst:.1e} from Python", texts.len());
    for case in &golden.windowed {
        let highest = case.windows.iter().copied().fold(0.0, f64::max);
        let found = score(model, &[&case.text])[0];
        assert!((found - highest).abs() <= TOLERANCE, "{} windows: {found}, Python {highest}", case.windows.len());
    }
}

#[test]
fn the_tiny_model_scores_as_python_does() {
    check(&tiny(&[]), "tiny");
}

#[test]
fn the_bundled_model_scores_as_python_does() {
    check(&load("bundled", &[]).unwrap(), "bundled");
}

#[test]
fn the_service_s_examples_fall_on_the_right_side() {
    let bundled = load("bundled", &[]).unwrap();
    let texts = [
        "Failed login attempt",
        "User logged in successfully",
        "Order rejected",
        "Order approved",
        "Permission denied",
    ];
    let flagged: Vec<bool> = score(&bundled, &texts).into_iter().map(|score| score >= 0.7).collect();
    assert_eq!(flagged, [true, false, true, false, true]);
}

/// Runs only where the real weights are in the hub's cache of this machine.
#[test]
fn the_default_model_gives_its_published_logits() {
    let variables: Vec<(String, String)> = std::env::vars().collect();
    let mut pairs: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    pairs.retain(|(name, _)| *name != "HF_HUB_OFFLINE" && !name.starts_with("ANOMALY_"));
    pairs.push(("HF_HUB_OFFLINE", "1"));
    let Ok(default) = load(audit_anomaly::config::DEFAULT_MODEL, &pairs) else {
        println!("skipped: the default model is not in the cache");
        return;
    };
    for (text, logits) in [
        ("I've been waiting for a HuggingFace course my whole life.", [-1.5607, 1.6123]),
        ("I hate this so much!", [4.1692, -3.3464]),
    ] {
        let expected = audit_anomaly::analysis::probability(&logits, &[0]);
        assert!((score(&default, &[text])[0] - expected).abs() < 1e-5, "{text}");
    }
}

/// int8 is not exact, but close: the mean difference and the decisions that change are bounded.
#[test]
fn int8_stays_close_to_f32() {
    let int8 = load("bundled", &[("ANOMALY_PRECISION", "int8")]).unwrap();
    let golden = golden("bundled");
    let texts: Vec<&str> = golden.texts.iter().map(|case| case.text.as_str()).collect();
    let scores = score(&int8, &texts);
    let pairs = || golden.texts.iter().map(|case| case.score).zip(scores.iter().copied());
    let mean = pairs().map(|(exact, found)| (exact - found).abs()).sum::<f64>() / texts.len() as f64;
    let changed = pairs().filter(|(exact, found)| (*exact >= 0.7) != (*found >= 0.7)).count();
    println!("int8: {mean:.5} from f32 on average, {changed} of {} decisions changed", texts.len());
    assert!(mean > 0.0, "int8 must not be f32 by another name");
    assert!(mean < 0.005, "{mean}");
    assert!(changed * 100 <= texts.len(), "{changed} decisions of {} changed", texts.len());
}
