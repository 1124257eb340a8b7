//! Tables of the results, as Markdown.

use super::{
    decisions::INCOMPARABLE,
    goals,
    instructions::Instructions,
    reviews::Workload,
    rounds::{Measures, Quantity},
    runs::format,
    servers::ServerKind,
};
use crate::table::Table;

/// Results of a run.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) workloads: &'a [Workload],
    /// Absent in a run that only counts.
    pub(super) measures: Option<&'a Measures>,
    pub(super) instructions: &'a Instructions,
}

/// Rows of the first table: name, quantity, decimals.
const ROWS: [(&str, Quantity, usize); 9] = [
    ("CPU per review, 16 connections in a closed loop (us)", Quantity::ClosedCpu, 1),
    ("of which in the kernel (us)", Quantity::ClosedSystem, 1),
    ("reviews/s, the same", Quantity::Rate, 0),
    ("CPU per review at 1,000/s (us)", Quantity::OpenCpu, 1),
    ("p50 at 1,000/s, from the scheduled time (ms)", Quantity::P50, 2),
    ("p99, the same (ms)", Quantity::P99, 2),
    ("p99.9, the same (ms)", Quantity::P999, 2),
    ("new connections/s with one review each, full handshakes", Quantity::Connections, 0),
    ("CPU per such connection (us)", Quantity::ConnectionCpu, 0),
];

const HEADERS: [&str; 6] = ["measure", "ours", "floor", "Go webhook", "ours/floor", "ours/Go webhook"];

const NO_COUNTER: &str = "`perf stat` counts no instructions on this machine: its processor has no counter for them, or perf \
    is not installed. The last table has those of callgrind, without the Go webhook, since valgrind does not support Go.";

impl Report<'_> {
    /// Returns all tables.
    pub(super) fn text(&self) -> String {
        let mut parts = Vec::new();
        if let Some(measures) = self.measures {
            parts.extend([self.introduction(measures), goal_table(measures), main_table(measures)]);
            if !measures.has(Quantity::Instructions) {
                parts.push(NO_COUNTER.to_owned());
            }
            parts.push("CPU per review of each kind in a closed loop (us):".to_owned());
            parts.push(self.workload_table(measures));
            parts.push(not_comparable(measures));
        }
        parts.push(self.instruction_table());
        parts.join("\n\n")
    }

    fn introduction(&self, measures: &Measures) -> String {
        let size = self.workloads.first().map_or(0, |workload| workload.review.to_string().len());
        let own = measures.series(Quantity::OwnCpu, ServerKind::Floor).median();
        let share = own * measures.series(Quantity::Rate, ServerKind::Floor).median() / 1e4;
        format!(
            "Medians of {} alternating rounds, with the smallest and the largest value. The first two tables are for an \
             UPDATE of {size} bytes with the full spec, which is accepted. The load generator is another process on the \
             same processors. It takes {own:.0} us per review, {share:.0} % of a processor at the reviews/s of the floor, \
             so these depend on both.",
            measures.series(Quantity::ClosedCpu, ServerKind::Ours).0.len()
        )
    }

    fn workload_table(&self, measures: &Measures) -> String {
        let mut table = Table::new(&HEADERS);
        for (number, workload) in self.workloads.iter().enumerate() {
            let name = format!("{} ({} bytes)", workload.title, workload.review.to_string().len());
            table.row(row(measures, name, Quantity::Workload(number), 1));
        }
        table.markdown()
    }

    fn instruction_table(&self) -> String {
        if let Some(missing) = &self.instructions.missing {
            return format!("No instructions per review: {missing}.");
        }
        let mut table = Table::new(&["instructions per review (callgrind)", "ours", "floor", "ours/floor"]);
        for (file, ours, floor) in &self.instructions.counts {
            let title = self.workloads.iter().find(|workload| workload.file == *file).map_or(*file, |all| all.title);
            table.row([title.to_owned(), format!("{ours:.0}"), format!("{floor:.0}"), format!("{:.2}", ours / floor)]);
        }
        table.markdown()
    }
}

fn main_table(measures: &Measures) -> String {
    let mut table = Table::new(&HEADERS);
    for (name, quantity, decimals) in ROWS {
        table.row(row(measures, name.to_owned(), quantity, decimals));
    }
    if measures.has(Quantity::Instructions) {
        table.row(row(measures, "instructions per review (perf stat)".to_owned(), Quantity::Instructions, 0));
    }
    let memory = ServerKind::ALL.map(|kind| measures.memory.get(&kind).copied().unwrap_or(f64::NAN));
    let [ours, floor, go] = memory;
    table.row(
        ["peak of the resident memory of all rounds (MB)".to_owned()]
            .into_iter()
            .chain(memory.map(|memory| format!("{memory:.1}")))
            .chain([format!("{:.2}", ours / floor), format!("{:.2}", ours / go)]),
    );
    table.markdown()
}

fn goal_table(measures: &Measures) -> String {
    let mut table = Table::new(&["goal for ours", "ratio", "bound", "result"]);
    for goal in goals::goals(measures) {
        let result = if goal.is_reached() { "good" } else { "beyond" };
        table.row([goal.name.to_owned(), format(&goal.ratio, 2), goal.bound(), result.to_owned()]);
    }
    table.markdown()
}

fn not_comparable(measures: &Measures) -> String {
    format!(
        "Ours and the Go webhook agree on {} of `api/tests/cases.yaml`. Not comparable, since \
         the quantities of Go are the same for `0` and `\"0\"` and cannot hold a text that is no quantity: {}. The Go webhook does less: it has no \
         facts about the cluster (zones, StorageClasses, what is deployed), does not exclude defaults that no apply \
         set, and its mutating webhook does not check the rules.",
        measures.agreement.text(),
        INCOMPARABLE.map(|case| format!("\"{case}\"")).join(", ")
    )
}

fn row(measures: &Measures, name: String, quantity: Quantity, decimals: usize) -> Vec<String> {
    let values = ServerKind::ALL.map(|kind| format(&measures.series(quantity, kind), decimals));
    let ratios =
        [ServerKind::Floor, ServerKind::Go].map(|to| format(&measures.ratio(quantity, ServerKind::Ours, to), 2));
    [name].into_iter().chain(values).chain(ratios).collect()
}
