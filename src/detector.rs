//! Text to score, and the one detector of the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use once_cell::sync::OnceCell;
use rayon::prelude::*;

use crate::analysis;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::model::Classifier;
use crate::model::ops::threads::Threads;
use crate::model::progress::{Meter, Progress};
use crate::model::source::Source;

/// A loaded model and the threads that run it.
pub struct Detector {
    classifier: Classifier,
    name: String,
    threads: rayon::ThreadPool,
}

impl Detector {
    /// Finds, if need be downloads, and loads the model of `config`. The second value is what the
    /// user should be told about it, if anything.
    ///
    /// # Errors
    /// Those of [`Source::find`] and of [`Classifier::load`].
    pub fn load(config: &ModelConfig, meter: &Arc<Meter>) -> Result<(Self, Option<String>)> {
        let source = Source::find(&config.choice, &config.hub, meter)?;
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(config.threads.get())
            .thread_name(|index| format!("anomaly-{index}"))
            .build()
            .map_err(|error| Error::Internal(format!("the threads cannot start: {error}")))?;
        let classifier = threads.install(|| Classifier::load(&source.files, &config.labels, config.precision))?;
        Ok((Detector { classifier, name: source.name, threads }, source.warning))
    }

    /// The `model_name` of this detector's scores.
    pub fn model_name(&self) -> &str {
        &self.name
    }

    /// The unrounded anomaly scores of `texts`, in their order, each 0 to 1.
    ///
    /// A text that is longer than the model is scored in overlapping windows, and the highest
    /// score counts. A score depends on its text alone, to the last bit.
    ///
    /// # Errors
    /// [`Error::Aborted`] soon after `cancelled` becomes true, [`Error::Internal`] for a bug, a
    /// caught panic included.
    pub fn score(&self, texts: &[impl AsRef<str> + Sync], cancelled: &AtomicBool) -> Result<Vec<f64>> {
        // A panic must end neither the process nor the next call; nothing here is left half
        // changed by one, since scoring changes nothing.
        let scored = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.threads.install(|| self.score_here(texts, cancelled))
        }));
        scored.unwrap_or_else(|payload| Err(Error::from_panic(payload)))
    }

    fn score_here(&self, texts: &[impl AsRef<str> + Sync], cancelled: &AtomicBool) -> Result<Vec<f64>> {
        let windows: Vec<Vec<Vec<u32>>> = texts
            .par_iter()
            .map(|text| {
                unless(cancelled)?;
                self.classifier.tokenizer().windows(text.as_ref())
            })
            .collect::<Result<_>>()?;
        // One flat list, so that the windows of a lone long text also spread over the threads.
        let flat: Vec<(usize, &[u32])> = windows
            .iter()
            .enumerate()
            .flat_map(|(text, windows)| windows.iter().map(move |window| (text, window.as_slice())))
            .collect();
        let threads = self.threads.current_num_threads();
        let batches = batches(&flat, threads);
        let scored: Vec<Vec<(usize, f64)>> = match &batches[..] {
            [batch] => vec![self.score_batch(batch, Threads(threads), cancelled)?],
            batches => batches
                .par_iter()
                .with_max_len(1)
                .map(|batch| self.score_batch(batch, Threads(1), cancelled))
                .collect::<Result<_>>()?,
        };
        let mut scores = vec![0.0_f64; texts.len()];
        for (text, score) in scored.into_iter().flatten() {
            scores[text] = scores[text].max(score);
        }
        Ok(scores)
    }

    /// The score of each window, with the index of its text.
    fn score_batch(
        &self,
        batch: &[(usize, &[u32])],
        threads: Threads,
        cancelled: &AtomicBool,
    ) -> Result<Vec<(usize, f64)>> {
        unless(cancelled)?;
        let sequences: Vec<&[u32]> = batch.iter().map(|(_, window)| *window).collect();
        let logits = self.classifier.logits(&sequences, threads)?;
        let score = |logits: &Vec<f32>| analysis::probability(logits, self.classifier.anomalous());
        Ok(batch.iter().zip(&logits).map(|((text, _), logits)| (*text, score(logits))).collect())
    }
}

/// Tokens of one batch: enough that the weights are worth their way from memory, few enough that
/// the activations stay in the cache.
const BATCH_TOKENS: usize = 128;

/// Cuts `windows` into batches of about [`BATCH_TOKENS`] tokens, or of fewer where there would be
/// less than one for each thread.
fn batches<'a, 'b>(windows: &'a [(usize, &'b [u32])], threads: usize) -> Vec<&'a [(usize, &'b [u32])]> {
    let total: usize = windows.iter().map(|(_, window)| window.len()).sum();
    let budget = total.div_ceil(threads).clamp(BATCH_TOKENS / 2, BATCH_TOKENS);
    let mut batches = Vec::with_capacity(total / budget + 1);
    let (mut start, mut tokens) = (0, 0);
    for (index, (_, window)) in windows.iter().enumerate() {
        if index > start && tokens + window.len() > budget {
            batches.push(&windows[start..index]);
            (start, tokens) = (index, 0);
        }
        tokens += window.len();
    }
    if start < windows.len() {
        batches.push(&windows[start..]);
    }
    batches
}

