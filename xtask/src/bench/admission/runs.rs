//! Table of all recorded runs: the ratios of the goals, which should not depend on the day.

use super::goals::Goal;
use crate::bench::{
    measure::Series,
    page::{self, PageError},
};

/// Name of the section of the page.
const SECTION: &str = "admission-runs";
/// Rows that stay in the table.
const MOST_ROWS: usize = 20;
/// Last column.
const COMPARISON: &str = "medians within the spread of the last run of an earlier day";

/// Adds a run to the table in the page.
pub(super) fn record(goals: &[Goal]) -> Result<(), PageError> {
    let run = format!("{}, {}", page::date(), page::commit()?);
    page::update(SECTION, |table| with_run(table, &run, goals))
}

/// Formats the median and the spread.
pub(super) fn format(series: &Series, decimals: usize) -> String {
    let (least, most) = series.spread();
    format!("{:.decimals$} ({least:.decimals$}-{most:.decimals$})", series.median())
}

/// Row of the table.
struct Run<'a> {
    /// Date as `2026-11-28`, which has the order of text.
    day: &'a str,
    ratios: Vec<Ratio>,
}

/// Ratio in one run, with the decimals of the table.
struct Ratio {
    median: f64,
    least: f64,
    most: f64,
}

/// Returns the table with one more row.
fn with_run(table: &str, name: &str, goals: &[Goal]) -> String {
    let names: Vec<_> = goals.iter().map(|goal| goal.name).collect();
    let head = format!("| run | {} | {COMPARISON} |", names.join(" | "));
    // Rows of other goals cannot be compared.
    let earlier = table.trim().strip_prefix(&head).unwrap_or_default();
    let mut rows: Vec<&str> = earlier.trim().lines().skip(1).collect();
    let before: Vec<Run<'_>> = rows.iter().filter_map(|row| Run::parse(row)).collect();
    let ratios: Vec<_> = goals.iter().map(|goal| format(&goal.ratio, 2)).collect();
    let start = format!("| {name} | {} |", ratios.join(" | "));
    let comparison = Run::parse(&format!("{start}  |")).and_then(|run| run.comparison(&before)).unwrap_or_default();
    let row = format!("{start} {comparison} |");
    rows.push(&row);
    let rule = format!("|{}", "---|".repeat(goals.len() + 2));
    let kept = rows.len().saturating_sub(MOST_ROWS);
    [head.as_str(), &rule].into_iter().chain(rows.into_iter().skip(kept)).collect::<Vec<_>>().join("\n")
}

impl<'a> Run<'a> {
    /// Parses a row; `None` if one of the ratios is none.
    fn parse(row: &'a str) -> Option<Self> {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (name, [ratios @ .., _]) = cells.split_first()? else { return None };
        let ratios = ratios.iter().map(|cell| Ratio::parse(cell)).collect::<Option<_>>()?;
        Some(Self { day: name.split(',').next()?, ratios })
    }

    /// Returns how many medians are within the spread of the last run of an earlier day; `None` without one.
    fn comparison(&self, before: &[Self]) -> Option<String> {
        let earlier = before.iter().rfind(|run| run.day < self.day)?;
        let pairs = self.ratios.iter().zip(&earlier.ratios);
        let within = pairs.filter(|(ratio, other)| (other.least..=other.most).contains(&ratio.median)).count();
        Some(format!("{within} of {}", self.ratios.len()))
    }
}

impl Ratio {
    /// Parses what [`format()`] writes.
    fn parse(cell: &str) -> Option<Self> {
        let (median, spread) = cell.strip_suffix(')')?.split_once(" (")?;
        let (least, most) = spread.split_once('-')?;
        Some(Self { median: median.parse().ok()?, least: least.parse().ok()?, most: most.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::admission::goals::Bound;

    fn goal(name: &'static str, values: &[f64]) -> Goal {
        Goal { name, bound: Bound::AtMost(1.0), ratio: Series(values.to_vec()) }
    }

    #[test]
    fn run_is_compared_with_the_last_run_of_an_earlier_day() {
        let runs = [
            ("2026-01-30, 1", [0.4, 0.5, 0.5], 1.0, ""),
            ("2026-01-30, 2", [0.1, 0.2, 0.3], 2.0, ""),
            ("2026-02-01, 3", [0.304; 3], 2.0, "2 of 2"),
            ("2026-02-01, 4", [0.6; 3], 2.1, "0 of 2"),
            ("2026-02-02, 5", [0.4; 3], 2.1, "1 of 2"),
        ];
        let mut table = String::new();
        for (run, a, b, expected) in runs {
            let earlier = table.clone();
            table = with_run(&table, run, &[goal("a", &a), goal("b", &[b])]);
            assert!(table.starts_with(&earlier), "{earlier}\n{table}");
            let row = table.lines().last().unwrap();
            assert!(row.ends_with(&format!("| {b:.2} ({b:.2}-{b:.2}) | {expected} |")), "{run}: {row}");
        }
        let first = format!("| run | a | b | {COMPARISON} |\n|---|---|---|---|\n| 2026-01-30, 1 | 0.50 (0.40-0.50) |");
        assert!(table.starts_with(&first), "{table}");
        for name in ["a", "b"] {
            let other_goals = with_run(&table, "2026-02-03, 6", &[goal(name, &[2.0])]);
            assert_eq!(other_goals.lines().count(), 3, "{other_goals}");
        }
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
