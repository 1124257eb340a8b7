//! What is wrong with JetStream, and the way out, in words that stay the same while it lasts.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use nats_manager_api::{NamespacedName, Reason};

use crate::{
    controller::observe::ServerPod,
    jetstream::{Lack, Look, has_quorum, lacks},
};

/// Something that does not pass by itself, or has lasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its kind.
    pub reason: Reason,
    /// What it is, and the way out.
    pub message: String,
}

/// A pod that takes longer to stop hangs on a node that is gone: its grace period is 150 s.
const STUCK_AFTER: Duration = Duration::from_mins(3);

/// The worst trouble of the servers that are expected. With a change `underway`, servers that are
/// away for a moment are part of it.
pub fn trouble(
    id: &NamespacedName,
    look: &Look,
    expected: &[String],
    pods: &[ServerPod],
    underway: bool,
    now: Timestamp,
) -> Option<Trouble> {
    let all = lacks(look, expected);
    let stuck = stuck(id, pods, now);
    if !has_quorum(look, expected) {
        return Some(quorum_lost(look, expected, &all, stuck));
    }
    if let Some(message) = stuck {
        return Some(Trouble { reason: Reason::ServerStuck, message });
    }
    if underway {
        return None;
    }
    let of = |reason, message: String| Some(Trouble { reason, message });
    let disabled = servers(&all, |lack| matches!(lack, Lack::Disabled { .. }));
    if !disabled.is_empty() {
        return of(
            Reason::ServerDisabled,
            format!(
                "{disabled}: JetStream is switched off, mostly since the volume is full. It comes back by itself when there is room."
            ),
        );
    }
    let silent = servers(&all, |lack| matches!(lack, Lack::Silent { .. }));
    if !silent.is_empty() {
        return of(
            Reason::ServerUnreachable,
            format!(
                "{silent}: no answer. JetStream goes on with the others; see: kubectl get pods -n {} -l nats_cluster={}",
                id.namespace, id.name
            ),
        );
    }
    let missing = servers(&all, |lack| matches!(lack, Lack::Missing { .. }));
    if !missing.is_empty() {
        return of(
            Reason::ServerMissing,
            format!(
                "{missing}: running, but not part of JetStream's meta group. A server that was removed can rejoin after five minutes; if it does not, restart it: kubectl delete pod -n {} POD",
                id.namespace
            ),
        );
    }
    let leaderless = all.iter().any(|lack| matches!(lack, Lack::StreamLeader { .. } | Lack::ConsumerLeader { .. }));
    if leaderless {
        return of(
            Reason::QuorumLost,
            "A stream or consumer has no leader: too few of its copies are there. See: nats stream report".to_owned(),
        );
    }
    let behind = servers(&all, |lack| matches!(lack, Lack::Starting { .. } | Lack::Behind { .. } | Lack::Copy { .. }));
    (!behind.is_empty())
        .then(|| {
            of(
                Reason::ReplicaBehind,
                format!(
                    "{behind}: copies there are not current. See: nats stream report; nats server report jetstream"
                ),
            )
        })
        .flatten()
}

fn quorum_lost(look: &Look, expected: &[String], all: &[Lack], stuck: Option<String>) -> Trouble {
    let answering =
        expected.iter().filter(|server| matches!(look.servers.get(*server), Some(Ok(server)) if !server.disabled));
    let (answering, needed) = (answering.count(), expected.len() / 2 + 1);
    let away = servers(all, |lack| matches!(lack, Lack::Silent { .. } | Lack::Disabled { .. }));
    let way_out = match stuck {
        Some(stuck) => stuck,
        None if away.is_empty() => "The servers must reach each other at port 6222.".to_owned(),
        None => format!("Bring back: {away}."),
    };
    Trouble {
        reason: Reason::QuorumLost,
        message: format!(
            "JetStream accepts no messages: {answering} of {} servers answer, {needed} that agree on a leader are needed. {way_out}",
            expected.len()
        ),
    }
}

