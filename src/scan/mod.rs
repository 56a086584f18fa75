//! Scores files and pipes of log lines: the command line's `scan`.
//!
//! One thread reads and hands groups of records to the queue; the other writes what comes back, in
//! order. A group goes when it is full, or when its source has nothing more at the moment; a few
//! are on their way at a time, so memory does not grow, whatever the size of the input.

pub mod input;
pub mod output;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::analysis::Verdict;
use crate::config::Config;
use crate::engine::ENGINE;
use crate::error::{Error, Result};
use crate::queue::Call;
use input::{Format, Item, Record, Source};
use output::{Form, Output};

/// Records of one group.
const GROUP: usize = 64;

/// Unusable lines that are named; the rest is counted.
const NAMED: u64 = 5;

/// What to read and what to write.
#[derive(Clone, Debug)]
pub struct Scan {
    /// One after the other.
    pub sources: Vec<Source>,
    /// How they are written.
    pub format: Format,
    /// How analyses are to be written.
    pub form: Form,
    /// Whether lines that are not flagged are left out.
    pub only_anomalies: bool,
    /// Only so many lines, those with the highest scores, highest first.
    pub top: Option<usize>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Records that were scored.
    pub records: u64,
    /// Those that were flagged.
    pub anomalies: u64,
    /// Those with bytes that are no UTF-8.
    pub repaired: u64,
    /// Those that were longer than a text may be, and were scored up to there.
    pub cut: u64,
    /// Lines that are no records.
    pub unusable: u64,
    /// Whether it was told to stop before the end.
    pub stopped: bool,
    /// Why it ended before the end: a source broke off. All that came before was scored.
    pub failure: Option<Error>,
    /// From the first record to the last, loading aside.
    pub seconds: f64,
}

/// Records on their way, and where their scores will be.
struct Group {
    records: Vec<Record>,
    scores: Receiver<Result<Vec<f64>>>,
}

/// Scans; `stop` ends it early, with everything written that was scored by then. Gives nothing where whoever reads the
/// output has gone.
///
/// # Errors
/// Those of [`crate::engine::Engine::load`], and [`Error::InvalidInput`] for a source that is not there: before anything
/// is scored, so that nobody finds out after an hour.
pub fn run(scan: &Scan, config: &Config, stop: &'static AtomicBool) -> Result<Option<Summary>> {
    scan.sources.iter().try_for_each(Source::check)?;
    let model_name = load(config, stop)?;
    let bar = progress(&scan.sources);
    // The groups in the channel, the one that is read and the one that is written come on top.
    let (sender, groups) = sync_channel(config.model.threads.get().div_ceil(2));
    let stdout = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let unusable = Arc::new(AtomicU64::new(0));
    let reader = std::thread::Builder::new().name("scan".to_owned()).spawn({
        let (scan, config, bar, unusable) = (scan.clone(), config.clone(), bar.clone(), unusable.clone());
        move || read(&scan, &config, stop, &bar, &unusable, sender)
    });
    let reader = reader.map_err(|error| Error::Internal(format!("the reading thread cannot start: {error}")))?;
    let written = write(scan, config, stop, &bar, groups, stdout, &model_name);
    bar.finish_and_clear();
    let mut summary = match written {
        Ok(summary) => summary,
        // As with `head`: nobody wants more.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
        Err(Failure::Output(error)) => return Err(Error::Internal(format!("the output cannot be written: {error}"))),
        Err(Failure::Engine(error)) => return Err(error),
    };
    // A reader that was stopped may wait for a pipe that stays silent.
    if !summary.stopped {
        let read = reader.join().map_err(|_| Error::Internal("the reading thread panicked".to_owned()))?;
        summary.failure = read.err();
    }
    summary.unusable = unusable.load(Ordering::Relaxed);
    Ok(Some(summary))
}

enum Failure {
    Output(io::Error),
    Engine(Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

fn load(config: &Config, stop: &AtomicBool) -> Result<String> {
    let (sender, receiver) = channel();
    ENGINE.load(config, move |outcome| drop(sender.send(outcome)));
    let lost = || Error::Internal("the load was lost".to_owned());
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(outcome) => break outcome?,
            Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => return Err(Error::Aborted),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(lost()),
        }
    }
    if let Some(warning) = ENGINE.take_warning() {
        eprintln!("audit-anomaly: {warning}");
    }
    ENGINE.detector().map(|detector| detector.model_name().to_owned()).ok_or_else(lost)
}

/// The bar on standard error: of bytes where all sizes are known.
fn progress(sources: &[Source]) -> ProgressBar {
    let total: Option<u64> = sources.iter().map(Source::size).sum();
    // A table that is written to the same terminal shows how far it is.
    let shown = io::stderr().is_terminal() && !io::stdout().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr_with_hz(5) } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(total, target);
    let style = match total {
        Some(_) => "[{wide_bar}] {percent:>3}%  {msg}, {eta} left",
        None => "{spinner} {msg}, {bytes} read",
    };
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message("0 lines");
    bar
}

