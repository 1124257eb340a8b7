use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a log gets a line.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Tells a person that something long is under way: a line that moves on a terminal, now and then a line in a log.
pub(super) struct Progress {
    what: String,
    bar: Option<ProgressBar>,
    started: Instant,
    reported: Instant,
}

impl Progress {
    pub(super) fn new(verb: &str, object: &str) -> Self {
        let what = format!("{verb} {object}…");
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(what.clone());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar
        });
        let progress = Self { what, bar, started: Instant::now(), reported: Instant::now() };
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

    /// Writes past the capture of test output: a test that seems to hang is what this is to prevent.
    fn log(&self) {
        if self.bar.is_none() {
            let _ = writeln!(std::io::stderr(), "{} {}s", self.what, self.started.elapsed().as_secs());
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
