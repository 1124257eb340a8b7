use nats_manager_simulation::{
    ledger::Coverage,
    scenario::Scenario,
    simulation::{self, End},
};
use std::collections::BTreeMap;
fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let (from, count) = (args[0], args[1]);
    if count == 0 {
        let (s, o) = simulation::shrink(&Scenario::random(from));
        println!(
            "{:?} size {} {} restore {} catch_up {} streams {:?}",
            s.rules, s.size, s.version, s.restore, s.catch_up, s.streams
        );
        for e in &s.events {
            println!("  {e:?}");
        }
        let n = o.story.len().saturating_sub(if args.len() > 2 { 1000 } else { 8 });
        for l in &o.story[n..] {
            println!(
                "{}",
                l.replace(", waiting_for: ", ", w: ")
                    .replace("Operation ", "")
                    .chars()
                    .take(if args.len() > 2 { 1000 } else { 300 })
                    .collect::<String>()
            );
        }
        println!("{:?}", o.violations.first());
        return;
    }
    let begin = std::time::Instant::now();
    let (mut steps, mut cov, mut ends, mut fails) =
        (0, Coverage::default(), BTreeMap::<String, (u64, u64)>::new(), BTreeMap::<String, (u64, u64)>::new());
    let mut slow = 0;
    for seed in from..from + count {
        let scenario = Scenario::random(seed);
        let outcome = simulation::run(&scenario, false);
        steps += outcome.steps;
        cov.add(&outcome.coverage);
        match outcome.end {
            End::Converged(s) => {
                if s > slow {
                    slow = s;
                    println!("slowest {s} seed {seed}");
                }
                ends.entry("converged".into()).or_default().0 += 1
            }
            End::Blocked(why) => {
                let e = ends.entry(why).or_insert((0, seed));
                e.0 += 1
            }
            End::Failed => {
                let v = &outcome.violations[0];
                let key = format!(
                    "{} {}",
                    v.invariant,
                    v.text.chars().filter(|c| !c.is_ascii_digit()).take(130).collect::<String>()
                );
                let e = fails.entry(key).or_insert((0, seed));
                e.0 += 1
            }
        }
    }
    let t = begin.elapsed().as_secs_f64();
    println!("{steps} steps in {t:.1} s: {:.0}/s", steps as f64 / t);
    if args.len() > 2 {
        println!("{:#?}", cov);
    }
    if args.len() > 2 {
        for (k, (n, s)) in &ends {
            println!("END {n:>5} (seed {s}) {k}");
        }
    }
    for (k, (n, s)) in &fails {
        println!("FAIL {n:>5} (seed {s}) {k}");
    }
}
