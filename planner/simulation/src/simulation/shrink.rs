//! Reduction of a failing scenario to the events and streams that the failure needs.

use super::{RunOutcome, run};
use crate::scenario::Scenario;

/// Finds a small scenario that violates the same invariant. Returns it with its outcome and story.
pub fn shrink(scenario: &Scenario) -> (Scenario, RunOutcome) {
    let invariant = first_invariant(&run(scenario, false));
    let fails = |scenario: &Scenario| first_invariant(&run(scenario, false)) == invariant;
    let mut smallest = scenario.clone();
    smallest.events = reduce(&smallest.events, |events| fails(&Scenario { events, ..smallest.clone() }));
    smallest.streams = reduce(&smallest.streams, |streams| fails(&Scenario { streams, ..smallest.clone() }));
    for (catch_up, restore) in [(100_000, 1), (10_000, 2)] {
        let simpler = Scenario { catch_up, restore, ..smallest.clone() };
        if fails(&simpler) {
            smallest = simpler;
            break;
        }
    }
    let outcome = run(&smallest, true);
    (smallest, outcome)
}

fn first_invariant(outcome: &RunOutcome) -> Option<u8> {
    outcome.violations.first().map(|violation| violation.invariant)
}

/// Removes chunks of items, from halves down to single ones, while the scenario still fails (delta debugging).
fn reduce<T: Clone>(items: &[T], fails: impl Fn(Vec<T>) -> bool) -> Vec<T> {
    let mut left = items.to_vec();
    let mut size = left.len().div_ceil(2);
    while size > 0 && !left.is_empty() {
        let mut start = 0;
        while start < left.len() {
            let end = (start + size).min(left.len());
            let without: Vec<T> = left[..start].iter().chain(&left[end..]).cloned().collect();
            if fails(without.clone()) {
                left = without;
            } else {
                start = end;
            }
        }
        size /= 2;
    }
    left
}
