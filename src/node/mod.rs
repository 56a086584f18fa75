//! The Node.js addon: the only place with napi types.
//!
//! `index.js` is the one caller. It checks arguments, keeps the ids, and makes an `AnomalyError`
//! of every error, which crosses the boundary as JSON in the message of a plain `Error`.

use std::collections::HashMap;
use std::sync::Arc;

use napi::bindgen_prelude::{self, Env, Object};
use napi_derive::napi;

use crate::analysis::Verdict;
use crate::config::Config;
use crate::engine::ENGINE;
use crate::error::Error;
use crate::queue;

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
pub struct Settings(Arc<Config>);

#[napi]
impl Settings {
    /// Reads the settings in `env`, a copy of the variables that matter.
    #[napi(constructor)]
    pub fn new(env: HashMap<String, String>) -> napi::Result<Self> {
        Ok(Settings(Arc::new(Config::from_env(|name| env.get(name).cloned())?)))
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

    /// Records that may wait.
    #[napi(getter)]
    pub fn max_queue(&self) -> u32 {
        u32::try_from(self.0.limits.max_queue).unwrap_or(u32::MAX)
    }

    /// Bytes of text that may wait.
    #[napi(getter)]
    pub fn max_queue_bytes(&self) -> f64 {
        self.0.limits.max_queue_bytes as f64
    }

    /// Threads that compute.
    #[napi(getter)]
    pub fn threads(&self) -> u32 {
        u32::try_from(self.0.model.threads.get()).unwrap_or(u32::MAX)
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
    ENGINE.load(&settings.0, move |outcome| match outcome {
        Ok(()) => deferred.resolve(move |_| Ok(ENGINE.take_warning())),
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
    ENGINE.progress().map(|progress| LoadProgress {
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
    State { model_name: ENGINE.detector().map(|detector| detector.model_name().to_owned()), failed: ENGINE.failed() }
}

/// What was done since the process started, and what waits now.
#[napi(object, js_name = "NativeStats")]
pub struct Stats {
    /// Records that wait.
    pub queue_depth: f64,
    /// Bytes of their texts.
    pub queue_bytes: f64,
    /// Calls that were admitted.
    pub requests: f64,
    /// Calls that were refused.
    pub refused: f64,
    /// Records of the calls that were admitted.
    pub records: f64,
    /// Batches computed.
    pub batches: f64,
    /// Sequences in them.
    pub sequences: f64,
    /// Tokens in them.
    pub tokens: f64,
    /// Texts whose score was remembered.
    pub cache_hits: f64,
    /// Texts whose score was not.
    pub cache_misses: f64,
    /// Seconds that the threads spent on batches.
    pub compute_seconds: f64,
}

/// What was done since the process started, and what waits now.
#[napi]
pub fn stats() -> Stats {
    let stats = ENGINE.stats();
    Stats {
        queue_depth: stats.queue_depth as f64,
        queue_bytes: stats.queue_bytes as f64,
        requests: stats.requests as f64,
        refused: stats.refused as f64,
        records: stats.records as f64,
        batches: stats.batches as f64,
        sequences: stats.sequences as f64,
        tokens: stats.tokens as f64,
        cache_hits: stats.cache_hits as f64,
        cache_misses: stats.cache_misses as f64,
        compute_seconds: stats.compute_seconds,
    }
}

/// The verdicts on some texts, in their order.
#[napi(object)]
pub struct Analyses {
    /// Name of the model that made the scores.
    pub model_name: String,
    /// Scores rounded to 4 decimals.
    pub scores: Vec<f64>,
    /// Whether each score reaches the threshold.
    pub flags: Vec<bool>,
}

/// A call of JavaScript's, from its admission to its end.
///
/// When its object goes, what it still has in the queue goes too. A worker thread of Node.js that
/// is terminated takes its objects with it, and so leaves no work behind.
#[napi]
pub struct Call {
    config: Arc<Config>,
    call: queue::Call,
}

#[napi]
impl Call {
    /// A call for so many records; throws if the queue is full.
    #[napi(constructor)]
    pub fn new(settings: &Settings, records: u32) -> napi::Result<Self> {
        let queue = ENGINE.queue(&settings.0.limits);
        queue.admit()?;
        queue.count(1, records as usize);
        Ok(Call { config: settings.0.clone(), call: queue::Call::new() })
    }

    /// A call that waits for its turn even when the queue is full, and whose records come one by one.
    #[napi(factory)]
    pub fn stream(settings: &Settings) -> Self {
        ENGINE.queue(&settings.0.limits).count(1, 0);
        Call { config: settings.0.clone(), call: queue::Call::new() }
    }

    /// Counts so many records more.
    #[napi]
    pub fn add(&self, records: u32) {
        ENGINE.queue(&self.config.limits).count(0, records as usize);
    }

    /// Scores `texts`, a part of the call's.
    #[napi(ts_return_type = "Promise<Analyses>")]
    pub fn analyze<'env>(&self, env: &'env Env, texts: Vec<String>, threshold: f64) -> napi::Result<Object<'env>> {
        // Settled from the thread that computes: no thread of libuv's pool waits.
        let (deferred, promise) = env.create_deferred()?;
        let done = Box::new(move |outcome: crate::error::Result<Vec<f64>>| match outcome {
            Ok(scores) => {
                let verdicts = scores.into_iter().map(|score| Verdict::new(score, threshold));
                let (scores, flags) = verdicts.map(|verdict| (verdict.anomaly_score, verdict.is_anomaly)).unzip();
                deferred.resolve(move |_| Ok(Analyses { model_name: model_name(), scores, flags }));
            }
            Err(error) => deferred.reject(error.into()),
        });
        ENGINE.submit(&self.config, &self.call, texts, done);
        Ok(promise)
    }

    /// Takes what waits out of the queue; its promises reject.
    #[napi]
    pub fn cancel(&self) {
        ENGINE.cancel(&self.call);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.cancel();
    }
}

fn model_name() -> String {
    ENGINE.detector().map(|detector| detector.model_name().to_owned()).unwrap_or_default()
}
