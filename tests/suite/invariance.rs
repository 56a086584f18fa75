//! A score depends on its text alone: not on the batch, its order, or the number of threads.

use std::sync::{Arc, LazyLock};

use audit_anomaly::queue::Queue;
use proptest::prelude::*;

use crate::{score, tiny};

/// In each precision, on one thread and on several.
static MODELS: LazyLock<[[Arc<Queue>; 2]; 2]> = LazyLock::new(|| {
    ["f32", "int8"].map(|precision| {
        ["1", "3"].map(|threads| tiny(&[("ANOMALY_THREADS", threads), ("ANOMALY_PRECISION", precision)]))
    })
});

/// Texts from one character to several windows.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[ -~]{0,80}",
        2 => "\\PC{0,60}",
        2 => ("[a-z]{1,8}", 1..700_usize).prop_map(|(word, times)| [word.as_str()].repeat(times).join(" ")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_score_is_the_same_to_the_last_bit_in_any_batch(
        batch in prop::collection::vec(text(), 1..12).prop_shuffle(),
        rotation in 0..12_usize,
    ) {
        let mut rotated = batch.clone();
        rotated.rotate_left(rotation % batch.len());
        for [one_thread, three_threads] in &*MODELS {
            let together = score(one_thread, &batch);
            let mut elsewhere = score(three_threads, &rotated);
            elsewhere.rotate_right(rotation % batch.len());
            for ((text, together), elsewhere) in batch.iter().zip(&together).zip(&elsewhere) {
                // Alone, a text is split over the threads inside each layer.
                for alone in [one_thread, three_threads].map(|model| score(model, &[text])[0]) {
                    prop_assert_eq!(alone.to_bits(), together.to_bits());
                    prop_assert_eq!(alone.to_bits(), elsewhere.to_bits());
                    prop_assert!((0.0..=1.0).contains(&alone));
                }
            }
        }
    }
}

#[test]
fn no_text_gives_no_score() {
    assert_eq!(score(&MODELS[0][0], &[] as &[&str]), Vec::<f64>::new());
}
