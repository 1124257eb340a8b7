//! Live view of snapshots: a table that changes in place on a terminal, a line for each change in a log.

use std::time::Instant;

use console::{Term, style, truncate_str};

use super::snapshot::Snapshot;
use crate::terminal;

/// Live view on standard output.
pub(super) struct Live {
    term: Term,
    drawn: usize,
    last: String,
    started: Instant,
}

impl Live {
    /// Returns a view that has drawn nothing yet.
    pub(super) fn new() -> Self {
        Self { term: Term::stdout(), drawn: 0, last: String::new(), started: Instant::now() }
    }

    /// Shows a snapshot. Without a terminal, prints its summary if that has changed.
    pub(super) fn show(&mut self, snapshot: &Snapshot) {
        if self.term.is_term() {
            self.draw(snapshot);
            return;
        }
        let summary = snapshot.summary();
        if summary != self.last {
            println!("   {:>7}  {summary}", terminal::duration(self.started.elapsed()));
            self.last = summary;
        }
    }

    /// Draws the last snapshot, and leaves it on the screen.
    pub(super) fn end(&mut self, snapshot: &Snapshot) {
        self.draw(snapshot);
        self.drawn = 0;
    }

    /// Replaces the table on the screen.
    fn draw(&mut self, snapshot: &Snapshot) {
        let width = usize::from(self.term.size().1);
        let mut lines = snapshot.lines();
        lines.push(style(terminal::duration(self.started.elapsed())).dim().to_string());
        let is_term = self.term.is_term();
        // A line that wraps would not be cleared. Failures to clear or write are ignored: at worst a table appears
        // twice.
        let fit = |line: String| {
            if is_term { truncate_str(&line, width.saturating_sub(4), "…").into_owned() } else { line }
        };
        let _ = self.term.clear_last_lines(self.drawn);
        self.drawn = lines.len();
        for line in lines {
            let _ = self.term.write_line(&format!("   {}", fit(line)));
        }
    }
}
