//! Plans of requests to replace a server with one that has a fresh volume.

use super::{
    super::{
        Action, BlockedReason, BlockedReason::ReplacementBlocked, Observation, OperationKind, OperationStep, Plan,
    },
    cluster::{Cluster, action, cluster},
};
use crate::{
    actual::Replacement::{self, KeepStreams, LoseStreams},
    snapshot::{StreamId, StreamReplica},
    testing,
    version::Version,
};

impl Cluster {
    fn request(&mut self, ordinal: usize, replacement: Replacement) {
        self.actual.pvcs[ordinal].replacement = Some(replacement);
    }
}

/// Builds a cluster of three with a stream of three replicas, and a request to replace `n-1`.
fn requested(change: impl FnOnce(&mut Cluster)) -> Cluster {
    cluster(3).with(|cluster| {
        cluster.add_stream("sap", &[0, 1, 2]);
        cluster.request(1, KeepStreams);
        change(cluster);
    })
}

/// Returns action, obstacle and reason of a blocked change of a plan with the names of these streams.
fn result(cluster: &Cluster, streams: &[&str]) -> (Option<String>, Option<String>, Option<BlockedReason>) {
    let plan = cluster.plan_with_streams(streams);
    let waiting_for = plan.operation.as_ref().and_then(|operation| operation.waiting_for.clone());
    (action(&plan), waiting_for, plan.blocked.first().map(|blocked| blocked.reason))
}

#[test]
fn server_is_replaced_while_every_stream_is_complete_on_the_others() {
    let act = |server: &str| (Some(format!("replace server {server}")), None, None);
    let wait = |cause: &str| (None, Some(cause.to_owned()), None);
    for (case, cluster, expected) in [
        ("healthy", requested(|_| {}), act("n-1")),
        ("the lowest ordinal is first", requested(|cluster| cluster.request(0, KeepStreams)), act("n-0")),
        ("the server is down", requested(|cluster| cluster.lose(1)), act("n-1")),
        ("another server is down", requested(|cluster| cluster.lose(2)), wait("n-2 is not ready")),
        (
            "another replica is not in sync",
            requested(|cluster| cluster.servers.replica_mut("n-2").group = None),
            wait("replica of stream sap on n-2 is not in sync"),
        ),
        (
            "another server has another version",
            requested(|cluster| cluster.servers.server_mut("n-2").version = Version::of_image("nats:2.15.3")),
            wait("all servers to run the same version"),
        ),
        (
            "the deletion was interrupted",
            requested(|cluster| {
                cluster.actual.pvcs[1].terminating = true;
                cluster.request(0, KeepStreams);
            }),
            act("n-1"),
        ),
        (
            "the Pod is terminating",
            requested(|cluster| {
                cluster.actual.pvcs[1].terminating = true;
                cluster.actual.pods[1].terminating = Some(super::NOW);
                cluster.set().counts.updated = 2;
            }),
            wait("n-1 is terminating"),
        ),
        (
            "a rolling update waits for the server",
            requested(|cluster| {
                cluster.outdate();
                cluster.lose(1);
            }),
            act("n-1"),
        ),
        (
            "a rolling update waits for the server, and another one is about to restart",
            requested(|cluster| {
                cluster.outdate();
                cluster.lose(1);
                cluster.set().partition = 2;
            }),
            wait("n-1 is not ready"),
        ),
    ] {
        assert_eq!(result(&cluster, &["sap"]), expected, "{case}");
    }
}

#[test]
fn stream_with_its_only_replica_on_the_server_blocks_the_replacement() {
    let act = (Some("replace server n-1".to_owned()), None, None);
    let blocked = (None, None, Some(ReplacementBlocked));
    for (case, cluster, streams, expected) in [
        ("reported by the server", requested(|cluster| cluster.add_stream("one", &[1])), ["sap", "one"], &blocked),
        ("the server is down", requested(|cluster| cluster.lose(1)), ["sap", "one"], &blocked),
        ("the server runs and cannot read the stream", requested(|_| {}), ["sap", "one"], &blocked),
        ("on another server", requested(|cluster| cluster.add_stream("one", &[0])), ["sap", "one"], &act),
        (
            "in memory, in another account",
            requested(|cluster| {
                let stream = StreamId::new("A", "one");
                let replica = StreamReplica { stream, ..testing::stream("one").kept_in_memory() };
                cluster.servers.add_stream(&replica, &[1]);
            }),
            ["sap", "sap"],
            &blocked,
        ),
        (
            "by force",
            requested(|cluster| {
                cluster.add_stream("one", &[1]);
                cluster.request(1, LoseStreams);
            }),
            ["sap", "one"],
            &act,
        ),
    ] {
        assert_eq!(&result(&cluster, &streams), expected, "{case}");
    }
}

