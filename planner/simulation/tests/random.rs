//! Random scenarios. `cargo xtask simulate` runs any number of them.

use nats_manager_simulation::{
    ledger::VARIANTS,
    scenario::Scenario,
    simulation::{self, End},
};

/// Number of seconds to simulate in all scenarios together.
const STEPS: u64 = 200_000;

#[test]
fn random_scenarios_hold_every_invariant() {
    let (mut steps, mut seed, mut coverage) = (0, 0, nats_manager_simulation::ledger::Coverage::default());
    while steps < STEPS {
        seed += 1;
        let outcome = simulation::run(&Scenario::random(seed), false);
        if outcome.end == End::Failed {
            let (scenario, outcome) = simulation::shrink(&Scenario::random(seed));
            panic!("seed {seed}: {:#?}\n{scenario:#?}\n{}", outcome.violations, outcome.story.join("\n"));
        }
        steps += outcome.steps;
        coverage.add(&outcome.coverage);
    }
    let unused: Vec<_> = VARIANTS.iter().filter(|variant| !coverage.actions.contains_key(*variant)).collect();
    assert!(unused.is_empty(), "actions that never occurred: {unused:?}");
}

#[test]
fn equal_scenarios_take_the_same_course() {
    for seed in [3, 44, 175] {
        let [one, other] = [0, 1].map(|_| simulation::run(&Scenario::random(seed), true).story);
        assert_eq!(one, other);
    }
}
