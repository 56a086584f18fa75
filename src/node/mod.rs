//! The Node.js addon: the only place with napi types.
//!
//! `index.js` is the one caller. It checks arguments, keeps the ids, and makes an `AnomalyError`
//! of every error, which crosses the boundary as JSON in the message of a plain `Error`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use napi::bindgen_prelude::{AsyncTask, Env, Object};
use napi::{Task, bindgen_prelude};
use napi_derive::napi;

use crate::analysis::Verdict;
use crate::config::Config;
use crate::detector::{Detector, SHARED};
use crate::error::Error;

impl From<Error> for bindgen_prelude::Error {
    fn from(error: Error) -> Self {
        let json = serde_json::json!({
            "code": error.code(),
            "message": error.to_string(),
            "details": error.details(),
        });
        bindgen_prelude::Error::from_reason(json.to_string())
    }
}

/// Every setting, read from `process.env` and checked.
#[napi]
pub struct Settings(Config);

#[napi]
impl Settings {
    /// Reads the settings in `env`, a copy of the variables that matter.
    #[napi(constructor)]
    pub fn new(env: HashMap<String, String>) -> napi::Result<Self> {
        Ok(Settings(Config::from_env(|name| env.get(name).cloned())?))
    }

    /// The score from which on a line is flagged.
    #[napi(getter)]
    pub fn threshold(&self) -> f64 {
        self.0.threshold
    }

    /// Longest text that is scored, in bytes of UTF-8.
    #[napi(getter)]
    pub fn max_text_bytes(&self) -> u32 {
        u32::try_from(self.0.max_text_bytes).unwrap_or(u32::MAX)
    }

    /// The configured model.
    #[napi(getter)]
    pub fn model_name(&self) -> String {
        self.0.model.choice.name()
    }
}

/// Loads the model, or joins the load under way; resolves to a warning for the user, if any.
#[napi(ts_return_type = "Promise<string | null>")]
pub fn load<'env>(env: &'env Env, settings: &Settings) -> napi::Result<Object<'env>> {
    // Settled from the thread that loads: no thread of libuv's pool waits.
    let (deferred, promise) = env.create_deferred()?;
    SHARED.load(settings.0.model.clone(), move |outcome| match outcome {
        Ok(warning) => deferred.resolve(move |_| Ok(warning)),
        Err(error) => deferred.reject(error.into()),
    });
    Ok(promise)
}

/// How far a download is.
#[napi(object)]
pub struct LoadProgress {
    /// The file's name in the model's repository.
    pub file: String,
    /// Bytes that have arrived.
    pub received: f64,
    /// Bytes to come in all; 0 when unknown.
    pub total: f64,
}

/// How far the download of the load under way, or of the last one, is or was; `null` without one.
#[napi]
pub fn progress() -> Option<LoadProgress> {
    SHARED.progress().map(|progress| LoadProgress {
        file: progress.file,
        received: progress.received as f64,
        total: progress.total as f64,
    })
}

/// What the process's detector is up to.
#[napi(object)]
pub struct State {
    /// Name of the model that is loaded, `null` while none is.
    pub model_name: Option<String>,
    /// Whether the last load failed.
    pub failed: bool,
}

/// What the process's detector is up to; at once, and without loading it.
#[napi]
pub fn state() -> State {
    State { model_name: SHARED.get().map(|detector| detector.model_name().to_owned()), failed: SHARED.failed() }
}

/// Stops the work of a call from outside.
#[napi]
#[derive(Default)]
pub struct Cancel(Arc<AtomicBool>);

#[napi]
impl Cancel {
    /// A flag that is not set.
    #[napi(constructor)]
    pub fn new() -> Self {
        Cancel::default()
    }

    /// Sets the flag.
    #[napi]
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The verdicts of one call, in the order of its texts.
#[napi(object)]
pub struct Analyses {
    /// Name of the model that made the scores.
    pub model_name: String,
    /// Scores rounded to 4 decimals.
    pub scores: Vec<f64>,
    /// Whether each score reaches the threshold.
    pub flags: Vec<bool>,
}

/// The work of one `analyze` call.
pub struct Analyze {
    detector: Arc<Detector>,
    texts: Vec<String>,
    threshold: f64,
    cancelled: Arc<AtomicBool>,
}

// Without #[napi], which would export the type to JavaScript.
impl Task for Analyze {
    type Output = Vec<Verdict>;
    type JsValue = Analyses;

    /// Runs on a thread of libuv's pool.
    fn compute(&mut self) -> napi::Result<Self::Output> {
        let scores = self.detector.score(&self.texts, &self.cancelled)?;
        Ok(scores.into_iter().map(|score| Verdict::new(score, self.threshold)).collect())
    }

    fn resolve(&mut self, _env: Env, verdicts: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(Analyses {
            model_name: self.detector.model_name().to_owned(),
            scores: verdicts.iter().map(|verdict| verdict.anomaly_score).collect(),
            flags: verdicts.iter().map(|verdict| verdict.is_anomaly).collect(),
        })
    }
}

/// Scores `texts` with the loaded model on a thread of libuv's pool.
#[napi(ts_return_type = "Promise<Analyses>")]
pub fn analyze(texts: Vec<String>, threshold: f64, cancel: &Cancel) -> napi::Result<AsyncTask<Analyze>> {
    let detector = SHARED.get().ok_or_else(|| Error::Internal("no model is loaded".to_owned()))?.clone();
    Ok(AsyncTask::new(Analyze { detector, texts, threshold, cancelled: cancel.0.clone() }))
}
