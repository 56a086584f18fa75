//! A panic becomes an [`Error::Internal`] that says where it was, and never what it was about.
//!
//! The message of a panic may hold the text of a log line (a slice of a `str` at a wrong place
//! prints it), so neither the error nor what goes to standard error repeats it.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, Once, PoisonError};

use crate::error::{Error, Result};

/// How the names of this crate's threads begin.
pub const THREAD: &str = "anomaly-";

/// Where in the source the last panic of such a thread was.
static PLACE: Mutex<Option<String>> = Mutex::new(None);

/// Calls `work`, and gives an error where it panics.
///
/// # Errors
/// Those of `work`, and [`Error::Internal`] for a panic.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    quieten();
    // Callers hand in work that leaves nothing half changed, or give up what it may have.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner).take();
        Err(Error::Internal(format!("a panic at {}", place.as_deref().unwrap_or("an unknown place"))))
    })
}

/// Replaces, for this crate's threads, the message that Rust prints about a panic.
fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| {
            if !std::thread::current().name().is_some_and(|name| name.starts_with(THREAD)) {
                return usual(info);
            }
            let place = info.location().map(ToString::to_string);
            let shown = place.clone().unwrap_or_else(|| "an unknown place".to_owned());
            *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
            // Not by eprintln, which panics where nobody reads: a panic in here would end the process.
            let _ = writeln!(std::io::stderr(), "audit-anomaly: a bug: panic at {shown}");
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_tells_the_place_alone() {
        let thread = std::thread::Builder::new().name(format!("{THREAD}test"));
        let caught = || caught::<()>(|| panic!("the secret"));
        let error = thread.spawn(caught).unwrap().join().unwrap().unwrap_err();
        assert_eq!(error.code(), "INTERNAL");
        let message = error.to_string();
        assert!(message.contains("src/panic.rs:") && !message.contains("secret"), "{message}");
    }
}
