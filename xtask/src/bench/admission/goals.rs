//! Goals: ratios within one run.

use super::{
    rounds::{Measures, Quantity},
    servers::ServerKind::{self, Floor, Go, Ours},
};
use crate::bench::measure::Series;

/// Bound of a ratio.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// Goal with the ratios of the rounds.
#[derive(Debug)]
pub(super) struct Goal {
    /// Name for the reader.
    pub(super) name: &'static str,
    pub(super) bound: Bound,
    /// Ratio of each round.
    pub(super) ratio: Series,
}

/// Returns the goals, with what was measured.
pub(super) fn goals(measures: &Measures) -> Vec<Goal> {
    let goal = |name, quantity, to: ServerKind, bound| Goal { name, bound, ratio: measures.ratio(quantity, Ours, to) };
    vec![
        goal("CPU per review, of the Go webhook's", Quantity::ClosedCpu, Go, Bound::AtMost(0.2)),
        goal("CPU per review, of the floor's", Quantity::ClosedCpu, Floor, Bound::AtMost(1.5)),
        goal("reviews/s, of the floor's", Quantity::Rate, Floor, Bound::AtLeast(0.85)),
        goal("p99 at 1,000/s, of the Go webhook's", Quantity::P99, Go, Bound::AtMost(0.5)),
    ]
}

impl Goal {
    /// Returns whether the median of the rounds is within the bound.
    pub(super) fn is_reached(&self) -> bool {
        match self.bound {
            Bound::AtMost(bound) => self.ratio.median() <= bound,
            Bound::AtLeast(bound) => self.ratio.median() >= bound,
        }
    }

    /// Formats the bound.
    pub(super) fn bound(&self) -> String {
        match self.bound {
            Bound::AtMost(bound) => format!("at most {bound:.2}"),
            Bound::AtLeast(bound) => format!("at least {bound:.2}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goal_is_reached_by_the_median() {
        let goal = |bound, values: &[f64]| Goal { name: "", bound, ratio: Series(values.to_vec()) }.is_reached();
        assert!(goal(Bound::AtMost(0.5), &[0.4, 0.5, 0.9]));
        assert!(!goal(Bound::AtMost(0.5), &[0.4, 0.6, 0.9]));
        assert!(goal(Bound::AtLeast(0.5), &[0.1, 0.5, 0.9]));
        assert!(!goal(Bound::AtLeast(0.5), &[0.1, 0.4, 0.9]));
        assert!(!goal(Bound::AtMost(0.5), &[]), "nothing was measured");
    }
}
