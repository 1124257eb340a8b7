//! Figures of all measurements of reconciles, in one table.

use std::time::Duration;

use super::{
    super::{
        callgrind,
        measure::{Series, median, megabytes},
    },
    Pair, Round,
    rounds::Reviewed,
};
use crate::table::Table;

/// Rows of the table.
pub(super) struct Figures(Table);

impl Figures {
    /// Returns the counts of a reconcile that changes nothing. `allocations` are by contents of the cluster.
    pub(super) fn of_unchanged(allocations: &[(String, u64)], instructions: Option<u64>) -> Self {
        let mut figures = Self(Table::new(&["MEASURE", "MANAGER", "FLOOR", "RATIO", "SPREAD OF RATIOS"]));
        for (contents, count) in allocations {
            figures.without_floor(&format!("nothing changes: allocations, 3 servers, {contents}"), count.to_string());
        }
        let instructions = instructions.map_or_else(|| callgrind::MISSING.to_owned(), |count| count.to_string());
        figures.without_floor("nothing changes: instructions, with the watch event (callgrind)", instructions);
        figures
    }

    /// Adds times and writes of the rounds.
    pub(super) fn add_rounds(&mut self, pairs: &[Pair]) {
        self.rounds("create to Ready, three servers", pairs, |round| (round.create, round.writes_of_create));
        self.rounds("rollout of three servers", pairs, |round| (round.rollout, round.writes_of_rollout));
    }

    /// Adds the rollout during which the webhook of the same process answered reviews.
    pub(super) fn add_reviewed(&mut self, Reviewed { rollout, reviews, memory, .. }: &Reviewed) {
        for (what, figure) in [
            ("", seconds(*rollout)),
            (": reviews", format!("{:.0} /s", reviews.rate())),
            (": p50 of a review", format!("{:.2} ms", reviews.latency(0.5))),
            (": p99 of a review", format!("{:.2} ms", reviews.latency(0.99))),
            (": CPU per review, with the rollout", format!("{:.0} us", reviews.cpu())),
            (": peak of the resident memory", format!("{:.1} MB", megabytes(memory.peak))),
        ] {
            self.without_floor(&format!("rollout with reviews{what}"), figure);
        }
    }

    pub(super) fn table(&self) -> &Table {
        &self.0
    }

    fn without_floor(&mut self, what: &str, figure: String) {
        self.0.row([what.to_owned(), figure]);
    }

    /// Adds the time and the writes that `of` returns for a round.
    fn rounds(&mut self, what: &str, pairs: &[Pair], of: fn(&Round) -> (Duration, usize)) {
        let both = || pairs.iter().map(|(ours, floor)| (of(ours), of(floor)));
        let ratios = Series(both().map(|((ours, _), (floor, _))| ours.div_duration_f64(floor)).collect());
        let (smallest, largest) = ratios.spread();
        self.0.row([
            what.to_owned(),
            seconds(median(both().map(|((ours, _), _)| ours))),
            seconds(median(both().map(|(_, (floor, _))| floor))),
            format!("{:.2}", ratios.median()),
            format!("{smallest:.2} to {largest:.2}"),
        ]);
        let writes = [both().map(|((_, ours), _)| ours).max(), both().map(|(_, (_, floor))| floor).max()];
        let [ours, floor] = writes.map(|most| most.unwrap_or_default().to_string());
        self.0.row([format!("{what}: most writes"), ours, floor]);
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