/// The reading thread.
fn read(
    scan: &Scan,
    config: &Config,
    stop: &AtomicBool,
    bar: &ProgressBar,
    unusable: &AtomicU64,
    groups: SyncSender<Group>,
) -> Result<()> {
    let call = Call::new();
    let mut records = Vec::new();
    let send = |records: &mut Vec<Record>| -> bool {
        let (sender, scores) = channel();
        let texts = records.iter().map(|record| record.text.clone()).collect();
        ENGINE.submit(config, &call, texts, Box::new(move |outcome| drop(sender.send(outcome))));
        // The writer ends first only when all is to end.
        groups.send(Group { records: std::mem::take(records), scores }).is_ok()
    };
    for source in &scan.sources {
        let outcome = source.open(&scan.format, config.max_text_bytes, bar).and_then(|mut input| {
            while let Some(item) = input.next(!records.is_empty())? {
                if stop.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                let full = match item {
                    Item::Record(record) => {
                        records.push(record);
                        records.len() == GROUP
                    }
                    Item::Unusable(number, reason) => {
                        if unusable.fetch_add(1, Ordering::Relaxed) < NAMED {
                            bar.suspend(|| eprintln!("audit-anomaly: {}:{number}: skipped: {reason}", source.name()));
                        }
                        false
                    }
                    Item::Pause => true,
                };
                if full && !send(&mut records) {
                    return Ok(false);
                }
            }
            Ok(true)
        });
        match outcome {
            Ok(true) => (),
            Ok(false) => return Ok(()),
            // What came before it is scored all the same.
            Err(error) => {
                if !records.is_empty() {
                    send(&mut records);
                }
                return Err(error);
            }
        }
    }
    if !records.is_empty() {
        send(&mut records);
    }
    Ok(())
}

/// The writing thread.
fn write(
    scan: &Scan,
    config: &Config,
    stop: &AtomicBool,
    bar: &ProgressBar,
    groups: Receiver<Group>,
    to: impl Write,
    model_name: &str,
) -> Result<Summary, Failure> {
    let mut output = Output::new(to, scan.form, model_name, &scan.sources)?;
    let mut summary = Summary::default();
    let mut highest = Highest::new(scan.top);
    let begun = Instant::now();
    loop {
        let group = match groups.recv_timeout(Duration::from_millis(100)) {
            Ok(group) => group,
            Err(RecvTimeoutError::Timeout) if !stop.load(Ordering::Relaxed) => {
                // Whoever reads a pipe sees what is there.
                output.flush()?;
                continue;
            }
            // After a stop, all that was handed over is still written: it is a few groups.
            Err(_) => break,
        };
        let lost = || Failure::Engine(Error::Internal("the queue lost a group".to_owned()));
        let scores = group.scores.recv().map_err(|_| lost())?.map_err(Failure::Engine)?;
        for (record, score) in group.records.into_iter().zip(scores) {
            let verdict = Verdict::new(score, config.threshold);
            summary.records += 1;
            summary.anomalies += u64::from(verdict.is_anomaly);
            summary.repaired += u64::from(record.repaired);
            summary.cut += u64::from(record.cut);
            if scan.only_anomalies && !verdict.is_anomaly {
                continue;
            }
            if let Some((record, verdict)) = highest.pass(record, verdict) {
                output.write(&record, verdict)?;
            }
        }
        bar.set_message(format!(
            "{} lines, {} anomalies, {:.0} lines/s",
            summary.records,
            summary.anomalies,
            summary.records as f64 / begun.elapsed().as_secs_f64()
        ));
    }
    summary.stopped = stop.load(Ordering::Relaxed);
    summary.seconds = begun.elapsed().as_secs_f64();
    for (record, verdict) in highest.sorted() {
        output.write(&record, verdict)?;
    }
    output.finish()?;
    Ok(summary)
}

/// Keeps the records with the highest scores, of equal ones the first; without a number lets all through.
struct Highest {
    limit: Option<usize>,
    seen: u64,
    kept: BinaryHeap<Reverse<Kept>>,
}

struct Kept {
    verdict: Verdict,
    place: u64,
    record: Record,
}

impl Kept {
    fn key(&self) -> (u64, Reverse<u64>) {
        // The bits of numbers from 0 to 1 are in the order of the numbers.
        (self.verdict.anomaly_score.to_bits(), Reverse(self.place))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Kept {}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Highest {
    fn new(limit: Option<usize>) -> Self {
        Highest { limit, seen: 0, kept: BinaryHeap::new() }
    }

    fn pass(&mut self, record: Record, verdict: Verdict) -> Option<(Record, Verdict)> {
        let Some(limit) = self.limit else { return Some((record, verdict)) };
        self.seen += 1;
        self.kept.push(Reverse(Kept { verdict, place: self.seen, record }));
        if self.kept.len() > limit {
            self.kept.pop();
        }
        None
    }

    fn sorted(self) -> impl Iterator<Item = (Record, Verdict)> {
        // Ascending by what is reversed is descending by score.
        self.kept.into_sorted_vec().into_iter().map(|Reverse(kept)| (kept.record, kept.verdict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Value;

    #[test]
    fn the_highest_are_kept_in_order_and_the_first_of_equal_ones() {
        let mut highest = Highest::new(Some(3));
        for (place, score) in [0.1, 0.9, 0.5, 0.9, 0.7, 0.5].into_iter().enumerate() {
            let id = Value::Integer(place.to_string());
            let record = Record { source: "a".into(), id, text: String::new(), repaired: false, cut: false };
            assert!(highest.pass(record, Verdict::new(score, 0.7)).is_none());
        }
        let kept: Vec<(Value, f64)> =
            highest.sorted().map(|(record, verdict)| (record.id, verdict.anomaly_score)).collect();
        let id = |place: &str| Value::Integer(place.to_owned());
        assert_eq!(kept, [(id("1"), 0.9), (id("3"), 0.9), (id("4"), 0.7)]);
    }
}
