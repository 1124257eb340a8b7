//! Check that the servers have loaded the desired configuration.
//!
//! A changed ConfigMap reaches the file after up to 70 s (the kubelet's sync). Then the config reloader signals the
//! server, which loads all of the file or nothing. The server reports the digest of the configuration that it loaded
//! last. NATS Manager requests the reload of a late server itself, in case the config reloader does not run.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use nats_manager_api::ResolvedCluster;
use nats_manager_jetstream::{Credentials, MonitoringEndpoint, config_digests};
use nats_manager_planner::{actual::ServerMode, plan::Plan, snapshot::Unreachable};

use crate::controller::resources::{Layout, config_digest};

/// Progress of the servers with the newest configuration.
#[derive(Debug, Default)]
pub(crate) struct ConfigReloads {
    /// Expected digest of each server.
    expected: BTreeMap<String, String>,
    is_loaded: bool,
    since: Option<Instant>,
    requested_at: Option<Instant>,
    reload_requested_at: Option<Instant>,
}

/// Next step of the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReloadCheck {
    /// None: every server has loaded the configuration, or the last request was a moment ago.
    Skip,
    Request,
}

/// Servers that have not loaded the configuration in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LateServers {
    /// Servers whose reload is to be requested now.
    pub(crate) to_reload: Vec<String>,
    /// Notice for users, once a server takes too long.
    pub(crate) notice: Option<String>,
}

/// Interval between requests of the digests while a server is late.
const REQUEST_INTERVAL: Duration = Duration::from_secs(5);
/// Time after which the kubelet's sync no longer explains the delay.
const RELOAD_AFTER: Duration = Duration::from_secs(90);
const RELOAD_INTERVAL: Duration = Duration::from_secs(30);
/// Time after which users are notified.
const REPORT_AFTER: Duration = Duration::from_secs(150);

impl ConfigReloads {
    /// Requests the digests of the servers, unless all of them are known to have loaded the configuration of `cluster`.
    pub(crate) async fn check(
        &mut self,
        cluster: &ResolvedCluster,
        plan: &Plan,
        credentials: &Credentials,
        targets: &[MonitoringEndpoint],
        now: Instant,
    ) -> LateServers {
        let routes = if plan.variant.kind == ServerMode::Clustered { plan.routes } else { 0 };
        let layout = Layout { routes, memory_store: plan.memory_store, file_store: plan.file_store };
        let servers = (0..plan.replicas).map(|ordinal| cluster.id.server(ordinal));
        let expected =
            servers.map(|server| (server.clone(), config_digest(cluster, layout, credentials, &server))).collect();
        match self.next(&expected, now) {
            ReloadCheck::Skip => LateServers::default(),
            ReloadCheck::Request => self.evaluate(&config_digests(targets).await, now),
        }
    }

    /// Returns the next step. Restarts the check when the expected digests change.
    fn next(&mut self, expected: &BTreeMap<String, String>, now: Instant) -> ReloadCheck {
        let state = self;
        if state.expected != *expected {
            *state = Self { expected: expected.clone(), since: Some(now), ..Self::default() };
        }
        let was_requested = state.requested_at.is_some_and(|at| now.duration_since(at) < REQUEST_INTERVAL);
        if state.is_loaded || was_requested {
            return ReloadCheck::Skip;
        }
        state.requested_at = Some(now);
        ReloadCheck::Request
    }

    /// Evaluates the servers' answers. An unreachable server is not late: it has another issue.
    fn evaluate(&mut self, answers: &BTreeMap<String, Result<String, Unreachable>>, now: Instant) -> LateServers {
        let state = self;
        let has =
            |server: &String, digest: &String| answers.get(server).is_some_and(|answer| answer.as_ref() == Ok(digest));
        state.is_loaded = state.expected.iter().all(|(server, digest)| has(server, digest));
        let late: Vec<String> = state
            .expected
            .iter()
            .filter(|(server, digest)| {
                answers.get(*server).is_some_and(|answer| answer.as_ref().is_ok_and(|own| own != *digest))
            })
            .map(|(server, _)| server.clone())
            .collect();
        let waited = state.since.map_or(Duration::ZERO, |since| now.duration_since(since));
        let is_due = state.reload_requested_at.is_none_or(|at| now.duration_since(at) >= RELOAD_INTERVAL);
        if late.is_empty() || waited < RELOAD_AFTER {
            return LateServers::default();
        }
        if is_due {
            state.reload_requested_at = Some(now);
        }
        let notice = (waited >= REPORT_AFTER).then(|| {
            format!("{} did not load the changed configuration; see its log: kubectl logs POD -c nats", late.join(", "))
        });
        LateServers { to_reload: if is_due { late } else { Vec::new() }, notice }
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
    fn digests_are_requested_until_all_servers_have_loaded_the_configuration() {
        let (mut reloads, start) = (ConfigReloads::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(reloads.next(&digests("a"), at(0)), ReloadCheck::Request);
        assert_eq!(reloads.evaluate(&answers(["a", "old"]), at(0)), LateServers::default());
        assert_eq!(reloads.next(&digests("a"), at(1)), ReloadCheck::Skip);
        assert_eq!(reloads.next(&digests("a"), at(6)), ReloadCheck::Request);
        assert_eq!(reloads.evaluate(&answers(["a", "a"]), at(6)), LateServers::default());
        assert_eq!(reloads.next(&digests("a"), at(60)), ReloadCheck::Skip);
        assert_eq!(reloads.next(&digests("b"), at(61)), ReloadCheck::Request);
    }

    #[test]
    fn late_server_is_reloaded_and_then_reported() {
        let (mut reloads, start) = (ConfigReloads::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        reloads.next(&digests("a"), at(0));
        let mut late = |seconds| reloads.evaluate(&answers(["a", "old"]), at(seconds));
        let reload = LateServers { to_reload: vec!["n-1".to_owned()], notice: None };
        assert_eq!((late(80), late(90), late(95)), (LateServers::default(), reload.clone(), LateServers::default()));
        assert_eq!(late(120), reload);
        assert!(late(151).notice.is_some_and(|notice| notice.starts_with("n-1 did not load")));
    }
}
