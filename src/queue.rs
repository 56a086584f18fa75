//! What waits to be scored, and the workers that score it.
//!
//! Texts wait in one line, first come first served. Each thread of the detector is a worker that
//! takes a batch of about [`BATCH_TOKENS`] tokens from the head of the line, scores it, and comes
//! back: calls that arrive meanwhile go together into the next batches, and nobody waits for a
//! batch to fill. A text that comes when all are idle is split over all threads instead.
//!
//! A text is in here once, however many calls ask for it. It leaves the line when the last of them
//! gives up.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use crate::cache::Cache;
use crate::config::Limits;
use crate::detector::Detector;
use crate::error::{Error, Result};
use crate::panic;

/// Tokens of one batch: enough that the weights are worth their way from memory, few enough that
/// the activations stay in the cache.
const BATCH_TOKENS: usize = 128;

/// A call, by which its texts can be taken out of the queue together.
#[derive(Clone, Debug)]
pub struct Call {
    number: u64,
    cancelled: Arc<AtomicBool>,
}

impl Call {
    /// A call that is none of the others.
    #[allow(clippy::new_without_default, reason = "no two are equal")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Call { number: NEXT.fetch_add(1, Ordering::Relaxed), cancelled: Arc::default() }
    }
}

/// Called once with the unrounded scores of a job's texts, in their order, or with why there are
/// none. It is called on any thread, and must not block.
pub type Done = Box<dyn FnOnce(Result<Vec<f64>>) + Send>;

/// What was done since the process started, and what waits now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Records whose text waits for a worker.
    pub queue_depth: u64,
    /// Bytes of those texts; one that several records have in common counts once.
    pub queue_bytes: u64,
    /// Calls, those aside that were refused.
    pub requests: u64,
    /// Calls that were refused, since the queue was full.
    pub refused: u64,
    /// Records of those calls.
    pub records: u64,
    /// Batches that went through the model.
    pub batches: u64,
    /// Sequences in those batches: one for each text, several for one that is longer than the model.
    pub sequences: u64,
    /// Tokens in those batches.
    pub tokens: u64,
    /// Texts whose score was remembered.
    pub cache_hits: u64,
    /// Texts whose score was looked for and not found.
    pub cache_misses: u64,
    /// What the workers' time on batches adds up to.
    pub compute_seconds: f64,
    /// What the texts' time in the line adds up to.
    pub wait_seconds: f64,
}

/// The line of texts in front of a detector.
pub struct Queue {
    max_records: usize,
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// None until the model is loaded; texts can wait already.
    detector: Option<Arc<Detector>>,
    /// Workers that are not idle.
    busy: usize,
    /// Whether a batch is split over all threads now.
    split: bool,
    next: u64,
    jobs: BTreeMap<JobKey, Job>,
    flights: HashMap<FlightKey, Flight>,
    by_text: HashMap<Arc<str>, FlightKey>,
    /// Texts that no worker has taken; those that left since are no longer in `flights`.
    line: VecDeque<FlightKey>,
    /// What did not fit into the batch of the worker that took the text.
    windows: VecDeque<Window>,
    /// Jobs that come in as room appears.
    outside: VecDeque<(u64, Vec<String>, Done)>,
    cache: Option<Cache>,
    stats: Stats,
}

/// The call, and a number of its own.
type JobKey = (u64, u64);
type FlightKey = u64;

/// Texts that were submitted together.
struct Job {
    scores: Vec<f64>,
    /// Texts without a score.
    left: usize,
    /// The flights of all its texts, those that have ended too.
    flights: Vec<FlightKey>,
    done: Done,
}

/// A text on its way to its score, and who asked for it.
struct Flight {
    text: Arc<str>,
    since: Instant,
    seats: Vec<Seat>,
    progress: Progress,
}

struct Seat {
    job: JobKey,
    /// Which of the job's texts it is.
    index: usize,
    /// Whether it is part of the queue's depth.
    waits: bool,
}

enum Progress {
    InLine,
    /// The highest score so far, and how many windows are to come.
    Taken {
        score: f64,
        left: usize,
    },
}

/// A sequence of token ids and the text that it is of.
struct Window {
    flight: FlightKey,
    ids: Vec<u32>,
}

/// What a worker finds at the head of the line.
enum Head {
    Window(Window),
    Text(FlightKey, Arc<str>),
}

/// Calls that have come to their end under the lock, and are told after it.
#[derive(Default)]
struct Settled(Vec<(Done, Result<Vec<f64>>)>);

impl Settled {
    fn tell(self) {
        for (done, outcome) in self.0 {
            // The others are to be told in any case.
            let _ = panic::caught(|| {
                done(outcome);
                Ok(())
            });
        }
    }
}

