//! Plans of the change from a standalone server to a cluster.

use super::{
    cluster::{Cluster, MEMORY, NOW, cluster, template},
    *,
};
use crate::actual::{ConfigKey, ReplicaCounts};

/// Builds a standalone server that becomes a cluster: the other two servers exist, and wait for it.
fn forming() -> Cluster {
    cluster(3).with(|cluster| {
        let set = cluster.set();
        (set.partition, set.config_key) = (1, ConfigKey::Clustered);
        set.template_hash = Some(template(Variant::FORMED, MEMORY));
        set.current_revision = Some("old".to_owned());
        set.counts.updated = 2;
        cluster.actual.pods[0].revision = Some("old".to_owned());
        cluster.actual.members = Some(1);
        let config = cluster.actual.config.as_mut().unwrap();
        (config.main_routes, config.clustered_routes) = (Some(0), Some(3));
        cluster.servers.server_mut("n-0").meta = None;
        for new in ["n-1", "n-2"] {
            cluster.servers.server_mut(new).meta = Some(RaftGroup::default());
        }
    })
}

/// Removes the Pod of the first server.
fn without_first(cluster: &mut Cluster) {
    cluster.actual.pods.remove(0);
    cluster.servers.lose(&["n-0"]);
    cluster.set().counts = ReplicaCounts { present: 2, updated: 2, ready: 2 };
}

/// Builds the same after a user has set the replicas to 0. The controller has made the update revision the current
/// one.
fn stopped() -> Cluster {
    forming().with(|cluster| {
        cluster.actual.pods.clear();
        cluster.servers.lose(&["n-0", "n-1", "n-2"]);
        let set = cluster.set();
        (set.replicas, set.counts) = (0, ReplicaCounts::default());
        set.current_revision = Some("new".to_owned());
    })
}

/// Makes the Pod of the first server unable to run. It was created so many seconds ago.
fn broken_since(cluster: &mut Cluster, seconds: i64) {
    cluster.break_pod(0);
    cluster.actual.pods[0].created = Some(Time::from_millis(NOW.as_millis() - seconds * 1000));
}

#[test]
fn first_server_starts_standalone_where_the_present_templates_do_not_start_it() {
    check([
        ("its turn", forming(), (3, 1, Some("join n-0"), Some(FormCluster), None)),
        ("stopped by hand", stopped(), (1, 0, None, Some(FormCluster), None)),
        (
            "stopped by hand, and one server is asked for again",
            stopped().with(|cluster| cluster.desired.replicas = 1),
            (1, 0, None, Some(FormCluster), None),
        ),
        (
            "one server is asked for again",
            forming().with(|cluster| cluster.desired.replicas = 1),
            (1, 1, None, Some(ScaleDown), None),
        ),
        ("away for a moment", forming().with(without_first), (3, 1, None, Some(FormCluster), None)),
        (
            "away, and created with the template of the cluster",
            forming().with(|cluster| {
                without_first(cluster);
                cluster.set().current_revision = Some("new".to_owned());
            }),
            (1, 0, None, Some(FormCluster), None),
        ),
        (
            "away, and the servers have formed a cluster, whatever was recorded",
            forming().with(|cluster| {
                without_first(cluster);
                cluster.set().current_revision = Some("new".to_owned());
                for new in ["n-1", "n-2"] {
                    *cluster.servers.server_mut(new).meta_mut() = led_by("n-1");
                }
            }),
            (3, 1, None, Some(FormCluster), None),
        ),
        (
            "cannot run for a moment",
            forming().with(|cluster| broken_since(cluster, 179)),
            (3, 1, None, Some(FormCluster), None),
        ),
        ("cannot run", forming().with(|cluster| broken_since(cluster, 180)), (1, 0, None, Some(FormCluster), None)),
        (
            "cannot be scheduled",
            forming().with(|cluster| {
                broken_since(cluster, 180);
                cluster.actual.pods[0].stranded = true;
            }),
            (3, 1, None, Some(FormCluster), None),
        ),
    ]);
}

#[test]
fn first_server_is_not_started_while_that_is_not_safe() {
    let terminating = |mut cluster: Cluster| {
        cluster.actual.pvcs[0].terminating = true;
        cluster
    };
    let version = |cluster: &mut Cluster| cluster.desired.version = Version::of_image("nats:2.15.0");
    let unobserved = |cluster: &mut Cluster| cluster.set().is_observed = false;
    for (case, cluster, waiting_for, blocked) in [
        ("its PVC is terminating", terminating(stopped()), Some("the PVC of n-0 is terminating"), None),
        (
            "its PVC would be deleted with its Pod",
            terminating(forming().with(|cluster| broken_since(cluster, 180))),
            Some("the PVC of n-0 is terminating"),
            None,
        ),
        // The servers have answered before.
        ("its version is blocked", stopped_after_polls(version), None, Some(VersionBlocked)),
        ("the current revision is not known", stopped().with(unobserved), None, None),
    ] {
        let plan = cluster.plan();
        let waits_for = plan.operation.as_ref().and_then(|operation| operation.waiting_for.as_deref());
        let reasons: Vec<_> = plan.blocked.iter().map(|blocked| blocked.reason).collect();
        assert_eq!((plan.may_build, waits_for, reasons), (false, waiting_for, Vec::from_iter(blocked)), "{case}");
    }
}

/// Builds a stopped cluster one of whose Pods is terminating, which shows its version.
fn stopped_after_polls(change: impl FnOnce(&mut Cluster)) -> Cluster {
    let pod = forming().actual.pods[1].clone();
    stopped().with(|cluster| {
        cluster.actual.pods.push(PodState { terminating: Some(NOW), ready: false, ..pod });
        cluster.set().counts.present = 1;
        change(cluster);
    })
}

#[test]
fn change_begins_when_the_first_server_has_one_revision() {
    let grows = |cluster: &mut Cluster| cluster.desired.replicas = 3;
    check([
        ("at rest", cluster(1).with(grows), (3, 1, None, Some(FormCluster), None)),
        (
            "outdated",
            cluster(1).with(|cluster| {
                grows(cluster);
                cluster.outdate();
            }),
            (1, 1, Some("open 0"), Some(RollingUpdate), None),
        ),
        (
            "the current revision is another one",
            cluster(1).with(|cluster| {
                grows(cluster);
                cluster.set().current_revision = Some("old".to_owned());
            }),
            (1, 0, None, Some(RollingUpdate), None),
        ),
    ]);
}
