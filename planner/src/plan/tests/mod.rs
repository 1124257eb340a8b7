//! Plans of single states of Kubernetes and of the servers. Sequences and faults are stories of the simulation.

mod cluster;
mod form_cluster;
mod replace_server;
mod scaling;
mod volumes;

use self::cluster::{Cluster, NOW, VOLUME, action, cluster};
use super::{
    BlockedReason::{self, MemoryStoreBlocked, PvcTerminating, ScalingBlocked, UnknownServer, VersionBlocked},
    OperationKind::{Deployment, FormCluster, Repair, RollingUpdate, ScaleDown, ScaleUp},
    *,
};
use crate::{
    actual::{ActualState, PodState, PvcState, ReplicaCounts},
    snapshot::{DEFAULT_ACCOUNT, Healthz, Peer, RaftGroup, ServerSnapshot, StreamId},
    testing::{led_by, peer},
    time::Time,
    version::Version,
};

/// Expected plan: replicas, partition, action, change in progress, reason of a blocked change.
type Expected = (u32, u32, Option<&'static str>, Option<OperationKind>, Option<BlockedReason>);

fn check(cases: impl IntoIterator<Item = (&'static str, Cluster, Expected)>) {
    for (case, cluster, expected) in cases {
        let plan = cluster.plan();
        let reasons: Vec<_> = plan.blocked.iter().map(|blocked| blocked.reason).collect();
        let operation = plan.operation.as_ref().map(|operation| operation.kind);
        let planned = (plan.replicas, plan.partition, action(&plan), operation, reasons);
        let (replicas, partition, action, operation, blocked) = expected;
        assert_eq!(
            planned,
            (replicas, partition, action.map(str::to_owned), operation, Vec::from_iter(blocked)),
            "{case}: {plan:#?}"
        );
    }
}

#[test]
fn rolling_update_restarts_servers_one_by_one() {
    check([
        ("at rest", cluster(3), (3, 3, None, None, None)),
        ("standalone at rest", cluster(1), (1, 1, None, None, None)),
        (
            "nothing exists",
            cluster(3).with(|cluster| cluster.actual = ActualState { name: "n".to_owned(), ..ActualState::default() }),
            (3, 3, None, Some(Deployment), None),
        ),
        (
            "a new template closes the partition first",
            cluster(3).with(|cluster| {
                cluster.set().template_hash = Some("another".to_owned());
                cluster.set().partition = 0;
            }),
            (3, 3, None, Some(RollingUpdate), None),
        ),
        ("outdated", cluster(3).with(Cluster::outdate), (3, 3, Some("open 2"), Some(RollingUpdate), None)),
        (
            "outdated, and another server is away",
            cluster(3).with(|cluster| {
                cluster.outdate();
                cluster.lose(0);
            }),
            (3, 3, None, Some(RollingUpdate), None),
        ),
        (
            "outdated, and a Pod with a low ordinal cannot run: a majority remains without the next one",
            cluster(5).with(|cluster| {
                cluster.outdate();
                cluster.break_pod(1);
            }),
            (5, 5, Some("open 4"), Some(RollingUpdate), None),
        ),
        (
            "outdated, and a Pod with a low ordinal cannot run: no majority remains without the next one",
            cluster(3).with(|cluster| {
                cluster.outdate();
                cluster.break_pod(0);
            }),
            (3, 3, None, Some(RollingUpdate), None),
        ),
        (
            "the next one is let through, and the StatefulSet controller waits for the Pod that cannot run",
            cluster(5).with(|cluster| {
                cluster.outdate();
                cluster.break_pod(1);
                cluster.set().partition = 4;
            }),
            (5, 4, Some("restart n-4"), Some(RollingUpdate), None),
        ),
        (
            "outdated, and no Pod can run",
            cluster(3).with(|cluster| {
                cluster.outdate();
                (0..3).for_each(|ordinal| cluster.break_pod(ordinal));
            }),
            (3, 0, None, Some(RollingUpdate), None),
        ),
        (
            "a new template, and no Pod that it could restart",
            cluster(1).with(|cluster| {
                cluster.set().template_hash = Some("another".to_owned());
                cluster.set().counts = ReplicaCounts::default();
                cluster.actual.pods.clear();
                cluster.servers.lose(&["n-0"]);
            }),
            (1, 0, None, Some(RollingUpdate), None),
        ),
        (
            "outdated, and to become fewer: the rolling update goes first",
            cluster(5).with(|cluster| {
                cluster.outdate();
                cluster.desired.replicas = 3;
            }),
            (5, 5, Some("open 4"), Some(RollingUpdate), None),
        ),
    ]);
}

#[test]
fn rolling_update_deletes_no_pod_whose_pvc_would_go_with_it() {
    check([
        (
            "outdated, a Pod cannot run, and its PVC would go with it",
            cluster(3).with(|cluster| {
                cluster.outdate();
                cluster.break_pod(2);
                cluster.actual.pvcs[2].terminating = true;
            }),
            (3, 3, None, Some(RollingUpdate), None),
        ),
        (
            "outdated, no Pod can run, and the PVC of one would go with it",
            cluster(3).with(|cluster| {
                cluster.outdate();
                (0..3).for_each(|ordinal| cluster.break_pod(ordinal));
                cluster.actual.pvcs[1].terminating = true;
            }),
            (3, 2, None, Some(RollingUpdate), None),
        ),
        (
            "outdated, by force, and a PVC would go with its Pod",
            cluster(3).with(|cluster| {
                cluster.outdate();
                cluster.desired.force_rollout = true;
                cluster.actual.pvcs[1].terminating = true;
            }),
            (3, 2, None, Some(RollingUpdate), None),
        ),
        (
            "outdated, by force, and only what loses its PVC is left",
            cluster(3).with(|cluster| {
                cluster.outdate();
                cluster.desired.force_rollout = true;
                cluster.actual.pvcs[2].terminating = true;
            }),
            (3, 3, None, Some(RollingUpdate), None),
        ),
    ]);
}

#[test]
fn servers_that_are_not_ready_are_stopped_for_a_repair_only_if_no_quorum_is_expected() {
    // No server is ready, and these cannot run.
    let down = |broken: &[usize]| {
        cluster(5).with(|cluster| {
            cluster.outdate();
            for ordinal in 0..5 {
                if broken.contains(&ordinal) { cluster.break_pod(ordinal) } else { cluster.lose(ordinal) }
            }
        })
    };
    check([
        ("the others start without an end", down(&[1]), (5, 1, None, Some(RollingUpdate), None)),
        (
            "one that has just been created may complete a quorum",
            down(&[1]).with(|cluster| cluster.actual.pods[0].created = Some(NOW)),
            (5, 5, None, Some(RollingUpdate), None),
        ),
        (
            "one that has just been created cannot complete a quorum",
            down(&[1, 2, 3]).with(|cluster| cluster.actual.pods[0].created = Some(NOW)),
            (5, 1, None, Some(RollingUpdate), None),
        ),
        (
            "one that is being replaced may complete a quorum",
            down(&[1, 2]).with(|cluster| {
                cluster.actual.pods[4].terminating = Some(NOW);
                cluster.set().partition = 4;
            }),
            (5, 4, None, Some(RollingUpdate), None),
        ),
        (
            "one that has been stopping for too long is not waited for",
            down(&[1, 2]).with(|cluster| {
                cluster.actual.pods[4].terminating = Some(Time::from_millis(NOW.as_millis() - 200_000));
                cluster.set().partition = 4;
            }),
            (5, 1, None, Some(RollingUpdate), None),
        ),
        ("those that stop no other server go first", down(&[1, 3, 4]), (5, 3, None, Some(RollingUpdate), None)),
        (
            "the new template cannot run either",
            down(&[1, 4]).with(|cluster| {
                cluster.actual.pods[4].revision = Some("new".to_owned());
                cluster.set().counts.updated = 1;
                cluster.set().partition = 4;
            }),
            (5, 4, None, Some(RollingUpdate), None),
        ),
        (
            "a Pod with the new template has no node",
            down(&[1, 4]).with(|cluster| {
                cluster.actual.pods[4].revision = Some("new".to_owned());
                cluster.actual.pods[4].stranded = true;
                cluster.set().counts.updated = 1;
                cluster.set().partition = 4;
            }),
            (5, 1, None, Some(RollingUpdate), None),
        ),
    ]);
}

#[test]
fn write_errors_are_repaired_one_by_one_and_first_on_servers_that_do_not_serve() {
    let cluster = |with_errors: &[&str], unready: &[usize]| {
        cluster(3).with(|cluster| {
            cluster.add_stream("orders", &[0, 1, 2]);
            for server in with_errors {
                let text = "JetStream stream '$G > orders' is not current: stream write error: no space left on device";
                cluster.servers.server_mut(server).healthz = Healthz::Failing(text.to_owned());
            }
            for ordinal in unready {
                (cluster.actual.pods[*ordinal].ready, cluster.actual.pods[*ordinal].running) = (false, false);
                cluster.set().counts.ready -= 1;
            }
        })
    };
    let restart = |server| (3, 3, Some(server), Some(Repair), None);
    check([
        ("both serve", cluster(&["n-1", "n-2"], &[]), restart("restart n-1")),
        ("one of them serves", cluster(&["n-1", "n-2"], &[2]), restart("restart n-2")),
        ("none of them serves", cluster(&["n-1", "n-2"], &[1, 2]), restart("restart n-1")),
        (
            "one of them is restarting already",
            cluster(&["n-1", "n-2"], &[1, 2]).with(|cluster| cluster.actual.pods[1].terminating = Some(NOW)),
            (3, 3, None, None, None),
        ),
        ("a server without a write error does not serve", cluster(&["n-1", "n-2"], &[0]), (3, 3, None, None, None)),
    ]);
}

#[test]
fn leftovers_are_removed_and_unsafe_changes_are_blocked() {
    let stale = |cluster: &mut Cluster| {
        for meta in cluster.servers.answers_mut().map(ServerSnapshot::meta_mut) {
            meta.size = Some(4);
            meta.peers.push(Peer { current: false, offline: true, ..peer("n-3") });
        }
    };
    check([
        ("a peer is left over", cluster(3).with(stale), (3, 3, Some("remove n-3"), Some(ScaleDown), None)),
        (
            "a PVC is left over",
            cluster(3).with(|cluster| {
                let pvc = PvcState {
                    ordinal: 4,
                    uid: "pvc-4".to_owned(),
                    requested: VOLUME,
                    capacity: Some(VOLUME),
                    ..PvcState::default()
                };
                cluster.actual.pvcs.push(pvc);
            }),
            (3, 3, Some("delete PVC 4"), Some(ScaleDown), None),
        ),
        (
            "the StatefulSet is gone: the recorded members come back, not what the spec asks for",
            cluster(5).with(|cluster| {
                cluster.actual.stateful_set = None;
                cluster.actual.pods.clear();
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(Deployment), None),
        ),
        (
            "PVCs of the deleted resource are terminating",
            cluster(3).with(|cluster| {
                cluster.actual.stateful_set = None;
                cluster.actual.pvcs[1].terminating = true;
            }),
            (3, 3, None, None, Some(PvcTerminating)),
        ),
        (
            "2.15 from below 2.14.7",
            cluster(3).with(|cluster| {
                cluster.desired.version = Version::of_image("nats:2.15.3");
                cluster.servers.answers_mut().for_each(|server| server.version = Version::of_image("nats:2.14.2"));
            }),
            (3, 3, None, None, Some(VersionBlocked)),
        ),
        (
            "the memory store holds more than it is to have",
            cluster(3).with(|cluster| {
                cluster.desired.memory_store = 0;
                cluster.servers.server_mut("n-1").memory.used = 1;
            }),
            (3, 3, None, None, Some(MemoryStoreBlocked)),
        ),
    ]);
}

#[test]
fn finalizer_that_keeps_a_pvc_is_named() {
    let blocked = |kept_by: Option<&str>| {
        let cluster = cluster(3).with(|cluster| {
            cluster.actual.stateful_set = None;
            cluster.actual.pvcs[1].terminating = true;
            cluster.actual.pvcs[1].kept_by = kept_by.map(str::to_owned);
        });
        cluster.plan().blocked.swap_remove(0).message
    };
    assert_eq!(blocked(None), "the PVC of n-1 is terminating; servers are created when it is gone");
    assert_eq!(
        blocked(Some("example.com/hold")),
        "the PVC of n-1 is terminating, and kept by the finalizer example.com/hold; servers are created when it is gone"
    );
}

#[test]
fn disruptive_action_needs_confirmation_by_a_newer_snapshot() {
    let smaller = || cluster(5).with(|cluster| cluster.desired.replicas = 3);
    let first = smaller().plan();
    assert_eq!((action(&first).as_deref(), first.is_confirmed, first.replicas), (Some("stop to 4"), false, 5));
    for (case, now, streams, expected, replicas) in [
        ("the same", smaller(), &[][..], Some("stop to 4"), 4),
        ("a server was lost", smaller().with(|cluster| cluster.lose(1)), &[], None, 5),
        ("a replica came to it", smaller().with(|cluster| cluster.add_stream("orders", &[0, 1, 4])), &[], None, 5),
        ("a stream was created that no server reports yet", smaller(), &["orders"], None, 5),
    ] {
        let second = now.confirm(&first, streams);
        let confirmed = second.confirmed_action().and_then(|_| action(&second));
        assert_eq!((confirmed.as_deref(), second.replicas), (expected, replicas), "{case}: {second:#?}");
    }
}

#[test]
fn stateful_set_with_other_immutable_fields_is_recreated_when_every_pod_is_updated() {
    let recreated = |servers: u32, change: fn(&mut Cluster)| {
        cluster(servers).with(|cluster| cluster.desired.recreate_stateful_set = true).with(change)
    };
    check([
        ("at rest", recreated(3, |_| ()), (3, 3, Some("recreate set"), Some(Repair), None)),
        ("standalone", recreated(1, |_| ()), (1, 1, Some("recreate set"), Some(Repair), None)),
        (
            "before a change of the size",
            recreated(3, |cluster| cluster.desired.replicas = 5),
            (3, 3, Some("recreate set"), Some(Repair), None),
        ),
        ("after the rolling update", recreated(3, Cluster::outdate), (3, 3, Some("open 2"), Some(RollingUpdate), None)),
        (
            "after the first write of a new template",
            recreated(3, |cluster| cluster.set().template_hash = Some("another".to_owned())),
            (3, 3, None, Some(RollingUpdate), None),
        ),
        (
            "not while the watch caches disagree",
            recreated(3, |cluster| cluster.set().is_observed = false),
            (3, 3, None, None, None),
        ),
    ]);
}
