//! Invariant 6: the assessment is true.

use std::time::Duration;

use nats_manager_planner::health::{Assessment, Issue, IssueKind};

use crate::{
    kubernetes::cache::time,
    servers::{SERVERS, ServerId},
    world::World,
};

/// Seconds within which the assessment has to show a failure or a recovery.
const SHOWN: u64 = 120;

/// Seconds since which servers and the meta group are in their present state.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    servers_down: [Option<u64>; SERVERS],
    meta_led: Option<u64>,
    has_reported: bool,
}

impl Truth {
    /// Compares the assessment with the model. `observing_since` is the second from which the manager could observe all
    /// servers.
    pub fn check(&mut self, world: &mut World, assessment: Option<&Assessment>, observing_since: u64) {
        let now = world.now;
        self.meta_led = world.nats.meta_leader().and(self.meta_led.or(Some(now)));
        let replicas = world.replicas();
        for server in 0..SERVERS {
            let is_down = server < replicas && !is_working(world, server);
            self.servers_down[server] = if is_down { self.servers_down[server].or(Some(now)) } else { None };
        }
        let Some(assessment) = assessment.filter(|_| now > observing_since + SHOWN && !self.has_reported) else {
            return;
        };
        let is_old = |since: u64| now > since + SHOWN;
        let hidden = (0..replicas.min(SERVERS)).find(|server| self.servers_down[*server].is_some_and(is_old));
        let leaderless =
            world.nats.streams.iter().find(|stream| stream.leader.is_none() && is_old(stream.leader_since));
        let text = if assessment.issues.is_empty() {
            hidden
                .map(|server| format!("{} has failed, and no issue is reported", world.nats.names.server[server]))
                .or(leaderless.map(|stream| format!("stream {} has no leader, and no issue is reported", stream.id)))
        } else {
            self.invented(world, assessment, is_old)
        };
        if let Some(text) = text {
            self.has_reported = true;
            world.ledger.violate(6, now, text);
        }
    }

    /// Returns the text of an outage that is reported although clients have no outage.
    fn invented(&self, world: &World, assessment: &Assessment, is_old: impl Fn(u64) -> bool) -> Option<String> {
        let holds = |issue: &&Issue| time(world.now).since(issue.since) > Duration::from_secs(SHOWN);
        assessment.issues.iter().filter(holds).find_map(|issue| {
            let is_invented = match &issue.kind {
                IssueKind::NoMetaLeader => self.meta_led.is_some_and(&is_old),
                IssueKind::NoStreamLeader { stream } => world
                    .nats
                    .streams
                    .iter()
                    .any(|other| other.id == *stream && other.leader.is_some() && is_old(other.leader_since)),
                _ => false,
            };
            is_invented.then(|| format!("reported, and not so: {}", issue.kind))
        })
    }
}

fn is_working(world: &World, server: ServerId) -> bool {
    world.nats.processes[server].is_some_and(|process| process.disabled.is_none())
}
