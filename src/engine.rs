//! The one engine of the process: a model that is loaded when first needed, and the queue before it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use once_cell::sync::OnceCell;

use crate::config::{Config, Limits, ModelConfig};
use crate::detector::Detector;
use crate::error::{Error, Result};
use crate::model::progress::{Meter, Progress};
use crate::panic;
use crate::queue::{Call, Done, Queue, Stats};

/// The engine of this process.
///
/// Worker threads of Node.js, and test files of one Jest process, share it.
pub static ENGINE: Engine = Engine { ready: OnceCell::new(), queue: OnceCell::new(), state: Mutex::new(State::new()) };

/// Called with the outcome of a load.
type Waiter = Box<dyn FnOnce(Result<()>) + Send>;

/// A detector that the first caller loads and all share, and its queue.
pub struct Engine {
    ready: OnceCell<(ModelConfig, Arc<Detector>)>,
    queue: OnceCell<Arc<Queue>>,
    state: Mutex<State>,
}

struct State {
    loading: Option<Loading>,
    meter: Option<Arc<Meter>>,
    warning: Option<String>,
    failed: bool,
}

impl State {
    const fn new() -> Self {
        State { loading: None, meter: None, warning: None, failed: false }
    }
}

/// A load under way.
struct Loading {
    config: ModelConfig,
    waiters: Vec<Waiter>,
}

impl Engine {
    /// The detector, if it is loaded.
    pub fn detector(&self) -> Option<&Arc<Detector>> {
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

    /// What was done since the process started.
    pub fn stats(&self) -> Stats {
        self.queue.get().map(|queue| queue.stats()).unwrap_or_default()
    }

    /// The queue before the model; its limits are those of the first call.
    pub fn queue(&self, limits: &Limits) -> &Arc<Queue> {
        self.queue.get_or_init(|| Arc::new(Queue::new(limits)))
    }

    /// Has `texts` scored, all or a part of those of a `call`, and loads the model first where
    /// that is still to do. `done` gets the unrounded scores in the order of the texts, or one of
    /// the errors of [`Engine::load`] and of scoring.
    pub fn submit(&'static self, config: &Config, call: &Call, texts: Vec<String>, done: Done) {
        let checked = self.check(&self.state(), &config.model);
        if let Err(error) = checked {
            return done(Err(error));
        }
        // Into the queue first: whoever ends a load looks there afterwards.
        let queue = self.queue(&config.limits).clone();
        queue.submit(call, texts, done);
        if self.ready.get().is_none() {
            let call = call.clone();
            self.load(config, move |outcome| {
                if let Err(error) = outcome {
                    queue.fail_call(&call, &error);
                }
            });
        }
    }

    /// What the user should be told about the model that was loaded; once.
    pub fn take_warning(&self) -> Option<String> {
        self.state().warning.take()
    }

    /// Takes what waits for `call` out of the queue; it ends with [`Error::Aborted`].
    pub fn cancel(&self, call: &Call) {
        if let Some(queue) = self.queue.get() {
            queue.cancel(call);
        }
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
    pub fn load(&'static self, config: &Config, done: impl FnOnce(Result<()>) + Send + 'static) {
        let queue = self.queue(&config.limits).clone();
        let mut state = self.state();
        match self.check(&state, &config.model) {
            Err(error) => {
                drop(state);
                return done(Err(error));
            }
            Ok(()) if self.ready.get().is_some() => {
                drop(state);
                return done(Ok(()));
            }
            Ok(()) => (),
        }
        if let Some(loading) = &mut state.loading {
            return loading.waiters.push(Box::new(done));
        }
        let config = config.model.clone();
        let meter = Arc::new(Meter::default());
        let waiters: Vec<Waiter> = vec![Box::new(done)];
        state.loading = Some(Loading { config: config.clone(), waiters });
        state.meter = Some(meter.clone());
        drop(state);
        let thread = std::thread::Builder::new().name(format!("{}load", panic::THREAD));
        let spawned = thread.spawn({
            let queue = queue.clone();
            move || self.finish(&queue, panic::caught(|| Detector::load(&config, &meter)))
        });
        if let Err(error) = spawned {
            let reason = format!("the thread that loads the model cannot start: {error}");
            self.finish(&queue, Err(Error::Internal(reason)));
        }
    }

    fn finish(&self, queue: &Arc<Queue>, loaded: Result<(Detector, Option<String>)>) {
        let mut state = self.state();
        let Some(Loading { config, waiters }) = state.loading.take() else { return };
        state.failed = loaded.is_err();
        if let Some(meter) = &state.meter {
            meter.finish();
        }
        let outcome = loaded.map(|(detector, warning)| {
            let (_, detector) = self.ready.get_or_init(|| (config, Arc::new(detector)));
            state.warning = warning;
            queue.start(detector.clone());
        });
        drop(state);
        if let Err(error) = &outcome {
            queue.fail(error);
        }
        for waiter in waiters {
            waiter(outcome.clone());
        }
    }

    /// Refuses another model than the one that is loaded or being loaded.
    fn check(&self, state: &State, wanted: &ModelConfig) -> Result<()> {
        let loading = || state.loading.as_ref().map(|loading| &loading.config);
        match self.ready.get().map(|(loaded, _)| loaded).or_else(loading) {
            Some(other) => same_model(other, wanted),
            None => Ok(()),
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
