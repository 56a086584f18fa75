//! Scores of texts that were scored before.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::unsync;

use crate::config::Limits;

/// A bounded map from text to unrounded score.
///
/// The key is the text itself, so that no two texts can share a score; the hash is seeded at
/// random, so that nobody can choose texts that collide. What is dropped is decided by S3-FIFO
/// (Yang et al., SOSP 2023): lines that never come again do not drive out those that do.
pub struct Cache(unsync::Cache<Arc<str>, f64, Weight>);

/// Beside its text, an entry takes about so many bytes: reference counts, length, score, and its
/// place in the table and in the queues.
const OVERHEAD: u64 = 96;

/// One weight for both bounds: an entry weighs its bytes, or one entry's share of all bytes where
/// that is more.
#[derive(Clone)]
struct Weight {
    share: u64,
}

impl Weighter<Arc<str>, f64> for Weight {
    fn weight(&self, text: &Arc<str>, _score: &f64) -> u64 {
        self.share.max(text.len() as u64 + OVERHEAD)
    }
}

impl Cache {
    /// A cache of at most `cache_size` entries that take at most `cache_bytes`; `None` if either
    /// is 0.
    pub fn new(limits: &Limits) -> Option<Self> {
        let (size, bytes) = (limits.cache_size as u64, limits.cache_bytes as u64);
        if size == 0 || bytes == 0 {
            return None;
        }
        let share = bytes.div_ceil(size);
        // Room for entries of this kind is made ahead; it grows if they are smaller.
        let expected = bytes / share.max(OVERHEAD + 100);
        Some(Cache(unsync::Cache::with_weighter(expected as usize, bytes, Weight { share })))
    }

    /// The score of `text`, if it is remembered.
    pub fn get(&self, text: &str) -> Option<f64> {
        self.0.get(text).copied()
    }

    /// Remembers the score of `text`, unless it is too large.
    pub fn insert(&mut self, text: Arc<str>, score: f64) {
        self.0.insert(text, score);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(cache_size: usize, cache_bytes: usize) -> Limits {
        Limits { cache_size, cache_bytes, max_queue: 1, max_queue_bytes: 1, max_batch: 1 }
    }

    #[test]
    fn either_bound_turns_it_off_at_0() {
        assert!(Cache::new(&limits(0, 1 << 20)).is_none());
        assert!(Cache::new(&limits(10, 0)).is_none());
    }

    #[test]
    fn it_keeps_to_both_bounds() {
        for (size, bytes, length) in [(10, 1 << 20, 5), (1 << 20, 10_000, 5), (1 << 20, 100_000, 9_000), (3, 700, 50)] {
            let mut cache = Cache::new(&limits(size, bytes)).unwrap();
            let texts: Vec<Arc<str>> = (0..1_000).map(|index| format!("{index:length$}").into()).collect();
            for (index, text) in texts.iter().enumerate() {
                cache.insert(text.clone(), index as f64);
            }
            let kept: Vec<usize> = (0..1_000).filter(|&index| cache.get(&texts[index]).is_some()).collect();
            assert!(!kept.is_empty() && kept.len() <= size, "{} of {size}", kept.len());
            assert!(kept.len() * length <= bytes, "{} texts of {length} bytes in {bytes}", kept.len());
            for index in kept {
                assert_eq!(cache.get(&texts[index]), Some(index as f64));
            }
        }
    }

    #[test]
    fn lines_that_never_come_again_do_not_drive_out_one_that_does() {
        let mut cache = Cache::new(&limits(100, 1 << 20)).unwrap();
        cache.insert("often".into(), 0.5);
        for index in 0..10_000 {
            assert_eq!(cache.get("often"), Some(0.5), "after {index} others");
            cache.insert(format!("once {index}").into(), 0.1);
        }
    }

    #[test]
    fn a_text_that_is_too_large_is_not_kept() {
        let mut cache = Cache::new(&limits(10, 1_000)).unwrap();
        cache.insert("small".into(), 0.5);
        cache.insert("x".repeat(2_000).into(), 0.1);
        assert_eq!(cache.get(&"x".repeat(2_000)), None);
    }
}
