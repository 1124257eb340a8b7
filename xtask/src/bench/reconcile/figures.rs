//! Figures of all measurements of reconciles, in one table.

use std::time::Duration;

use super::{
    super::{
        callgrind,
        measure::{Series, mebibytes, median},
    },
    Loaded, Pair, Round,
};
use crate::table::Table;

/// Rows of the table.
pub(super) struct Figures(Table);

impl Figures {
    /// Returns the counts of a reconcile that changes nothing. `allocations` are by contents of the cluster.
    pub(super) fn of_unchanged(allocations: &[(String, u64)], instructions: Option<u64>) -> Self {
        let mut figures = Self(Table::new(&["", "MANAGER", "FLOOR", "RATIO", "SPREAD OF RATIOS"]));
        for (contents, count) in allocations {
            figures.alone(&format!("nothing changes: allocations, 3 servers, {contents}"), count.to_string());
        }
        let instructions = instructions.map_or_else(|| callgrind::MISSING.to_owned(), |count| count.to_string());
        figures.alone("nothing changes: instructions, with the watch event (callgrind)", instructions);
        figures
    }

    /// Adds times and writes of the rounds.
    pub(super) fn add_rounds(&mut self, pairs: &[Pair]) {
        self.rounds("create to Ready, three servers", pairs, |round| round.create, 0);
        self.rounds("rollout of three servers", pairs, |round| round.rollout, 1);
    }

    /// Adds the rollout during which the webhook of the same process answered reviews.
    pub(super) fn add_reviewed(&mut self, (rollout, reviewed, memory): &Loaded) {
        let rate = reviewed.rate();
        let mut row = |what: &str, figure| self.alone(&format!("rollout at {rate:.0} reviews/s{what}"), figure);
        row("", seconds(*rollout));
        row(": p50 of a review", format!("{:.2} ms", reviewed.latency(0.5)));
        row(": p99 of a review", format!("{:.2} ms", reviewed.latency(0.99)));
        row(": CPU per review, with the rollout", format!("{:.0} us", reviewed.cpu()));
        row(": peak of the resident memory", format!("{:.1} MiB", mebibytes(memory.peak)));
    }

    pub(super) fn table(&self) -> &Table {
        &self.0
    }

    /// Adds a figure that has no floor.
    fn alone(&mut self, what: &str, figure: String) {
        self.0.row([what.to_owned(), figure]);
    }

    fn rounds(&mut self, what: &str, pairs: &[Pair], time: fn(&Round) -> Duration, writes: usize) {
        let ratios = Series(pairs.iter().map(|(ours, floor)| time(ours).div_duration_f64(time(floor))).collect());
        let (smallest, largest) = ratios.spread();
        self.0.row([
            what.to_owned(),
            seconds(median(pairs.iter().map(|(ours, _)| time(ours)))),
            seconds(median(pairs.iter().map(|(_, floor)| time(floor)))),
            format!("{:.2}", ratios.median()),
            format!("{smallest:.2} to {largest:.2}"),
        ]);
        let most = |side: fn(&Pair) -> &Round| pairs.iter().map(|pair| side(pair).writes[writes]).max();
        let [ours, floor] = [most(|(ours, _)| ours), most(|(_, floor)| floor)].map(Option::unwrap_or_default);
        self.0.row([format!("{what}: most writes"), ours.to_string(), floor.to_string()]);
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
