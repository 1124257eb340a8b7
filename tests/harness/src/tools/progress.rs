use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Interval of the lines in a log.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Progress of a long operation: a spinner on a terminal, or a line every 30 s in a log.
pub(super) struct Progress {
    message: String,
    bar: Option<ProgressBar>,
    started: Instant,
    reported: Instant,
}

impl Progress {
    pub(super) fn new(verb: &str, object: &str) -> Self {
        let message = format!("{verb} {object}…");
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(message.clone());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar
        });
        let progress = Self { message, bar, started: Instant::now(), reported: Instant::now() };
        progress.log();
        progress
    }

    pub(super) fn tick(&mut self) {
        if let Some(bar) = &self.bar {
            bar.tick();
        } else if self.reported.elapsed() >= LOG_INTERVAL {
            self.reported = Instant::now();
            self.log();
        }
    }

    /// Writes to stderr directly, which the capture of test output does not hide: a long build must not appear as a
    /// test that hangs.
    fn log(&self) {
        if self.bar.is_none() {
            let _ = writeln!(std::io::stderr(), "{} {}s", self.message, self.started.elapsed().as_secs());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
