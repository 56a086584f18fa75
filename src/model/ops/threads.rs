//! One op split over the threads of its pool.

use std::ops::Range;

use rayon::prelude::*;

/// Over how many threads an op may split its work: 1 for a batch, whose parts run side by side on
/// single threads, and all of the pool for a lone text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(pub usize);

impl Threads {
    /// Calls `work` with ranges that make up `0..items`, at once on several threads.
    ///
    /// Must be called on a thread of the pool that is to be used.
    #[inline]
    pub fn split(self, items: usize, work: impl Fn(Range<usize>) + Sync) {
        let parts = self.0.min(items);
        if parts <= 1 {
            return work(0..items);
        }
        (0..parts).into_par_iter().with_max_len(1).for_each(|part| {
            work(items * part / parts..items * (part + 1) / parts);
        });
    }
}

/// A matrix of which several threads write different elements.
#[derive(Clone, Copy)]
pub struct Shared<'a, T> {
    start: *mut T,
    length: usize,
    lifetime: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: all access is through `slice_mut`, whose caller answers for it.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Shares `data`.
    pub fn new(data: &'a mut [T]) -> Self {
        Shared { start: data.as_mut_ptr(), length: data.len(), lifetime: std::marker::PhantomData }
    }

    /// `length` elements from `start` on.
    ///
    /// # Safety
    /// No other reference to any of them may be alive.
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "the caller keeps the slices apart")]
    pub unsafe fn slice_mut(&self, start: usize, length: usize) -> &mut [T] {
        assert!(start <= self.length && length <= self.length - start);
        // SAFETY: within the data, which outlives this, and not aliased as the caller says.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), length) }
    }
}
