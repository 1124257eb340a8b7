//! A number with its limit.

use console::style;

use crate::table::Table;

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measure {
    /// What it is.
    pub(super) what: &'static str,
    /// The number.
    pub(super) value: f64,
    /// Its unit, if it has one.
    pub(super) unit: &'static str,
    /// The number that it should not exceed.
    pub(super) goal: f64,
    /// Beyond this times the goal it fails: more than 1 for what depends on the machine.
    pub(super) tolerance: f64,
    /// What the reference implementation needs.
    pub(super) reference: Option<f64>,
}

/// Whether that is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MeasureResult {
    Good,
    /// Worse than the goal, as a busy machine may make it.
    Slow,
    Beyond,
}

impl Measure {
    /// A count, which is the same on every machine.
    pub(super) fn count(what: &'static str, value: usize, goal: u32, reference: Option<f64>) -> Self {
        // No count here comes near what an f64 cannot hold.
        let value = u32::try_from(value).map_or(f64::INFINITY, f64::from);
        Self { what, value, unit: "", goal: f64::from(goal), tolerance: 1.0, reference }
    }

    pub(super) fn verdict(&self) -> MeasureResult {
        if self.value <= self.goal {
            MeasureResult::Good
        } else if self.value <= self.goal * self.tolerance {
            MeasureResult::Slow
        } else {
            MeasureResult::Beyond
        }
    }
}

/// Prints all of them.
pub(super) fn print(measures: &[Measure]) {
    let mut table = Table::new(&["MEASURE", "VALUE", "LIMIT", "OF LIMIT", "REFERENCE", ""]);
    for measure in measures {
        let number = |value: f64| {
            format!("{value:.*} {}", usize::from(!measure.unit.is_empty()), measure.unit).trim_end().to_owned()
        };
        let ratio =
            if measure.goal > 0.0 { format!("{:.0} %", 100.0 * measure.value / measure.goal) } else { String::new() };
        let verdict = match measure.verdict() {
            MeasureResult::Good => style("good").green(),
            MeasureResult::Slow => style("above the goal, within what a busy machine may cost").yellow(),
            MeasureResult::Beyond => style("BEYOND").red().bold(),
        };
        let reference = measure.reference.map(number).unwrap_or_default();
        let cells = [number(measure.value), number(measure.goal), ratio, reference, verdict.to_string()];
        table.row([measure.what.to_owned()].into_iter().chain(cells));
    }
    table.print();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let time = |value| Measure { what: "time", value, unit: "ms", goal: 150.0, tolerance: 3.0, reference: None };
        assert_eq!(time(150.0).verdict(), MeasureResult::Good);
        assert_eq!(time(450.0).verdict(), MeasureResult::Slow);
        assert_eq!(time(451.0).verdict(), MeasureResult::Beyond);
        assert_eq!(Measure::count("requests", 0, 0, None).verdict(), MeasureResult::Good);
        assert_eq!(Measure::count("requests", 1, 0, None).verdict(), MeasureResult::Beyond);
    }
}
