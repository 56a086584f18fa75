//! One op split over several threads.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For so long a thread that waits for another looks again and again; then it goes to sleep. The
/// steps between two ops take less, and to be woken takes as long.
const PATIENCE: Duration = Duration::from_micros(50);

/// Parts of an op for each thread: one that is held up leaves the rest to the others.
const PARTS: usize = 4;

/// Over which threads an op splits its work.
#[derive(Clone, Copy)]
pub struct Threads<'a>(Option<&'a Team>);

impl Threads<'_> {
    /// The calling thread alone: for a batch, whose like run side by side on other threads.
    pub const ONE: Threads<'static> = Threads(None);

    /// Calls `work` with ranges that make up `0..items`, at once on several threads, and returns
    /// when all are done. `work` must not split anything itself.
    ///
    /// # Panics
    /// When `work` does.
    #[inline]
    pub fn split(self, items: usize, work: impl Fn(Range<usize>) + Sync) {
        match self.0 {
            Some(team) if items > 1 => team.split(items, &work),
            _ => work(0..items),
        }
    }
}

/// Calls `work` with the calling thread and `count - 1` others of its rayon pool, as far as those
/// are idle: for a lone text, all of whose ops are split.
///
/// The others stay for as long as `work` runs, and between its ops look for the next one instead of
/// going back to the pool: a text has dozens of ops, each of which would wait for them to wake.
pub fn together<T>(count: usize, work: impl FnOnce(Threads<'_>) -> T) -> T {
    if count <= 1 {
        return work(Threads::ONE);
    }
    let team = Team { members: count, ..Team::default() };
    rayon::in_place_scope(|scope| {
        for _ in 1..count {
            scope.spawn(|_| team.serve());
        }
        // In any case, or the scope would never end.
        let _end = End(&team);
        work(Threads(Some(&team)))
    })
}

/// Threads that work on the same ops, one after the other.
#[derive(Default)]
struct Team {
    members: usize,
    /// The op that is under way, of the thread that leads.
    job: AtomicPtr<Job<'static>>,
    /// Threads that may have the address of `job`.
    inside: AtomicUsize,
    ended: AtomicBool,
    /// Threads that wait to be woken.
    asleep: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
}

/// An op in parts, which whoever comes takes.
struct Job<'a> {
    work: &'a (dyn Fn(Range<usize>) + Sync),
    items: usize,
    parts: usize,
    next: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Job<'_> {
    /// Works until no part is left.
    fn help(&self) {
        let Job { items, parts, .. } = *self;
        let done = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let part = self.next.fetch_add(1, Ordering::Relaxed);
                if part >= parts {
                    break;
                }
                (self.work)(items * part / parts..items * (part + 1) / parts);
            }
        }));
        if let Err(panic) = done {
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
    }
}

impl Team {
    /// On the thread that leads.
    fn split(&self, items: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
        let parts = items.min(PARTS * self.members);
        let job = Job { work, items, parts, next: AtomicUsize::new(0), panic: Mutex::default() };
        self.job.store((&raw const job).cast_mut().cast(), Ordering::SeqCst);
        self.wake();
        job.help();
        // From here on nobody gets the address. Who has it is counted, and waited for.
        self.job.store(ptr::null_mut(), Ordering::SeqCst);
        let start = Instant::now();
        while self.inside.load(Ordering::SeqCst) > 0 {
            if start.elapsed() < PATIENCE {
                std::hint::spin_loop();
            } else {
                // The other is in its last part; if it does not run, this processor may be its.
                std::thread::yield_now();
            }
        }
        if let Some(panic) = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
    }

    /// On the other threads: helps with one op after the other, to the end.
    fn serve(&self) {
        while self.wait() {
            self.inside.fetch_add(1, Ordering::SeqCst);
            let job = self.job.load(Ordering::SeqCst);
            // SAFETY: the job lives until `split` returns, which after it has taken the address back waits
            // for `inside` to be 0; this thread was counted there before it read the address.
            if let Some(job) = unsafe { job.as_ref() } {
                job.help();
            }
            self.inside.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Returns when there is an op with parts left, or `false` at the end.
    fn wait(&self) -> bool {
        let news = || !self.job.load(Ordering::SeqCst).is_null() || self.ended.load(Ordering::SeqCst);
        let start = Instant::now();
        while !news() {
            if start.elapsed() < PATIENCE {
                std::hint::spin_loop();
                continue;
            }
            let mut guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever has news stores it and then reads `asleep`: one of both sees the other.
            self.asleep.fetch_add(1, Ordering::SeqCst);
            while !news() {
                guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            self.asleep.fetch_sub(1, Ordering::SeqCst);
        }
        !self.ended.load(Ordering::SeqCst)
    }

    /// Wakes who sleeps, for the news that was just stored.
    fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) > 0 {
            drop(self.sleep.lock().unwrap_or_else(PoisonError::into_inner));
            self.wake.notify_all();
        }
    }
}

/// Ends a team when it is dropped.
struct End<'a>(&'a Team);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
        self.0.wake();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    #[test]
    fn every_item_is_worked_on_once() {
        for threads in [1, 2, 3, 8] {
            pool(threads).install(|| {
                together(threads, |threads| {
                    for items in (0..40).chain([1_000]) {
                        let times: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
                        threads.split(items, |range| {
                            range.for_each(|item| {
                                times[item].fetch_add(1, Ordering::Relaxed);
                            });
                        });
                        assert!(times.iter().all(|times| times.load(Ordering::Relaxed) == 1));
                    }
                });
            });
        }
    }

    #[test]
    fn others_help_even_after_a_sleep() {
        pool(2).install(|| {
            together(2, |threads| {
                for _ in 0..20 {
                    std::thread::sleep(4 * PATIENCE);
                    // Two parts that each wait for the other can only end on two threads.
                    let barrier = std::sync::Barrier::new(2);
                    threads.split(2, |_| {
                        barrier.wait();
                    });
                }
            });
        });
    }

    #[test]
    fn without_help_the_thread_works_alone() {
        let busy = AtomicBool::new(true);
        let pool = pool(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pool.install(|| {
                    while busy.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                });
            });
            pool.install(|| {
                together(2, |threads| {
                    let sum = AtomicUsize::new(0);
                    threads.split(10, |range| {
                        sum.fetch_add(range.sum(), Ordering::Relaxed);
                    });
                    assert_eq!(sum.into_inner(), 45);
                    busy.store(false, Ordering::SeqCst);
                });
            });
        });
    }

    #[test]
    fn a_panic_on_any_thread_comes_out_and_the_next_op_works() {
        pool(3).install(|| {
            together(3, |threads| {
                for bad in 0..30 {
                    let split = || threads.split(30, |range| assert!(!range.contains(&bad), "bad"));
                    let panic = catch_unwind(AssertUnwindSafe(split)).unwrap_err();
                    assert_eq!(panic.downcast_ref(), Some(&"bad"));
                    threads.split(30, |range| assert!(range.end <= 30));
                }
            });
            let panic = catch_unwind(|| together(3, |_| panic!("outside of an op"))).unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&"outside of an op"));
        });
    }
}