impl Queue {
    /// An empty queue without a detector.
    pub fn new(limits: &Limits) -> Self {
        let state = State { cache: Cache::new(limits), ..State::default() };
        Queue { max_records: limits.max_queue, max_bytes: limits.max_queue_bytes, state: Mutex::new(state) }
    }

    /// Lets `detector` score what waits and what comes.
    pub fn start(self: &Arc<Self>, detector: Arc<Detector>) {
        let mut state = self.state();
        state.detector = Some(detector);
        self.wake(&mut state);
    }

    /// Ends with `error` all that waits.
    pub fn fail(&self, error: &Error) {
        let mut settled = Settled::default();
        let mut state = self.state();
        settled.0.extend(state.outside.drain(..).map(|(_, _, done)| (done, Err(error.clone()))));
        while let Some((&job, _)) = state.jobs.first_key_value() {
            state.fail(job, error, &mut settled);
        }
        state.line.clear();
        state.windows.clear();
        drop(state);
        settled.tell();
    }

    /// Refuses a new call when there is no room for it.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if as many records or bytes wait as may.
    pub fn admit(&self) -> Result<()> {
        let mut state = self.state();
        if self.full(&state) || !state.outside.is_empty() {
            state.stats.refused += 1;
            let Stats { queue_depth, queue_bytes, .. } = state.stats;
            return Err(Error::Overloaded(format!(
                "the queue is full: {queue_depth} records of {queue_bytes} bytes wait; ANOMALY_MAX_QUEUE allows {}, \
                 ANOMALY_MAX_QUEUE_BYTES {}",
                self.max_records, self.max_bytes,
            )));
        }
        Ok(())
    }

    /// Counts so many calls and records, for the [`Stats`] alone.
    pub fn count(&self, requests: usize, records: usize) {
        let stats = &mut self.state().stats;
        stats.requests += requests as u64;
        stats.records += records as u64;
    }

    /// Has `texts` scored, all or a part of those of a `call`. They wait outside while the queue
    /// is full. `done` may be called before this returns, and is if the call was cancelled.
    pub fn submit(self: &Arc<Self>, call: &Call, texts: Vec<String>, done: Done) {
        let mut settled = Settled::default();
        let mut state = self.state();
        if call.cancelled.load(Ordering::Relaxed) {
            settled.0.push((done, Err(Error::Aborted)));
        } else {
            state.outside.push_back((call.number, texts, done));
        }
        self.let_in(&mut state, &mut settled);
        self.wake(&mut state);
        drop(state);
        settled.tell();
    }

    /// The unrounded scores of `texts`, in their order; waits for them.
    ///
    /// # Errors
    /// [`Error::Internal`] for a bug, a panic included.
    pub fn score(self: &Arc<Self>, texts: &[impl AsRef<str>]) -> Result<Vec<f64>> {
        let (sender, receiver) = mpsc::channel();
        let texts = texts.iter().map(|text| text.as_ref().to_owned()).collect();
        // Nobody listens only if this thread has unwound.
        self.submit(&Call::new(), texts, Box::new(move |outcome| drop(sender.send(outcome))));
        receiver.recv().unwrap_or_else(|_| Err(Error::Internal("the queue lost a call".to_owned())))
    }

    /// Ends with [`Error::Aborted`] what was submitted for `call` and has no score yet, and what
    /// will be. What waits is never computed; the scores of what is being computed are dropped.
    pub fn cancel(self: &Arc<Self>, call: &Call) {
        let mut state = self.state();
        // Read and written under the lock alone.
        call.cancelled.store(true, Ordering::Relaxed);
        let settled = self.give_up(&mut state, call, &Error::Aborted);
        drop(state);
        settled.tell();
    }

    /// Ends with `error` what was submitted for `call` so far and has no score yet.
    pub fn fail_call(self: &Arc<Self>, call: &Call, error: &Error) {
        let mut state = self.state();
        let settled = self.give_up(&mut state, call, error);
        drop(state);
        settled.tell();
    }

    /// What was done so far, and what waits now.
    pub fn stats(&self) -> Stats {
        self.state().stats
    }

    fn give_up(self: &Arc<Self>, state: &mut State, call: &Call, error: &Error) -> Settled {
        let mut settled = Settled::default();
        for (other, texts, done) in std::mem::take(&mut state.outside) {
            if other == call.number {
                settled.0.push((done, Err(error.clone())));
            } else {
                state.outside.push_back((other, texts, done));
            }
        }
        while let Some((&job, _)) = state.jobs.range((call.number, 0)..=(call.number, u64::MAX)).next() {
            state.fail(job, error, &mut settled);
        }
        // Without a worker nobody else takes what has left out of the line.
        while state.line.front().is_some_and(|flight| !state.flights.contains_key(flight)) {
            state.line.pop_front();
        }
        self.let_in(state, &mut settled);
        self.wake(state);
        settled
    }

