//! From one server to a cluster, and back.
//!
//! A server that ran alone and restarts with a cluster block deletes its streams, and the other way
//! round it cannot read them (measured with NATS 2.14.2). So a change between the two is made only
//! where there are none.

use nats_manager_api::{NamespacedName, Nats, SettledCluster};

use super::{
    super::{guard::never_started, observe::Observed},
    Tools,
};
use crate::jetstream::{self, Contents, DEFAULT_ACCOUNT, Holdings, Look, Shown, Unreachable, meta_group};

const CLUSTERED: u32 = SettledCluster::SMALLEST_CLUSTER;

/// Names beyond these are counted.
const NAMED: usize = 10;

/// What is in the way of a change of the size that no copy survives. Asks JetStream only where a
/// server ever started.
pub(super) async fn obstacle(
    tools: &Tools<'_>,
    nats: &Nats,
    id: &NamespacedName,
    observed: &Observed,
    (size, wanted): (u32, u32),
) -> kube::Result<Option<String>> {
    if never_started(tools.client, nats, id, observed).await? {
        return Ok(None);
    }
    let why = why_not(&jetstream::ask(tools.address).await, tools.shown, (size, wanted));
    Ok(why.map(|why| format!("The change of spec.cluster.size from {size} to {wanted} is held: {why}.")))
}

fn why_not(asked: &Result<Contents, Unreachable>, shown: &Shown, (size, wanted): (u32, u32)) -> Option<String> {
    let contents = match asked {
        Ok(contents) => contents,
        Err(cause) => {
            return Some(format!("it can destroy streams, and whether there are any cannot be told: {cause}"));
        }
    };
    // Clients without credentials see those of the default account alone.
    let others: Vec<String> =
        named(&shown.holdings).filter(|(account, _)| *account != DEFAULT_ACCOUNT).map(|(_, name)| name).collect();
    let count = contents.streams + others.len();
    if count == 0 {
        let gap = shown.gap.as_ref()?;
        return Some(format!(
            "it can destroy streams, and whether accounts other than the default one have any cannot be told: {gap}"
        ));
    }
    let streams = counted(count, contents.names.iter().cloned().chain(others));
    Some(if needs_empty_store(size, wanted) {
        format!(
            "JetStream has {streams}, which a restart with the new size would destroy. Back them up and delete them, and restore them after the change"
        )
    } else {
        format!(
            "JetStream has {streams}, and whether the servers that would leave hold the only copies cannot be told, since their monitoring port (8222) cannot be reached"
        )
    })
}

/// Why the server that still runs alone is not restarted as one of several: streams were made after the
/// change was let through. It is the one of the old template; a clustered one that starts shows no meta
/// group either, but its pod is not ready.
pub(super) fn late_streams(look: &Look, id: &NamespacedName, observed: &Observed) -> Option<String> {
    let single = id.server(0);
    let answer = look.servers.get(&single)?.as_ref().ok()?;
    let is_alone = answer.meta.is_none() && !answer.disabled && meta_group(look).is_none();
    let is_old = observed.pods.iter().any(|pod| pod.name == single && pod.is_serving() && observed.is_outdated(pod));
    if answer.streams.is_empty() || !is_alone || !is_old {
        return None;
    }
    let holdings = jetstream::shown(&Look { servers: [(single.clone(), Ok(answer.clone()))].into() });
    let names = named(&holdings).map(|(_, name)| name);
    let streams = counted(holdings.streams.len(), names);
    Some(format!(
        "The restart of {single} as one of several servers is held: JetStream has {streams}, made since the change of the size, and it would destroy them. Back them up and delete them, and restore them after the change."
    ))
}

/// What the servers were configured for. While the StatefulSet is gone their configuration tells:
/// there may be more volumes than servers.
pub(super) fn deployed_size(observed: &Observed) -> Option<u32> {
    let size = observed.surroundings.deployed.as_ref()?.size;
    let config = observed.live.config_map.as_deref().filter(|_| observed.live.stateful_set.is_none());
    let files = config.and_then(|config| config.data.as_ref());
    Some(match files.map(|files| files.values().any(|file| has_cluster_block(file))) {
        Some(true) => size.max(CLUSTERED),
        Some(false) => 1,
        None => size,
    })
}

fn has_cluster_block(config: &str) -> bool {
    config.lines().any(|line| {
        let rest = line.trim_start().strip_prefix("cluster");
        rest.is_some_and(|rest| rest.trim_start_matches([' ', ':', '=']).starts_with('{'))
    })
}

/// Whether a store does not survive the change: a cluster comes, or goes.
pub(in crate::controller) fn needs_empty_store(deployed: u32, wanted: u32) -> bool {
    (deployed >= CLUSTERED) != (wanted >= CLUSTERED)
}

/// The streams, each with its account and how to call it.
fn named(holdings: &Holdings) -> impl Iterator<Item = (&str, String)> {
    holdings.streams.iter().map(|(account, name)| {
        let is_default = account == DEFAULT_ACCOUNT;
        (account.as_str(), if is_default { name.clone() } else { format!("{name} of account {account}") })
    })
}

