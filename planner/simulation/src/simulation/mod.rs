//! Runs of scenarios: deploy a cluster, apply events, end faults, and wait for the desired state.

mod shrink;

use std::collections::BTreeMap;

pub use shrink::shrink;

use crate::{
    event::{Edit, Event},
    invariants::{self, convergence, disruption, truth::Truth},
    kubernetes::{
        Kubernetes,
        objects::{Image, Node, Resource},
        volumes::Driver,
    },
    ledger::{Coverage, Violation},
    manager::Manager,
    nats::Nats,
    scenario::Scenario,
    servers::SERVERS,
    world::{Faults, World},
};

/// Size of a PVC in bytes.
const VOLUME: u64 = 4_000_000_000;
/// Seconds within which a cluster has to be deployed.
const DEPLOYED: u64 = 600;
/// Seconds within which a cluster has to reach the desired state once faults have ended. A removed name is barred for
/// 302 s, and a move may wait for a catch-up of the largest stream.
const CONVERGED: u64 = 5400;
/// Highest number of writes to reach the desired state.
const WRITES: u64 = 400;
/// Seconds without a write after which no more writes are expected.
const QUIET: u64 = 60;
/// Seconds after which a blocked cluster counts as blocked for good.
const BLOCKED: u64 = 900;

/// A world and its manager.
#[derive(Debug)]
pub struct Simulation {
    /// Environment of the manager.
    pub world: World,
    /// The simulated manager process.
    pub manager: Manager,
    truth: Truth,
    observing_since: u64,
}

/// End of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The actual state is the desired one, so many seconds after faults ended.
    Converged(u64),
    /// The actual state differs, and the plan names this cause.
    Blocked(String),
    /// The actual state differs without a named cause, or an invariant was violated.
    Failed,
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// End of the run.
    pub end: End,
    /// Number of simulated seconds.
    pub steps: u64,
    /// Violated invariants.
    pub violations: Vec<Violation>,
    /// Counts of actions, steps and blocked changes.
    pub coverage: Coverage,
    /// Lines of the story; empty if it was not recorded.
    pub story: Vec<String>,
}

impl Simulation {
    /// Builds the world of a scenario, in which only the resource exists.
    pub fn new(scenario: &Scenario) -> Self {
        let resource = Resource {
            version: 1,
            size: scenario.size,
            nats: scenario.version,
            image: Image::Good,
            edit: 0,
            memory: scenario.memory,
            volume: VOLUME,
            force: false,
            members: None,
            removed: BTreeMap::new(),
            servers_started: false,
            was_reached: false,
        };
        let kubernetes = Kubernetes::new(scenario.rules, resource);
        let nats = Nats::new(scenario.catch_up, scenario.restore);
        let world = World::new(scenario.seed, kubernetes, nats);
        let manager = Manager::new(&world);
        Self { world, manager, truth: Truth::default(), observing_since: 0 }
    }

    /// Starts to record the story.
    pub fn record(&mut self) {
        self.world.ledger.story = Some(Vec::new());
    }

    /// Applies an event to the world.
    pub fn apply(&mut self, event: Event) {
        self.world.ledger.log(self.world.now, || format!("EVENT {event:?}"));
        event.apply(&mut self.world, &mut self.manager.caches);
        if matches!(event, Event::DeleteStatefulSet | Event::Recreate(_) | Event::ScaleByHand(_)) {
            self.observing_since = self.world.now;
        }
        self.world.sync_volumes();
    }

    /// Simulates a second.
    pub fn step(&mut self) {
        for deletion in self.world.begin() {
            disruption::take_away(&mut self.world, deletion.ordinal, deletion.by, deletion.is_condemned);
        }
        self.world.tick();
        let now = self.world.now;
        if now >= self.world.faults.down_until {
            if self.world.faults.down_until > 0 && self.manager.started < self.world.faults.down_until {
                self.manager = Manager::new(&self.world);
            }
            self.manager.tick(&mut self.world);
        }
        invariants::collect(&mut self.world);
        self.check_truth();
    }

    fn check_truth(&mut self) {
        let world = &self.world;
        let stalled = self.manager.caches.stalled.into_iter().max().unwrap_or(0);
        let blind = [world.nats.blocked_ports.1, world.faults.down_until, stalled, self.manager.started];
        self.observing_since = blind.into_iter().max().unwrap_or(0).max(self.observing_since);
        if world.kubernetes.set.is_none() || world.faults.api.is_some_and(|(_, _, until)| world.now < until) {
            self.observing_since = world.now;
        }
        self.truth.check(&mut self.world, self.manager.assessment.as_ref(), self.observing_since);
    }

    /// Returns whether no invariant was violated.
    pub fn holds(&self) -> bool {
        self.world.ledger.violations.is_empty()
    }

    /// Runs until the cluster is deployed.
    pub fn deploy(&mut self) {
        let until = self.world.now + DEPLOYED;
        while self.world.now < until && self.holds() {
            self.step();
            if convergence::difference(&self.world).is_none() {
                return;
            }
        }
        let difference = convergence::difference(&self.world).unwrap_or_default();
        self.world.ledger.violate(5, self.world.now, format!("not deployed: {difference}"));
    }

