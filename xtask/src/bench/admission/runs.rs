//! Table of all recorded runs: the ratios of the goals, which should not depend on the day.

use super::goals::Goal;
use crate::bench::{
    measure::Series,
    page::{self, PageError},
};

/// Name of the section of the page.
const SECTION: &str = "admission-runs";
/// Rows that stay in the table.
const MOST_ROWS: usize = 10;

/// Adds a run to the table in the page.
pub(super) fn record(goals: &[Goal]) -> Result<(), PageError> {
    let run = format!("{}, {}", page::date(), page::commit()?);
    page::update(SECTION, |table| with_run(table, &run, goals))
}

/// Formats the median and the spread, as [`spread`] reads them.
pub(super) fn format(series: &Series, decimals: usize) -> String {
    let (least, most) = series.spread();
    format!("{:.decimals$} ({least:.decimals$}-{most:.decimals$})", series.median())
}

/// Returns the table with one more row.
fn with_run(table: &str, run: &str, goals: &[Goal]) -> String {
    let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let cells = |first: &str, cell: fn(&Goal) -> String, last: &str| {
        let inner = goals.iter().map(cell);
        row([first.to_owned()].into_iter().chain(inner).chain([last.to_owned()]).collect())
    };
    let head = cells("run", |goal| goal.name.to_owned(), "medians within the spread of the run before");
    // Rows of other goals cannot be compared.
    let earlier = table.trim().strip_prefix(&head).unwrap_or_default();
    let mut rows: Vec<&str> = earlier.trim().lines().skip(1).collect();
    let new = cells(run, |goal| format(&goal.ratio, 2), &agreement(rows.last().copied(), goals));
    rows.push(&new);
    let rule = format!("|{}", "---|".repeat(goals.len() + 2));
    let kept = rows.len().saturating_sub(MOST_ROWS);
    [head.as_str(), &rule].into_iter().chain(rows.into_iter().skip(kept)).collect::<Vec<_>>().join("\n")
}

/// Returns how many of the medians are within the spread of an earlier run.
fn agreement(before: Option<&str>, goals: &[Goal]) -> String {
    let Some(before) = before else { return String::new() };
    let spreads = before.split('|').skip(2).map(spread);
    let is_within = |(goal, spread): (&Goal, Option<(f64, f64)>)| {
        spread.is_some_and(|(least, most)| (least..=most).contains(&rounded(goal.ratio.median())))
    };
    let within = goals.iter().zip(spreads).filter(|pair| is_within(*pair)).count();
    format!("{within} of {}", goals.len())
}

/// Rounds to the decimals of the table.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Reads the smallest and the largest value of a cell.
fn spread(cell: &str) -> Option<(f64, f64)> {
    let (least, most) = cell.split_once('(')?.1.split_once(')')?.0.split_once('-')?;
    Some((least.parse().ok()?, most.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::admission::goals::Bound;

    fn goal(name: &'static str, values: &[f64]) -> Goal {
        Goal { name, bound: Bound::AtMost(1.0), ratio: Series(values.to_vec()) }
    }

    #[test]
    fn run_is_compared_with_the_spread_of_the_run_before() {
        let first = with_run("", "monday", &[goal("a", &[0.1, 0.2, 0.3]), goal("b", &[2.0])]);
        let head = "| run | a | b | medians within the spread of the run before |\n|---|---|---|---|";
        assert_eq!(first, format!("{head}\n| monday | 0.20 (0.10-0.30) | 2.00 (2.00-2.00) |  |"));
        let second = with_run(&first, "tuesday", &[goal("a", &[0.304]), goal("b", &[2.1])]);
        assert_eq!(second, format!("{first}\n| tuesday | 0.30 (0.30-0.30) | 2.10 (2.10-2.10) | 1 of 2 |"));
        let other_goals = with_run(&second, "wednesday", &[goal("b", &[2.0])]);
        assert_eq!(other_goals.lines().count(), 3, "{other_goals}");
    }

    #[test]
    fn oldest_runs_leave_the_table() {
        let mut table = String::new();
        for run in 0..=MOST_ROWS {
            table = with_run(&table, &format!("run {run}"), &[goal("a", &[1.0])]);
        }
        assert_eq!(table.lines().count(), 2 + MOST_ROWS);
        assert!(!table.contains("run 0 "), "{table}");
    }
}
