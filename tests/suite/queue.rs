//! The line in front of the model: who waits, who leaves, who is refused, and that nobody is lost.
//!
//! Most tests fill the queue before it has a model, so that what waits is certain.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, mpsc};
use std::time::Duration;

use audit_anomaly::config::{Config, Limits};
use audit_anomaly::detector::Detector;
use audit_anomaly::error::{Error, Result};
use audit_anomaly::queue::{Call, Queue, Stats};
use proptest::prelude::*;

use crate::project;

/// The tiny model on two threads, without a queue.
static DETECTOR: LazyLock<Arc<Detector>> = LazyLock::new(|| {
    let path = project("__test__/fixtures/tiny");
    let config = Config::from_env(|name| match name {
        "ANOMALY_MODEL" => path.to_str().map(str::to_owned),
        "ANOMALY_THREADS" => Some("2".to_owned()),
        _ => None,
    })
    .unwrap();
    Arc::new(Detector::load(&config.model, &Arc::default()).unwrap().0)
});

fn queue(change: impl FnOnce(&mut Limits)) -> Arc<Queue> {
    let mut limits =
        Limits { cache_size: 0, cache_bytes: 1 << 20, max_queue: 1_000, max_queue_bytes: 1 << 20, max_batch: 1 };
    change(&mut limits);
    Arc::new(Queue::new(&limits))
}

/// Submits texts, and gives where their outcome will be.
fn submit(queue: &Arc<Queue>, call: &Call, texts: &[&str]) -> mpsc::Receiver<Result<Vec<f64>>> {
    let (sender, receiver) = mpsc::channel();
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    queue.submit(call, texts, Box::new(move |outcome| sender.send(outcome).unwrap()));
    receiver
}

fn outcome(receiver: &mpsc::Receiver<Result<Vec<f64>>>) -> Result<Vec<f64>> {
    receiver.recv_timeout(Duration::from_secs(30)).expect("a call must end")
}

fn depth(queue: &Queue) -> (u64, u64) {
    let Stats { queue_depth, queue_bytes, .. } = queue.stats();
    (queue_depth, queue_bytes)
}

#[test]
fn equal_texts_are_computed_once_for_all_who_ask() {
    let queue = queue(|_| ());
    let first = submit(&queue, &Call::new(), &["one", "two", "one"]);
    let second = submit(&queue, &Call::new(), &["two", "three", "one"]);
    assert_eq!(depth(&queue), (6, 11), "records, and the bytes of each text once");
    queue.start(DETECTOR.clone());
    let (first, second) = (outcome(&first).unwrap(), outcome(&second).unwrap());
    assert_eq!((first[0], first[1]), (first[2], second[0]));
    assert_eq!(first[0], second[2]);
    assert!(first[0] != first[1] && second[1] != first[1]);
    assert_eq!(queue.stats().sequences, 3);
    assert_eq!(depth(&queue), (0, 0));
}

#[test]
fn calls_that_wait_together_go_into_batches_together() {
    let queue = queue(|_| ());
    let texts: Vec<String> = (0..64).map(|index| format!("line {index}")).collect();
    let calls: Vec<_> = texts.iter().map(|text| submit(&queue, &Call::new(), &[text])).collect();
    queue.start(DETECTOR.clone());
    for call in &calls {
        assert_eq!(outcome(call).unwrap().len(), 1);
    }
    let Stats { batches, sequences, tokens, compute_seconds, .. } = queue.stats();
    assert_eq!(sequences, 64);
    assert!(batches <= tokens / 64 + 2, "{batches} batches of {tokens} tokens");
    assert!(compute_seconds > 0.0);
}

#[test]
fn what_is_cancelled_while_it_waits_is_never_computed() {
    let queue = queue(|_| ());
    let (alone, shared, other) = (Call::new(), Call::new(), Call::new());
    let receivers = [
        submit(&queue, &alone, &["one", "two"]),
        submit(&queue, &alone, &["three"]),
        submit(&queue, &shared, &["four", "five"]),
    ];
    let kept = submit(&queue, &other, &["five"]);
    queue.cancel(&alone);
    queue.cancel(&shared);
    for receiver in &receivers {
        assert_eq!(outcome(receiver), Err(Error::Aborted));
    }
    assert_eq!(depth(&queue), (1, 4));
    queue.start(DETECTOR.clone());
    assert_eq!(outcome(&kept).unwrap(), queue.score(&["five"]).unwrap());
    assert_eq!(queue.stats().sequences, 2, "five, and five again");
    assert_eq!(outcome(&submit(&queue, &alone, &["six"])), Err(Error::Aborted), "a call stays cancelled");
}

#[test]
fn a_full_queue_refuses_calls_and_lets_the_rest_of_admitted_ones_in_later() {
    for full in [|limits: &mut Limits| limits.max_queue = 2, |limits: &mut Limits| limits.max_queue_bytes = 8] {
        let queue = queue(full);
        let large = Call::new();
        queue.admit().unwrap();
        let parts = [["ab", "cdefgh"], ["ij", "klmnop"], ["qr", "stuvwx"]].map(|part| submit(&queue, &large, &part));
        assert_eq!(depth(&queue), (2, 8), "the other parts wait outside");
        let Err(Error::Overloaded(message)) = queue.admit() else { panic!("the queue is full") };
        assert!(message.contains("ANOMALY_MAX_QUEUE"), "{message}");
        queue.start(DETECTOR.clone());
        for part in &parts {
            assert_eq!(outcome(part).unwrap().len(), 2);
        }
        queue.admit().expect("there is room again");
        assert_eq!(queue.stats().refused, 1);
    }
}