    fn full(&self, state: &State) -> bool {
        state.stats.queue_depth >= self.max_records as u64 || state.stats.queue_bytes >= self.max_bytes as u64
    }

    /// Lets jobs in from outside while there is room.
    fn let_in(&self, state: &mut State, settled: &mut Settled) {
        while !self.full(state) {
            let Some((call, texts, done)) = state.outside.pop_front() else { return };
            state.enter(call, texts, done, settled);
        }
    }

    /// Starts as many idle workers as there is something to do for.
    fn wake(self: &Arc<Self>, state: &mut State) {
        let Some(detector) = &state.detector else { return };
        // What is split over all threads must not wait for one that has taken a batch of its own.
        if state.split {
            return;
        }
        let idle = detector.threads() - state.busy;
        let started = idle.min(state.line.len() + state.windows.len());
        for _ in 0..started {
            let (queue, worker) = (self.clone(), detector.clone());
            detector.spawn(move || queue.work(&worker));
        }
        state.busy += started;
    }

    /// A worker: takes batches until there is nothing left.
    fn work(self: Arc<Self>, detector: &Detector) {
        while let Some((batch, threads)) = self.next_batch(detector) {
            let begun = Instant::now();
            let sequences: Vec<&[u32]> = batch.iter().map(|window| &*window.ids).collect();
            let scores = panic::caught(|| detector.score(&sequences, threads));
            let tokens: usize = sequences.iter().map(|ids| ids.len()).sum();
            let mut settled = Settled::default();
            let mut state = self.state();
            state.split = false;
            state.stats.batches += 1;
            state.stats.sequences += batch.len() as u64;
            state.stats.tokens += tokens as u64;
            state.stats.compute_seconds += begun.elapsed().as_secs_f64();
            match scores {
                Ok(scores) => {
                    for (window, score) in batch.iter().zip(scores) {
                        state.scored(window.flight, score, &mut settled);
                    }
                }
                Err(error) => {
                    for window in &batch {
                        state.crash(window.flight, &error, &mut settled);
                    }
                }
            }
            self.let_in(&mut state, &mut settled);
            self.wake(&mut state);
            drop(state);
            settled.tell();
        }
    }