#[test]
fn blocked_replacement_names_three_streams_and_the_way_out() {
    let cluster = requested(|cluster| ["a", "b", "c", "d"].iter().for_each(|name| cluster.add_stream(name, &[1])));
    let plan = cluster.plan_with_streams(&["sap", "a", "b", "c", "d"]);
    assert_eq!(
        plan.blocked[0].message,
        "cannot replace n-1 with a fresh volume: stream a, b, c and more has its only replica there. Add replicas to \
         streams that have one (nats stream edit STREAM --replicas 3), or back them up; then accept the loss: kubectl \
         annotate pvc -n kyma-system n-js-pvc-n-1 nats.operator.kyma-project.io/replace-server=force --overwrite"
    );
}

#[test]
fn blocked_replacement_does_not_keep_the_next_one_waiting() {
    let cluster = requested(|cluster| {
        cluster.add_stream("one", &[0]);
        cluster.request(0, KeepStreams);
    });
    assert_eq!(result(&cluster, &["sap", "one"]).0.as_deref(), Some("replace server n-1"));
}

#[test]
fn standalone_server_is_replaced_without_streams_or_by_force() {
    for (replacement, streams, expected) in [
        (KeepStreams, &["sap"][..], None),
        (KeepStreams, &[], Some("replace server n-0")),
        (LoseStreams, &["sap"], Some("replace server n-0")),
    ] {
        let mut cluster = cluster(1);
        cluster.request(0, replacement);
        let plan = cluster.plan_with_streams(streams);
        assert_eq!(action(&plan).as_deref(), expected, "{replacement:?}, {streams:?}");
        assert_eq!(plan.blocked.is_empty(), expected.is_some(), "{replacement:?}, {streams:?}");
    }
}

#[test]
fn replacement_is_confirmed_on_a_newer_snapshot() {
    let cluster = requested(|_| {});
    let first = cluster.plan_with_streams(&["sap"]);
    assert!(!first.is_confirmed);
    let confirmed = cluster.confirm(&first, &["sap"]);
    let Some(Action::ReplaceServer { server, pvc, pod, .. }) = confirmed.confirmed_action() else {
        panic!("{confirmed:?}")
    };
    assert_eq!((server.as_str(), pvc.uid.as_str(), pod.as_deref()), ("n-1", "pvc-1", Some("uid-1")));
    let created = cluster.confirm(&first, &["sap", "created-in-between"]);
    assert_eq!(created.action, None, "{created:?}");
}

#[test]
fn replacement_waits_without_polls() {
    let mut cluster = requested(|_| {});
    let plan = cluster.plan_without_polls(&Observation::Pending);
    assert_eq!(plan.action, None);
    cluster.request(1, LoseStreams);
    assert_eq!(cluster.plan_without_polls(&Observation::Pending).action, None);
    let plan = cluster.plan_without_polls(&Observation::Off);
    assert_eq!((plan.action, plan.blocked[0].reason), (None, ReplacementBlocked));
}

#[test]
fn replaced_server_is_in_progress_until_every_replica_is_in_sync() {
    let in_progress = |plan: &Plan| {
        let operation = plan.operation.as_ref();
        operation.is_some_and(|operation| {
            (operation.kind, operation.step) == (OperationKind::ReplaceServer, OperationStep::Create)
        })
    };
    let mut cluster = requested(|cluster| cluster.actual.pvcs[1].replacement = None);
    cluster.history.replaced.insert("n-1".to_owned());
    cluster.servers.replica_mut("n-1").group = None;
    let plan = cluster.plan();
    assert!(in_progress(&plan), "{plan:?}");
    cluster.history.end_replacements(&plan);
    cluster.servers.server_mut("n-1").streams.clear();
    let plan = cluster.plan();
    assert!(in_progress(&plan), "a server without the replica: {plan:?}");
    let healthy = requested(|cluster| cluster.actual.pvcs[1].replacement = None).plan();
    assert!(!in_progress(&healthy));
    cluster.history.end_replacements(&healthy);
    assert!(cluster.history.replaced.is_empty());
}