/// How many streams there are, with the first names.
fn counted(count: usize, names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.take(NAMED).collect();
    let noun = if count == 1 { "stream" } else { "streams" };
    format!("{count} {noun} ({})", names.join(", "))
}

#[cfg(test)]
mod tests {
    use std::{slice, sync::Arc};

    use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};

    use super::*;
    use crate::{
        controller::observe::{Live, ServerPod},
        jetstream::{Group, Server, Stream},
    };

    fn shown(streams: &[(&str, &str)], gap: Option<&str>) -> Shown {
        let streams = streams.iter().map(|(account, name)| ((*account).to_owned(), (*name).to_owned())).collect();
        Shown { holdings: Holdings { streams, ..Holdings::default() }, gap: gap.map(str::to_owned) }
    }

    #[test]
    fn a_stream_of_any_account_holds_the_change() {
        let told = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Ok(Contents { streams: names.len(), names, ..Contents::default() })
        };
        let gap = Some("n-0 does not answer");
        for (expected, asked, shown) in [
            (None, told(&[]), shown(&[], None)),
            (Some("JetStream has 1 stream (orders), which"), told(&["orders"]), shown(&[("$G", "orders")], None)),
            (Some("JetStream has 1 stream (a of account team), which"), told(&[]), shown(&[("team", "a")], None)),
            (Some("JetStream has 2 streams (a, a of account team), which"), told(&["a"]), shown(&[("team", "a")], gap)),
            (
                Some(
                    "it can destroy streams, and whether accounts other than the default one have any cannot be told: n-0 does",
                ),
                told(&[]),
                shown(&[], gap),
            ),
            (
                Some("it can destroy streams, and whether there are any cannot be told: JetStream did not"),
                Err(Unreachable::Timeout),
                shown(&[], None),
            ),
        ] {
            let why = why_not(&asked, &shown, (1, 3));
            assert_eq!(why.is_some(), expected.is_some(), "{why:?}");
            assert!(why.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{expected:?}");
        }
    }

    #[test]
    fn streams_that_came_after_the_change_was_let_through_are_told() {
        let orders = Stream { account: "$G".to_owned(), name: "orders".to_owned(), ..Stream::default() };
        let group = |leader: Option<&str>| Some(Group { leader: leader.map(str::to_owned), ..Group::default() });
        let server = |meta, streams: &[Stream]| Ok(Server { meta, streams: streams.to_vec(), ..Server::default() });
        let look = |first, leader| Look {
            servers: [("n-0".to_owned(), first), ("n-1".to_owned(), server(group(leader), &[]))].into(),
        };
        let observed = |revision: &str, ready| {
            let status = StatefulSetStatus { update_revision: Some("new".to_owned()), ..StatefulSetStatus::default() };
            let live = StatefulSet { status: Some(status), ..StatefulSet::default() };
            let pod = ServerPod {
                name: "n-0".to_owned(),
                revision: Some(revision.to_owned()),
                ready,
                ..ServerPod::default()
            };
            let live = Live { stateful_set: Some(Arc::new(live)), ..Live::default() };
            Observed { live, pods: vec![pod], ..Observed::default() }
        };
        let alone = || server(None, slice::from_ref(&orders));
        for (is_held, what, look, observed) in [
            (true, "it runs alone", look(alone(), None), observed("old", true)),
            (false, "it has none", look(server(None, &[]), None), observed("old", true)),
            (false, "it starts", look(alone(), None), observed("old", false)),
            (false, "it was restarted already", look(alone(), None), observed("new", true)),
            (
                false,
                "it is one of several",
                look(server(group(None), slice::from_ref(&orders)), None),
                observed("old", true),
            ),
            (false, "the others do without it", look(alone(), Some("n-1")), observed("old", true)),
        ] {
            let held = late_streams(&look, &NamespacedName::new("kyma-system", "n"), &observed);
            assert_eq!(held.is_some(), is_held, "{what}: {held:?}");
            assert!(held.is_none_or(|held| held.contains("JetStream has 1 stream (orders)")), "{what}");
        }
    }

    #[test]
    fn a_configuration_tells_whether_servers_form_a_cluster() {
        for (expected, config) in [
            (true, "port: 4222\n\ncluster {\n  port: 6222\n}\n"),
            (true, "cluster: {"),
            (true, "  cluster = { name: a }"),
            (false, "# cluster {"),
            (false, "cluster_advertise: a\njetstream {\n}"),
            (false, ""),
        ] {
            assert_eq!(has_cluster_block(config), expected, "{config}");
        }
    }

    #[test]
    fn a_store_survives_a_change_within_a_cluster() {
        for (deployed, wanted, empty) in [(1, 1, false), (1, 3, true), (3, 1, true), (3, 5, false), (5, 3, false)] {
            assert_eq!(needs_empty_store(deployed, wanted), empty, "{deployed} -> {wanted}");
        }
    }
}
