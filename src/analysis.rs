//! From logits to what is reported: the anomaly score, its rounding, and the verdict.

/// The probability of a label set by softmax over `logits`, in `f64`.
///
/// `anomalous` holds the indices of the labels that count as anomalous: `NEGATIVE` alone for the
/// sentiment models. With two labels this is the Python service's mapping: the confidence where
/// the label is `NEGATIVE`, one minus the confidence where it is `POSITIVE`.
pub fn probability(logits: &[f32], anomalous: &[usize]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - max).exp()).collect();
    let total: f64 = exp.iter().sum();
    anomalous.iter().map(|&index| exp[index]).sum::<f64>() / total
}

/// The probability of the likeliest of the `anomalous` labels where each has one of its own, by the
/// logistic function, in `f64`.
pub fn highest_probability(logits: &[f32], anomalous: &[usize]) -> f64 {
    let most = anomalous.iter().map(|&index| logits[index]).fold(f32::NEG_INFINITY, f32::max);
    1.0 / (1.0 + (-f64::from(most)).exp())
}

/// What is reported of one log line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Probability that the line is anomalous, 0 to 1, rounded to 4 decimals.
    pub anomaly_score: f64,
    /// Whether the rounded score reaches the threshold.
    pub is_anomaly: bool,
}

impl Verdict {
    /// Rounds `score` as the Python service does, then compares what is reported.
    pub fn new(score: f64, threshold: f64) -> Self {
        let anomaly_score = round4(score);
        Verdict { anomaly_score, is_anomaly: anomaly_score >= threshold }
    }
}

/// Rounds to 4 decimals like Python's `round(x, 4)`: to the nearest decimal of the exact binary
/// value, ties to even. `(x * 1e4).round() / 1e4` differs, since its product is rounded before.
fn round4(score: f64) -> f64 {
    // Formatting is exact, and what it wrote is always a number.
    format!("{score:.4}").parse().unwrap_or(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_labels_are_complementary() {
        let logits = [4.1692, -3.3464];
        let (negative, positive) = (probability(&logits, &[0]), probability(&logits, &[1]));
        assert!((negative - 0.999_455).abs() < 1e-6, "{negative}");
        assert!((negative + positive - 1.0).abs() < 1e-15);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        assert_eq!(probability(&[1e30, -1e30], &[0]), 1.0);
        assert_eq!(probability(&[-3e38, 3e38], &[0]), 0.0);
    }

    #[test]
    fn rounding_is_pythons() {
        // Values of Python's round(x, 4). Multiplying by 1e4 first gets 0.00045 wrong when it
        // rounds halves up, and 0.12345 when it rounds them to even.
        for (value, rounded) in
            [(0.00045, 0.0004), (0.12345, 0.1235), (0.00015, 0.0001), (0.99995, 1.0), (1.0, 1.0), (0.0, 0.0)]
        {
            assert_eq!(round4(value), rounded, "{value}");
        }
    }

    #[test]
    fn the_verdict_follows_the_reported_score() {
        assert!(Verdict::new(0.699_96, 0.7).is_anomaly);
        assert!(!Verdict::new(0.699_94, 0.7).is_anomaly);
    }
}
