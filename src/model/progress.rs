//! How far a download is.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How far the file that is being downloaded is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Name in the repository.
    pub file: String,
    /// Bytes that have arrived.
    pub received: u64,
    /// Bytes to come in all; 0 when the hub did not say.
    pub total: u64,
}

/// Takes the reports of one load: keeps the latest for whoever asks, and draws a bar where
/// standard error is a terminal.
pub struct Meter {
    latest: Mutex<Option<Progress>>,
    bar: ProgressBar,
}

impl Default for Meter {
    fn default() -> Self {
        // indicatif draws nothing where standard error is not a terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let style = "{msg}  [{bar:30}]  {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        Meter { latest: Mutex::new(None), bar }
    }
}

impl Meter {
    /// Takes a report.
    pub fn report(&self, progress: Progress) {
        if self.bar.message() != progress.file {
            self.bar.reset();
            self.bar.set_message(progress.file.clone());
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.received);
        *self.latest.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(progress);
    }

    /// Takes the bar off the terminal.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// The latest report.
    pub fn latest(&self) -> Option<Progress> {
        self.latest.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}