    /// Ends all faults, and repairs what only users can repair.
    pub fn heal(&mut self) {
        let now = self.world.now;
        self.world.ledger.log(now, || "faults end".to_owned());
        let Faults { overwritten_until, down_until, controller_until, .. } = self.world.faults;
        let (down_until, controller_until) = (down_until.min(now), controller_until.min(now));
        self.world.faults = Faults { down_until, controller_until, overwritten_until, ..Faults::default() };
        self.world.kubernetes.quota_until = 0;
        if self.world.kubernetes.driver == Driver::Failing {
            self.world.kubernetes.driver = Driver::Online;
        }
        self.world.nats.blocked_ports.1 = 0;
        self.manager.caches.stalled = [0; 5];
        self.apply(Event::LeaveForeign);
        self.world.nats.catch_up = self.world.nats.catch_up.max(2_000);
        let live = self.world.kubernetes.config.map_or(0, |config| config.memory);
        let memory = Some(self.world.kubernetes.resource.memory.max(live) + 1_000_000_000);
        let is_full = self.world.nats.streams.iter().any(|stream| stream.memory_full);
        let memory = memory.filter(|_| is_full);
        self.apply(Event::Edit(Edit { image: Some(Image::Good), force: Some(false), memory, ..Edit::default() }));
        for server in 0..SERVERS {
            self.world.nats.stores[server].full = false;
            match &mut self.world.kubernetes.nodes[server] {
                Node::Up => {}
                Node::Lost { until, .. } => *until = now,
                Node::Gone { .. } => self.apply(Event::DeletePvc(server)),
            }
        }
    }

    /// Deletes a Pod whose PVC is terminating, as users do: the PVC stays as long as the Pod exists.
    fn release(&mut self) {
        let stuck = (0..SERVERS).find(|server| {
            self.world.kubernetes.pvcs[*server].is_some_and(|pvc| pvc.terminating)
                && self.world.kubernetes.pods[*server].as_ref().is_some_and(|pod| pod.terminating.is_none())
        });
        if let Some(server) = stuck {
            self.apply(Event::DeletePod(server));
        }
    }

    /// Runs until the actual state is the desired one and no more writes are made.
    pub fn converge(&mut self) -> End {
        let (began, writes) = (self.world.now, self.world.ledger.writes);
        let mut converged: Option<u64> = None;
        let mut named_since = None;
        while self.world.now < began + CONVERGED && self.holds() {
            if self.world.now.is_multiple_of(200) {
                self.release();
            }
            self.step();
            let now = self.world.now;
            let difference = convergence::difference(&self.world);
            converged = if difference.is_none() { converged.or(Some(now)) } else { None };
            if let Some(since) = converged
                && now > since + QUIET
                && now > self.world.ledger.written_at + QUIET
            {
                return End::Converged(since - began);
            }
            let blocked = self.manager.plan.as_ref().is_some_and(|plan| {
                let waiting_for = plan.operation.as_ref().and_then(|operation| operation.waiting_for.as_ref());
                !plan.blocked.is_empty() || waiting_for.is_some_and(|cause| cause.contains("delete it to go on"))
            });
            named_since = named_since.filter(|_| blocked).or(blocked.then_some(now));
            let is_quiet = now > self.world.ledger.written_at + 5 * QUIET;
            if let Some(since) = named_since
                && is_quiet
                && now > since + BLOCKED
                && let Some(name) = convergence::named(&self.manager)
            {
                return End::Blocked(name);
            }
            if self.world.ledger.writes > writes + WRITES {
                self.world.ledger.violate(5, now, format!("more than {WRITES} writes"));
            }
        }
        let difference = convergence::difference(&self.world);
        if let Some(difference) = difference.filter(|_| self.holds()) {
            let now = self.world.now;
            let named = convergence::named(&self.manager).unwrap_or_else(|| "nothing".to_owned());
            self.world.ledger.violate(5, now, format!("not as desired: {difference}; the plan names {named}"));
        } else if self.holds() {
            self.world.ledger.violate(5, self.world.now, "writes go on for ever");
        }
        End::Failed
    }
}

/// Runs a scenario to its end.
pub fn run(scenario: &Scenario, is_recorded: bool) -> RunOutcome {
    let mut simulation = Simulation::new(scenario);
    if is_recorded {
        simulation.record();
    }
    simulation.deploy();
    let began = simulation.world.now;
    for (index, new) in scenario.streams.iter().enumerate() {
        simulation.world.nats.create_stream(&format!("stream-{index}"), *new, began);
    }
    let mut events = scenario.events.iter().peekable();
    while simulation.holds() && events.peek().is_some() {
        while let Some((_, event)) = events.next_if(|(at, _)| began + 10 + at <= simulation.world.now) {
            simulation.apply(*event);
        }
        simulation.step();
    }
    for _ in 0..30 {
        if simulation.holds() {
            simulation.step();
        }
    }
    simulation.heal();
    let end = simulation.converge();
    let end = if simulation.holds() { end } else { End::Failed };
    let world = simulation.world;
    RunOutcome {
        end,
        steps: world.now,
        violations: world.ledger.violations,
        coverage: world.ledger.coverage,
        story: world.ledger.story.unwrap_or_default(),
    }
}
