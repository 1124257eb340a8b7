//! Measured values with their limits.

use std::time::Duration;

use console::style;

use crate::table::Table;

/// Measured value with its limit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measure {
    /// Name for the reader.
    pub(super) name: &'static str,
    /// Measured value, in `unit`.
    pub(super) value: f64,
    /// Unit; empty for a count.
    pub(super) unit: &'static str,
    /// Value that the measure should not exceed.
    pub(super) goal: f64,
    /// Factor of the goal beyond which the measure fails; more than 1 for values that depend on the machine.
    pub(super) tolerance: f64,
}

/// Comparison of a measure with its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MeasureResult {
    Good,
    /// Above the goal, within the tolerance for a busy machine.
    Slow,
    Beyond,
}

impl Measure {
    /// Returns a count. It has no tolerance, since it is the same on every machine.
    pub(super) fn count(name: &'static str, value: usize, goal: u32) -> Self {
        // Counts are far below the limit up to which an f64 is exact.
        let value = u32::try_from(value).map_or(f64::INFINITY, f64::from);
        Self { name, value, unit: "", goal: f64::from(goal), tolerance: 1.0 }
    }

    /// Compares the value with the goal.
    pub(super) fn result(&self) -> MeasureResult {
        if self.value <= self.goal {
            MeasureResult::Good
        } else if self.value <= self.goal * self.tolerance {
            MeasureResult::Slow
        } else {
            MeasureResult::Beyond
        }
    }
}

/// Values of all rounds of a measure.
#[derive(Debug, Clone, Default)]
pub(super) struct Series(pub(super) Vec<f64>);

impl Series {
    /// Returns the median.
    pub(super) fn median(&self) -> f64 {
        let sorted = self.sorted();
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Returns the smallest and the largest value.
    pub(super) fn spread(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted.first().copied().unwrap_or(f64::NAN), sorted.last().copied().unwrap_or(f64::NAN))
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// Returns the median; zero if there are no times.
pub(super) fn median(times: impl IntoIterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.into_iter().collect();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Converts KiB, in which Linux reports memory, to MB: 10^6 bytes, as in the goal.
pub(super) fn megabytes(kibibytes: u32) -> f64 {
    f64::from(kibibytes) * 1024.0 / 1e6
}

/// Returns the measures as a table.
pub(super) fn table(measures: &[Measure]) -> Table {
    let mut table = Table::new(&["MEASURE", "VALUE", "GOAL", "OF GOAL", "RESULT"]);
    for measure in measures {
        let number = |value: f64| {
            format!("{value:.*} {}", usize::from(!measure.unit.is_empty()), measure.unit).trim_end().to_owned()
        };
        let ratio =
            if measure.goal > 0.0 { format!("{:.0} %", 100.0 * measure.value / measure.goal) } else { String::new() };
        let result = match measure.result() {
            MeasureResult::Good => style("good").green(),
            MeasureResult::Slow => style("above the goal, within the tolerance for a busy machine").yellow(),
            MeasureResult::Beyond => style("BEYOND").red().bold(),
        };
        let cells = [number(measure.value), number(measure.goal), ratio, result.to_string()];
        table.row([measure.name.to_owned()].into_iter().chain(cells));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_depends_on_goal_and_tolerance() {
        let time = |value| Measure { name: "time", value, unit: "ms", goal: 150.0, tolerance: 3.0 };
        assert_eq!(time(150.0).result(), MeasureResult::Good);
        assert_eq!(time(450.0).result(), MeasureResult::Slow);
        assert_eq!(time(451.0).result(), MeasureResult::Beyond);
        assert_eq!(Measure::count("requests", 0, 0).result(), MeasureResult::Good);
        assert_eq!(Measure::count("requests", 1, 0).result(), MeasureResult::Beyond);
    }
}
