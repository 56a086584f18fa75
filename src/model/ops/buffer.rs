//! Large memory that is taken from the system once.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

use crate::error::{Error, Result};

/// A number whose bytes may be anything.
///
/// # Safety
/// Every pattern of bits, zeros included, must be a value.
pub unsafe trait Number: Copy {}

// SAFETY: plain numbers.
unsafe impl Number for f32 {}
// SAFETY: plain numbers.
unsafe impl Number for i8 {}

/// Zeroed numbers in pages of their own, in large pages where the system has them: weights are
/// read from end to end for every batch, and small pages would cost a table walk every 4 KiB.
pub struct Buffer<T> {
    pages: MmapMut,
    length: usize,
    elements: PhantomData<T>,
}

impl<T: Number> Buffer<T> {
    /// `length` zeros.
    ///
    /// # Errors
    /// [`Error::Internal`] when there is no memory.
    pub fn zeroed(length: usize) -> Result<Self> {
        let bytes = (length * size_of::<T>()).max(1);
        let pages = MmapMut::map_anon(bytes)
            .map_err(|error| Error::Internal(format!("no memory for {bytes} bytes of weights: {error}")))?;
        // Only a hint, which a kernel without large pages refuses.
        #[cfg(target_os = "linux")]
        let _ = pages.advise(memmap2::Advice::HugePage);
        Ok(Buffer { pages, length, elements: PhantomData })
    }
}

impl<T: Number> Deref for Buffer<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the pages hold `length` numbers, are aligned for them, and live as long as this.
        unsafe { std::slice::from_raw_parts(self.pages.as_ptr().cast(), self.length) }
    }
}

impl<T: Number> DerefMut for Buffer<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.pages.as_mut_ptr().cast(), self.length) }
    }
}
