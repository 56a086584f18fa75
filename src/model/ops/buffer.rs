//! Large memory that is taken from the system once.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use crate::error::{Error, Result};

/// Size and alignment of the system's large pages, where it has them.
const LARGE_PAGE: usize = 2 << 20;

/// Bytes of a cache line, to which every buffer is aligned.
pub const LINE: usize = 64;

/// Memory for the weights of one model, one after the other in the order in which they are used,
/// so that what is prefetched beyond the end of one is the start of the next. In large pages where
/// the system has them: weights are read from end to end for every batch.
pub struct Arena {
    pages: MmapRaw,
    start: usize,
    used: AtomicUsize,
}

/// A number whose bytes may be anything.
///
/// # Safety
/// Every pattern of bits, zeros included, must be a value.
pub unsafe trait Number: Copy {}

// SAFETY: plain numbers.
unsafe impl Number for f32 {}
// SAFETY: plain numbers.
unsafe impl Number for i8 {}
// SAFETY: plain numbers.
unsafe impl Number for u8 {}
// SAFETY: plain numbers.
unsafe impl Number for i32 {}

/// Numbers in an [`Arena`], which no other buffer shares.
pub struct Buffer<T: Number> {
    /// Keeps the pages.
    _arena: Arc<Arena>,
    start: *mut T,
    length: usize,
}

// SAFETY: a buffer is the only way to its numbers, as a vector is.
unsafe impl<T: Number + Send> Send for Buffer<T> {}
// SAFETY: as above.
unsafe impl<T: Number + Sync> Sync for Buffer<T> {}

impl Arena {
    /// Room for at most `bytes`. What is not taken costs no memory.
    ///
    /// # Errors
    /// [`Error::Internal`] when the system refuses.
    pub fn new(bytes: usize) -> Result<Arc<Self>> {
        let bytes = bytes + LARGE_PAGE;
        let pages = MmapOptions::new()
            .len(bytes)
            .no_reserve_swap()
            .map_anon()
            .map_err(|error| Error::Internal(format!("no memory for {bytes} bytes of weights: {error}")))?;
        // Only a hint, which a kernel without large pages refuses.
        #[cfg(target_os = "linux")]
        let _ = pages.advise(memmap2::Advice::HugePage);
        let pages = MmapRaw::from(pages);
        let start = (pages.as_ptr() as usize).next_multiple_of(LARGE_PAGE) - pages.as_ptr() as usize;
        Ok(Arc::new(Arena { pages, start, used: AtomicUsize::new(0) }))
    }

    /// The next `length` numbers, zeros.
    ///
    /// # Errors
    /// [`Error::Internal`] when more is taken than there was to be room for.
    pub fn take<T: Number>(self: &Arc<Self>, length: usize) -> Result<Buffer<T>> {
        let bytes = (length * size_of::<T>()).next_multiple_of(LINE);
        let offset = self.used.fetch_add(bytes, Ordering::Relaxed);
        if offset + bytes > self.pages.len() - self.start {
            return Err(Error::Internal("more weights than were counted".to_owned()));
        }
        // SAFETY: within the pages, as was just checked.
        let start = unsafe { self.pages.as_mut_ptr().add(self.start + offset).cast() };
        Ok(Buffer { _arena: self.clone(), start, length })
    }
}

impl<T: Number> Deref for Buffer<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `take` gave these numbers to this buffer alone, at a line's alignment, and the pages
        // live as long as the arena, which this holds.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

impl<T: Number> DerefMut for Buffer<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

/// Numbers that are kept from one use to the next, from the start of a cache line on: a vector that
/// lies across two lines takes two accesses.
#[derive(Default)]
pub struct Scratch<T: Number> {
    lines: Vec<Line>,
    numbers: PhantomData<T>,
}

#[derive(Clone, Copy)]
#[repr(align(64))]
#[allow(dead_code, reason = "read as numbers alone")]
struct Line([u8; LINE]);

impl<T: Number> Scratch<T> {
    /// Makes room for `length` numbers; zeros where none have been.
    pub fn grow(&mut self, length: usize) {
        let lines = (length * size_of::<T>()).div_ceil(LINE);
        self.lines.resize(lines.max(self.lines.len()), Line([0; LINE]));
    }
}

impl<T: Number> Deref for Scratch<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        let length = self.lines.len() * LINE / size_of::<T>();
        // SAFETY: the bytes of the lines, aligned for any number, each of which may be anything.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), length) }
    }
}

impl<T: Number> DerefMut for Scratch<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        let length = self.lines.len() * LINE / size_of::<T>();
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), length) }
    }
}
