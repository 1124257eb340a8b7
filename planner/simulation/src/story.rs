//! Stories: a cluster at rest, a few events, and assertions.
#![expect(clippy::missing_panics_doc, reason = "every step asserts that the invariants hold")]

use nats_manager_planner::{
    Version,
    plan::{BlockedReason, Plan},
};

use crate::{
    event::{Edit, Event},
    kubernetes::objects::Rules,
    nats::requests::NewStream,
    scenario::Scenario,
    servers::ServerId,
    simulation::{End, Simulation},
    world::World,
};

/// A story before its begin: the cluster that will be deployed.
#[derive(Clone, Debug)]
pub struct Story {
    scenario: Scenario,
}

/// A running story. Each step asserts that every invariant holds.
#[derive(Debug)]
pub struct Running {
    /// The world and its manager.
    pub simulation: Simulation,
}

/// Runs a story under both rule sets of the StatefulSet controller, with several seeds.
pub fn everywhere(size: u32, story: impl Fn(Story)) {
    for rules in [Rules::V1_34, Rules::V1_37] {
        for seed in 1..=8 {
            let mut scenario = Scenario::new(seed, size);
            scenario.rules = rules;
            story(Story { scenario });
        }
    }
}

/// Builds a stream with so many replicas and messages.
pub fn stream(replicas: u32, messages: u64) -> NewStream {
    NewStream { replicas, in_memory: false, messages, rate: 5 }
}

impl Story {
    /// Adds a stream.
    #[must_use]
    pub fn with(mut self, stream: NewStream) -> Self {
        self.scenario.streams.push(stream);
        self
    }

    /// Sets the version that the servers have.
    #[must_use]
    pub fn of_version(mut self, version: Version) -> Self {
        self.scenario.version = version;
        self
    }

    /// Sets the number of messages a second that a replica catches up.
    #[must_use]
    pub fn with_catch_up(mut self, messages: u64) -> Self {
        self.scenario.catch_up = messages;
        self
    }

    /// Deploys the cluster, creates the streams, and waits until everything is healthy.
    pub fn begin(self) -> Running {
        let mut simulation = Simulation::new(&self.scenario);
        simulation.record();
        simulation.deploy();
        let now = simulation.world.now;
        for (index, new) in self.scenario.streams.iter().enumerate() {
            assert!(simulation.world.nats.create_stream(&format!("stream-{index}"), *new, now), "no room for {new:?}");
        }
        let mut running = Running { simulation };
        running.passes(60);
        running
    }
}

impl Running {
    /// Returns the state of Kubernetes and NATS.
    pub fn world(&self) -> &World {
        &self.simulation.world
    }

    /// Returns the last plan of the manager.
    pub fn plan(&self) -> Option<&Plan> {
        self.simulation.manager.plan.as_ref()
    }

    /// Applies an event.
    pub fn happens(&mut self, event: Event) -> &mut Self {
        self.simulation.apply(event);
        self
    }

    /// Edits the resource, as a user does.
    pub fn edit(&mut self, edit: Edit) -> &mut Self {
        self.happens(Event::Edit(edit))
    }

    /// Changes the size, as a user does.
    pub fn resize(&mut self, size: u32) -> &mut Self {
        self.edit(Edit { size: Some(size), ..Edit::default() })
    }

    /// Runs so many seconds.
    pub fn passes(&mut self, seconds: u64) -> &mut Self {
        for _ in 0..seconds {
            self.step();
        }
        self
    }

    fn step(&mut self) {
        self.simulation.step();
        let ledger = &self.simulation.world.ledger;
        let story = || ledger.story.as_deref().unwrap_or_default().join("\n");
        assert!(ledger.violations.is_empty(), "{:#?}\n{}", ledger.violations, story());
    }

    /// Runs until a condition holds, which has to be the case within so many seconds.
    pub fn until(&mut self, seconds: u64, expected: &str, condition: impl Fn(&Self) -> bool) -> &mut Self {
        for _ in 0..seconds {
            if condition(self) {
                return self;
            }
            self.step();
        }
        let story = self.simulation.world.ledger.story.as_deref().unwrap_or_default().join("\n");
        assert!(condition(self), "not within {seconds} s: {expected}\n{story}");
        self
    }

    /// Waits until the plan has a blocked change with this reason, and returns its message.
    pub fn is_blocked(&mut self, reason: BlockedReason) -> String {
        self.until(300, &format!("{reason:?}"), |running| running.blocked(reason).is_some());
        self.blocked(reason).unwrap_or_default()
    }

    fn blocked(&self, reason: BlockedReason) -> Option<String> {
        let mut blocked = self.plan()?.blocked.iter().filter(|blocked| blocked.reason == reason);
        blocked.next().map(|blocked| blocked.message.clone())
    }

    /// Waits until the operation waits for a condition that contains this text.
    pub fn waits_for(&mut self, text: &str) -> &mut Self {
        self.until(300, text, |running| {
            let operation = running.plan().and_then(|plan| plan.operation.as_ref());
            operation.is_some_and(|operation| operation.waiting_for.as_ref().is_some_and(|cause| cause.contains(text)))
        })
    }

    /// Waits until the actual state is the desired one and no more writes are made.
    pub fn converges(&mut self) -> &mut Self {
        let end = self.simulation.converge();
        let ledger = &self.simulation.world.ledger;
        let story = ledger.story.as_deref().unwrap_or_default().join("\n");
        assert!(matches!(end, End::Converged(_)), "{end:?} {:#?}\n{story}", ledger.violations);
        self
    }

    /// Returns the run of a server's process, which differs after a restart; 0 if it does not run.
    pub fn run_of(&self, server: ServerId) -> u64 {
        self.world().nats.processes[server].map_or(0, |process| process.run)
    }

    /// Counts the actions of a variant that were carried out.
    pub fn times(&self, action: &str) -> u64 {
        self.world().ledger.coverage.actions.get(action).copied().unwrap_or(0)
    }

    /// Counts the streams.
    pub fn streams(&self) -> usize {
        self.world().nats.streams.len()
    }
}
