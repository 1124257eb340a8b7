//! Whether the servers run with the configuration that they should.
//!
//! A changed ConfigMap reaches the file after up to 70 s (the kubelet's sync), then the config
//! reloader signals the server, which takes all of it or nothing. What it took last it tells as a
//! digest. A server that is late is told to reload by ourselves, in case the reloader is not there.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use nats_manager_api::ResolvedCluster;
use nats_manager_jetstream::{Credentials, MonitoringEndpoint, config_digests};
use nats_manager_planner::{actual::ServerMode, plan::Plan, snapshot::Unreachable};

use crate::controller::resources::{Layout, config_digest};

/// What was seen of the newest configuration.
#[derive(Debug, Default)]
pub(crate) struct ConfigReloads {
    /// The digests that the servers are to have.
    wanted: BTreeMap<String, String>,
    taken: bool,
    since: Option<Instant>,
    asked: Option<Instant>,
    nudged: Option<Instant>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReloadCheck {
    /// Every server has it, or was asked a moment ago.
    Nothing,
    /// Ask the servers.
    Ask,
}

/// What the servers' answers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LateServers {
    /// Servers that are to be told to reload now.
    pub(crate) nudge: Vec<String>,
    /// What to tell the user, once it takes too long.
    pub(crate) notice: Option<String>,
}

/// How often servers are asked while one is late.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// From then on it is not the kubelet that is slow.
const NUDGE_AFTER: Duration = Duration::from_secs(90);
const NUDGE_EVERY: Duration = Duration::from_secs(30);
/// From then on somebody should look.
const TELL_AFTER: Duration = Duration::from_secs(150);

impl ConfigReloads {
    /// Asks the servers of `cluster` whether they have its configuration, if that is not known yet.
    pub(crate) async fn check(
        &mut self,
        cluster: &ResolvedCluster,
        plan: &Plan,
        credentials: &Credentials,
        targets: &[MonitoringEndpoint],
        now: Instant,
    ) -> LateServers {
        let routes = if plan.variant.kind == ServerMode::Clustered { plan.routes } else { 0 };
        let layout = Layout { routes, memory_store: plan.memory_store };
        let servers = (0..plan.replicas).map(|ordinal| cluster.id.server(ordinal));
        let wanted =
            servers.map(|server| (server.clone(), config_digest(cluster, layout, credentials, &server))).collect();
        match self.next(&wanted, now) {
            ReloadCheck::Nothing => LateServers::default(),
            ReloadCheck::Ask => self.answered(&config_digests(targets).await, now),
        }
    }

    /// Whether to ask whether the servers have these digests.
    fn next(&mut self, wanted: &BTreeMap<String, String>, now: Instant) -> ReloadCheck {
        let state = self;
        if state.wanted != *wanted {
            *state = Self { wanted: wanted.clone(), since: Some(now), ..Self::default() };
        }
        let was_asked = state.asked.is_some_and(|asked| now.duration_since(asked) < ASK_EVERY);
        if state.taken || was_asked {
            return ReloadCheck::Nothing;
        }
        state.asked = Some(now);
        ReloadCheck::Ask
    }

    /// Takes the servers' answers. One that is silent is not late: something else is wrong with it.
    fn answered(&mut self, answers: &BTreeMap<String, Result<String, Unreachable>>, now: Instant) -> LateServers {
        let state = self;
        let has =
            |server: &String, digest: &String| answers.get(server).is_some_and(|answer| answer.as_ref() == Ok(digest));
        state.taken = state.wanted.iter().all(|(server, digest)| has(server, digest));
        let late: Vec<String> = state
            .wanted
            .iter()
            .filter(|(server, digest)| {
                answers.get(*server).is_some_and(|answer| answer.as_ref().is_ok_and(|own| own != *digest))
            })
            .map(|(server, _)| server.clone())
            .collect();
        let waited = state.since.map_or(Duration::ZERO, |since| now.duration_since(since));
        let is_due = state.nudged.is_none_or(|nudged| now.duration_since(nudged) >= NUDGE_EVERY);
        if late.is_empty() || waited < NUDGE_AFTER {
            return LateServers::default();
        }
        if is_due {
            state.nudged = Some(now);
        }
        let notice = (waited >= TELL_AFTER).then(|| {
            format!("{} did not load the changed configuration; see its log: kubectl logs POD -c nats", late.join(", "))
        });
        LateServers { nudge: if is_due { late } else { Vec::new() }, notice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(digest: &str) -> BTreeMap<String, String> {
        ["n-0", "n-1"].map(|server| (server.to_owned(), digest.to_owned())).into()
    }

    fn answers(pairs: [&str; 2]) -> BTreeMap<String, Result<String, Unreachable>> {
        ["n-0", "n-1"]
            .into_iter()
            .zip(pairs)
            .map(|(server, digest)| (server.to_owned(), Ok(digest.to_owned())))
            .collect()
    }

    #[test]
    fn servers_are_asked_until_they_have_it_and_not_again() {
        let (mut reloads, start) = (ConfigReloads::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(reloads.next(&digests("a"), at(0)), ReloadCheck::Ask);
        assert_eq!(reloads.answered(&answers(["a", "old"]), at(0)), LateServers::default());
        assert_eq!(reloads.next(&digests("a"), at(1)), ReloadCheck::Nothing);
        assert_eq!(reloads.next(&digests("a"), at(6)), ReloadCheck::Ask);
        assert_eq!(reloads.answered(&answers(["a", "a"]), at(6)), LateServers::default());
        assert_eq!(reloads.next(&digests("a"), at(60)), ReloadCheck::Nothing);
        assert_eq!(reloads.next(&digests("b"), at(61)), ReloadCheck::Ask);
    }

    #[test]
    fn a_late_server_is_told_to_reload_and_then_named() {
        let (mut reloads, start) = (ConfigReloads::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        reloads.next(&digests("a"), at(0));
        let mut late = |seconds| reloads.answered(&answers(["a", "old"]), at(seconds));
        let nudged = LateServers { nudge: vec!["n-1".to_owned()], notice: None };
        assert_eq!((late(80), late(90), late(95)), (LateServers::default(), nudged.clone(), LateServers::default()));
        assert_eq!(late(120), nudged);
        assert!(late(151).notice.is_some_and(|notice| notice.starts_with("n-1 did not load")));
    }
}