#[test]
fn a_call_that_is_cancelled_outside_makes_room_too() {
    let queue = queue(|limits| limits.max_queue = 1);
    let (first, second, third) = (Call::new(), Call::new(), Call::new());
    let outcomes = [submit(&queue, &first, &["a"]), submit(&queue, &second, &["b"]), submit(&queue, &third, &["c"])];
    queue.cancel(&second);
    assert_eq!(outcome(&outcomes[1]), Err(Error::Aborted));
    queue.cancel(&first);
    assert_eq!(depth(&queue), (1, 1), "the third came in");
    queue.start(DETECTOR.clone());
    assert!(outcome(&outcomes[2]).is_ok());
}

#[test]
fn a_load_that_fails_ends_what_waits_and_leaves_the_queue_usable() {
    let queue = queue(|limits| limits.max_queue = 1);
    let outcomes = ["a", "b"].map(|text| submit(&queue, &Call::new(), &[text]));
    let error = Error::ModelNotFound("gone".to_owned());
    queue.fail(&error);
    for receiver in &outcomes {
        assert_eq!(outcome(receiver), Err(error.clone()));
    }
    assert_eq!(depth(&queue), (0, 0));
    queue.start(DETECTOR.clone());
    assert_eq!(queue.score(&["a"]).unwrap().len(), 1);
}

#[test]
fn a_score_is_remembered_to_the_last_bit() {
    let queue = queue(|limits| limits.cache_size = 10);
    queue.start(DETECTOR.clone());
    let found = queue.score(&["one", "two"]).unwrap();
    assert_eq!(queue.score(&["two", "one", "three"]).unwrap()[..2], [found[1], found[0]]);
    let Stats { cache_hits, cache_misses, sequences, .. } = queue.stats();
    assert_eq!((cache_hits, cache_misses, sequences), (2, 3, 3));
}

#[derive(Clone, Debug)]
enum Step {
    Submit { call: usize, texts: Vec<String> },
    Cancel { call: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let text = prop_oneof![
        8 => (0..12_usize).prop_map(|index| format!("line {index}")),
        // Several windows.
        1 => (0..3_usize).prop_map(|index| format!("{index} words ").repeat(300 + 100 * index)),
    ];
    prop_oneof![
        3 => (0..6_usize, prop::collection::vec(text, 0..6)).prop_map(|(call, texts)| Step::Submit { call, texts }),
        1 => (0..6_usize).prop_map(|call| Step::Cancel { call }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_call_ends_once_with_its_scores_or_because_it_was_cancelled(
        steps in prop::collection::vec(step(), 1..40),
        start in 0..40_usize,
        max_queue in 1..20_usize,
        cache_size in prop_oneof![Just(0_usize), Just(4)],
    ) {
        let queue = queue(|limits| (limits.max_queue, limits.cache_size) = (max_queue, cache_size));
        let calls: Vec<Call> = (0..6).map(|_| Call::new()).collect();
        let mut pending = Vec::new();
        let ended = Arc::new(AtomicUsize::new(0));
        for (index, step) in steps.iter().enumerate() {
            if index == start {
                queue.start(DETECTOR.clone());
            }
            match step {
                Step::Cancel { call } => queue.cancel(&calls[*call]),
                Step::Submit { call, texts } => {
                    let (sender, receiver) = mpsc::channel();
                    let ended = ended.clone();
                    queue.submit(&calls[*call], texts.clone(), Box::new(move |outcome| {
                        ended.fetch_add(1, Ordering::SeqCst);
                        sender.send(outcome).unwrap();
                    }));
                    let cancels = |step: &Step| matches!(step, Step::Cancel { call: other } if other == call);
                    let cancelled = steps[..index].iter().any(cancels);
                    let may_be_cancelled = cancelled || steps[index..].iter().any(cancels);
                    pending.push((texts, receiver, cancelled, may_be_cancelled));
                }
            }
        }
        queue.start(DETECTOR.clone());
        let submitted = pending.len();
        for (texts, receiver, cancelled, may_be_cancelled) in pending {
            match outcome(&receiver) {
                Ok(scores) => {
                    prop_assert!(!cancelled);
                    for (text, score) in texts.iter().zip(&scores) {
                        prop_assert_eq!(score.to_bits(), ALONE.score(&[text]).unwrap()[0].to_bits());
                    }
                    prop_assert_eq!(scores.len(), texts.len());
                }
                Err(error) => {
                    prop_assert!(may_be_cancelled);
                    prop_assert_eq!(error, Error::Aborted);
                }
            }
        }
        prop_assert_eq!(ended.load(Ordering::SeqCst), submitted);
        prop_assert_eq!(depth(&queue), (0, 0));
    }
}

/// Scores one text after the other.
static ALONE: LazyLock<Arc<Queue>> = LazyLock::new(|| {
    let queue = queue(|limits| limits.cache_size = 1_000);
    queue.start(DETECTOR.clone());
    queue
});