    /// The next batch, and over how many threads to split it; `None` ends the worker.
    fn next_batch(self: &Arc<Self>, detector: &Detector) -> Option<(Vec<Window>, usize)> {
        let (mut batch, mut tokens, mut budget) = (Vec::new(), 0, BATCH_TOKENS);
        let mut settled = Settled::default();
        let mut state = self.state();
        // While a lone text is split over all threads, this one is needed for that.
        while !state.split && tokens < budget {
            if batch.is_empty() {
                budget = state.share(detector.threads());
            }
            match state.pop() {
                None => break,
                Some(Head::Window(window)) if batch.is_empty() || tokens + window.ids.len() <= budget => {
                    tokens += window.ids.len();
                    batch.push(window);
                }
                Some(Head::Window(window)) => {
                    state.windows.push_front(window);
                    break;
                }
                Some(Head::Text(flight, text)) => {
                    self.let_in(&mut state, &mut settled);
                    drop(state);
                    let windows = panic::caught(|| detector.windows(&text));
                    state = self.state();
                    match windows {
                        Ok(windows) => state.cut(flight, windows),
                        Err(error) => {
                            state.crash(flight, &error, &mut settled);
                            self.let_in(&mut state, &mut settled);
                        }
                    }
                }
            }
        }
        let lone = state.busy == 1 && state.line.is_empty() && state.windows.is_empty();
        let threads = if lone { detector.threads() } else { 1 };
        if batch.is_empty() {
            state.busy -= 1;
        } else {
            state.split = threads > 1;
            self.wake(&mut state);
        }
        drop(state);
        settled.tell();
        (!batch.is_empty()).then_some((batch, threads))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Should something panic under the lock, what it left is still the best there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Takes up a job: remembered scores at once, the other texts at the end of the line.
    fn enter(&mut self, call: u64, texts: Vec<String>, done: Done, settled: &mut Settled) {
        let key = (call, self.next());
        let mut job = Job { scores: vec![0.0; texts.len()], left: 0, flights: Vec::new(), done };
        for (index, text) in texts.into_iter().enumerate() {
            if let Some(cache) = &self.cache {
                if let Some(score) = cache.get(&text) {
                    self.stats.cache_hits += 1;
                    job.scores[index] = score;
                    continue;
                }
                self.stats.cache_misses += 1;
            }
            let flight = self.flight(text);
            job.left += 1;
            job.flights.push(flight);
            self.stats.queue_depth += 1;
            if let Some(flight) = self.flights.get_mut(&flight) {
                flight.seats.push(Seat { job: key, index, waits: true });
            }
        }
        if job.left == 0 {
            settled.0.push((job.done, Ok(job.scores)));
        } else {
            self.jobs.insert(key, job);
        }
    }

    /// The flight of a text: the one under way, or a new one.
    fn flight(&mut self, text: String) -> FlightKey {
        if let Some(&key) = self.by_text.get(text.as_str()) {
            return key;
        }
        let (key, text) = (self.next(), Arc::<str>::from(text));
        self.stats.queue_bytes += text.len() as u64;
        self.by_text.insert(text.clone(), key);
        self.flights.insert(key, Flight { text, since: Instant::now(), seats: Vec::new(), progress: Progress::InLine });
        self.line.push_back(key);
        key
    }

    /// Tokens for the batch of one worker: a full batch, or a fair share where all idle workers
    /// would have less than that.
    fn share(&self, threads: usize) -> usize {
        // A token of log text is about four bytes.
        let tokens = self.stats.queue_bytes as usize / 4 + self.windows.iter().map(|w| w.ids.len()).sum::<usize>();
        tokens.div_ceil(threads.saturating_sub(self.busy) + 1).clamp(BATCH_TOKENS / 2, BATCH_TOKENS)
    }

    /// Takes what is next, if anything.
    fn pop(&mut self) -> Option<Head> {
        while let Some(window) = self.windows.pop_front() {
            // Its text may have left meanwhile.
            if self.flights.contains_key(&window.flight) {
                return Some(Head::Window(window));
            }
        }
        while let Some(key) = self.line.pop_front() {
            let Some(flight) = self.flights.get_mut(&key) else { continue };
            flight.progress = Progress::Taken { score: 0.0, left: 0 };
            for seat in &mut flight.seats {
                seat.waits = false;
            }
            self.stats.queue_depth -= flight.seats.len() as u64;
            self.stats.queue_bytes -= flight.text.len() as u64;
            self.stats.wait_seconds += flight.since.elapsed().as_secs_f64();
            return Some(Head::Text(key, flight.text.clone()));
        }
        None
    }

    /// The windows of a text that was taken go to the head of the line.
    fn cut(&mut self, key: FlightKey, windows: Vec<Vec<u32>>) {
        if let Some(Flight { progress: Progress::Taken { left, .. }, .. }) = self.flights.get_mut(&key) {
            *left = windows.len();
            for ids in windows.into_iter().rev() {
                self.windows.push_front(Window { flight: key, ids });
            }
        }
    }

    /// One window of a text has its score; the last one gives the text's score to all who asked.
    fn scored(&mut self, key: FlightKey, found: f64, settled: &mut Settled) {
        let Some(Flight { progress: Progress::Taken { score, left }, .. }) = self.flights.get_mut(&key) else { return };
        *score = score.max(found);
        *left -= 1;
        if *left > 0 {
            return;
        }
        let score = *score;
        let Some(flight) = self.land(key) else { return };
        for seat in flight.seats {
            let Some(job) = self.jobs.get_mut(&seat.job) else { continue };
            job.scores[seat.index] = score;
            job.left -= 1;
            if job.left == 0
                && let Some(job) = self.jobs.remove(&seat.job)
            {
                settled.0.push((job.done, Ok(job.scores)));
            }
        }
        if let Some(cache) = &mut self.cache {
            cache.insert(flight.text, score);
        }
    }

    /// Takes a text out of the queue, wherever it is.
    fn land(&mut self, key: FlightKey) -> Option<Flight> {
        let flight = self.flights.remove(&key)?;
        self.by_text.remove(&flight.text);
        self.stats.queue_depth -= flight.seats.iter().filter(|seat| seat.waits).count() as u64;
        if matches!(flight.progress, Progress::InLine) {
            self.stats.queue_bytes -= flight.text.len() as u64;
        }
        Some(flight)
    }

    /// A text cannot be scored: all jobs that have it fail.
    fn crash(&mut self, key: FlightKey, error: &Error, settled: &mut Settled) {
        if let Some(flight) = self.land(key) {
            for seat in flight.seats {
                self.fail(seat.job, error, settled);
            }
        }
    }

    /// Ends a job with `error`; texts that nobody else asked for leave the queue.
    fn fail(&mut self, key: JobKey, error: &Error, settled: &mut Settled) {
        let Some(job) = self.jobs.remove(&key) else { return };
        for key_of_flight in job.flights {
            let Some(flight) = self.flights.get_mut(&key_of_flight) else { continue };
            let waits = |seats: &[Seat]| seats.iter().filter(|seat| seat.waits).count() as u64;
            let before = waits(&flight.seats);
            flight.seats.retain(|seat| seat.job != key);
            self.stats.queue_depth -= before - waits(&flight.seats);
            if flight.seats.is_empty() {
                self.land(key_of_flight);
            }
        }
        settled.0.push((job.done, Err(error.clone())));
    }
}