fn stuck(id: &NamespacedName, pods: &[ServerPod], now: Timestamp) -> Option<String> {
    let is_stuck = |pod: &&ServerPod| {
        let since = pod.terminating.map(|since| now.duration_since(since));
        since.and_then(|since| Duration::try_from(since).ok()).is_some_and(|since| since > STUCK_AFTER)
    };
    let pod = pods.iter().find(is_stuck)?;
    let (name, namespace, node) = (&pod.name, &id.namespace, pod.node.as_deref().unwrap_or("its node"));
    Some(format!(
        "{name} does not stop: {node} may be gone. Once that node is surely off: kubectl delete pod {name} -n {namespace} --grace-period=0 --force"
    ))
}

/// The servers that such lacks are about.
fn servers(all: &[Lack], kind: impl Fn(&Lack) -> bool) -> String {
    let mut names: Vec<&str> = all.iter().filter(|lack| kind(lack)).filter_map(Lack::server).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::{Group, Peer, Server, Silence};

    fn id() -> NamespacedName {
        NamespacedName::new("kyma-system", "n")
    }

    fn look(change: impl Fn(&mut Look)) -> Look {
        let meta = |name: &str| Group {
            leader: Some("n-0".to_owned()),
            peers: if name == "n-0" {
                ["n-1", "n-2"].map(|peer| Peer { name: peer.to_owned(), current: true, ..Peer::default() }).into()
            } else {
                Vec::new()
            },
            size: Some(3),
        };
        let server = |name: &str| Ok(Server { meta: Some(meta(name)), ..Server::default() });
        let mut look = Look { servers: ["n-0", "n-1", "n-2"].map(|name| (name.to_owned(), server(name))).into() };
        change(&mut look);
        look
    }

    fn silence(look: &mut Look, name: &str) {
        look.servers.insert(name.to_owned(), Err(Silence("no route".to_owned())));
    }

    fn of(look: &Look, pods: &[ServerPod], underway: bool) -> Option<(Reason, String)> {
        let expected = ["n-0", "n-1", "n-2"].map(str::to_owned);
        let now = Timestamp::from_second(1000).unwrap();
        trouble(&id(), look, &expected, pods, underway, now).map(|trouble| (trouble.reason, trouble.message))
    }

    #[test]
    fn a_whole_cluster_has_no_trouble() {
        assert_eq!(of(&look(|_| ()), &[], false), None);
    }

    #[test]
    fn trouble_is_named_with_the_way_out() {
        let two = look(|look| ["n-1", "n-2"].iter().for_each(|name| silence(look, name)));
        let one = look(|look| silence(look, "n-1"));
        let off = look(|look| look.servers.get_mut("n-2").unwrap().as_mut().unwrap().disabled = true);
        for (look, reason, words) in [
            (
                &two,
                Reason::QuorumLost,
                "1 of 3 servers answer, 2 that agree on a leader are needed. Bring back: n-1, n-2.",
            ),
            (&one, Reason::ServerUnreachable, "n-1: no answer."),
            (&off, Reason::ServerDisabled, "n-2: JetStream is switched off"),
        ] {
            let (is, message) = of(look, &[], false).unwrap();
            assert_eq!(is, reason, "{message}");
            assert!(message.contains(words), "{message}");
        }
        assert_eq!(of(&one, &[], true), None, "a server that restarts is part of a roll");
        assert!(of(&two, &[], true).is_some(), "a lost majority never is");
    }

    #[test]
    fn a_pod_that_hangs_on_a_dead_node_is_named() {
        let pod = |since| ServerPod {
            name: "n-1".to_owned(),
            node: Some("node-b".to_owned()),
            terminating: Some(Timestamp::from_second(since).unwrap()),
            ..ServerPod::default()
        };
        let one = look(|look| silence(look, "n-1"));
        let (reason, message) = of(&one, &[pod(700)], true).unwrap();
        assert_eq!(reason, Reason::ServerStuck);
        assert!(message.contains("kubectl delete pod n-1 -n kyma-system --grace-period=0 --force"), "{message}");
        assert_eq!(of(&one, &[pod(900)], false).unwrap().0, Reason::ServerUnreachable);
    }
}