fn unless(cancelled: &AtomicBool) -> Result<()> {
    if cancelled.load(Ordering::Relaxed) { Err(Error::Aborted) } else { Ok(()) }
}

/// The one detector of the process, loaded when first needed.
///
/// Worker threads of Node.js, and test files of one Jest process, share it.
pub static SHARED: Shared = Shared { ready: OnceCell::new(), state: Mutex::new(State::new()) };

/// Called with the outcome of a load; the warning goes to one caller only.
type Waiter = Box<dyn FnOnce(Result<Option<String>>) + Send>;

/// A detector that the first caller loads and all share.
pub struct Shared {
    ready: OnceCell<(ModelConfig, Arc<Detector>)>,
    state: Mutex<State>,
}

struct State {
    loading: Option<Loading>,
    meter: Option<Arc<Meter>>,
    failed: bool,
}

impl State {
    const fn new() -> Self {
        State { loading: None, meter: None, failed: false }
    }
}

/// A load under way.
struct Loading {
    config: ModelConfig,
    waiters: Vec<Waiter>,
}

impl Shared {
    /// The detector, if it is loaded.
    pub fn get(&self) -> Option<&Arc<Detector>> {
        self.ready.get().map(|(_, detector)| detector)
    }

    /// Whether the last load failed and no other has succeeded since.
    pub fn failed(&self) -> bool {
        self.state().failed
    }

    /// How far the download of the load under way, or of the last one, is or was.
    pub fn progress(&self) -> Option<Progress> {
        self.state().meter.as_ref()?.latest()
    }

    /// Calls `done` once the detector of `config` is loaded, or with the reason why it is not.
    ///
    /// The first caller starts the load on a thread of its own, the others join it, and none
    /// waits. `done` is called on that thread, or at once if nothing is left to do. After a
    /// failure the next call tries again.
    ///
    /// # Errors
    /// `done` gets those of [`Detector::load`], or [`Error::InvalidConfig`] if this process has
    /// loaded, or is loading, another model: the results of one process never mix two.
    pub fn load(&'static self, config: ModelConfig, done: impl FnOnce(Result<Option<String>>) + Send + 'static) {
        let mut state = self.state();
        if let Some((loaded, _)) = self.ready.get() {
            let outcome = same_model(loaded, &config).map(|()| None);
            drop(state);
            return done(outcome);
        }
        if let Some(loading) = &mut state.loading {
            match same_model(&loading.config, &config) {
                Ok(()) => return loading.waiters.push(Box::new(done)),
                Err(error) => {
                    drop(state);
                    return done(Err(error));
                }
            }
        }
        let meter = Arc::new(Meter::default());
        let waiters: Vec<Waiter> = vec![Box::new(done)];
        state.loading = Some(Loading { config: config.clone(), waiters });
        state.meter = Some(meter.clone());
        drop(state);
        let thread = std::thread::Builder::new().name("anomaly-load".to_owned());
        let spawned = thread.spawn(move || {
            let load = std::panic::AssertUnwindSafe(|| Detector::load(&config, &meter));
            let loaded = std::panic::catch_unwind(load);
            self.finish(loaded.unwrap_or_else(|payload| Err(Error::from_panic(payload))));
        });
        if let Err(error) = spawned {
            self.finish(Err(Error::Internal(format!("the thread that loads the model cannot start: {error}"))));
        }
    }

    fn finish(&self, loaded: Result<(Detector, Option<String>)>) {
        let mut state = self.state();
        let Some(Loading { config, waiters, .. }) = state.loading.take() else { return };
        state.failed = loaded.is_err();
        if let Some(meter) = &state.meter {
            meter.finish();
        }
        let mut outcome = loaded.map(|(detector, warning)| {
            // Empty until now, since only one load runs at a time.
            let _ = self.ready.set((config, Arc::new(detector)));
            warning
        });
        drop(state);
        for waiter in waiters {
            let rest = outcome.as_ref().map(|_| None).map_err(Error::clone);
            waiter(std::mem::replace(&mut outcome, rest));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn same_model(loaded: &ModelConfig, wanted: &ModelConfig) -> Result<()> {
    if loaded == wanted {
        return Ok(());
    }
    Err(Error::InvalidConfig(format!(
        "this process scores with the model {} (ANOMALY_MODEL, _MODEL_REVISION, _LABELS, _PRECISION, _THREADS and HF_* \
         as they were at its first call); they have changed since, to the model {}; use another process",
        loaded.choice.name(),
        wanted.choice.name(),
    )))
}
