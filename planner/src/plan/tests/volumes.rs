//! Plans of volumes that grow, and of the file store on them.

use super::{
    cluster::{Cluster, NOW, STORE, VOLUME, action, cluster},
    *,
};
use crate::actual::VolumeExpansion::{self, Failed, FileSystemPending, Unreported};
use crate::time::Time;

const LARGER: u64 = 2 << 30;

/// Builds a cluster of three whose volumes should be larger. Each PVC is given by what it requests, the volume's size
/// and the reported expansion.
fn growing(pvcs: [(u64, u64, VolumeExpansion); 3]) -> Cluster {
    cluster(3).with(|cluster| {
        cluster.desired.volume_size = Some(LARGER);
        cluster.desired.recreate_stateful_set = true;
        cluster.actual.pods.iter_mut().for_each(|pod| pod.created = Some(seconds_ago(3600)));
        for (pvc, (requested, capacity, expansion)) in cluster.actual.pvcs.iter_mut().zip(pvcs) {
            (pvc.requested, pvc.capacity, pvc.expansion) = (requested, Some(capacity), expansion);
        }
    })
}

fn seconds_ago(seconds: i64) -> Time {
    Time::from_millis(NOW.as_millis() - 1000 * seconds)
}

fn unreported(requested: u64, capacity: u64) -> (u64, u64, VolumeExpansion) {
    (requested, capacity, Unreported)
}

#[test]
fn volumes_grow_before_the_stateful_set_is_recreated() {
    let small = || unreported(VOLUME, VOLUME);
    let requested = || unreported(LARGER, VOLUME);
    let grown = || unreported(LARGER, LARGER);
    let pending = |seconds| (LARGER, VOLUME, FileSystemPending { since: seconds_ago(seconds) });
    let failed = || (LARGER, VOLUME, Failed { cause: Some("no space".to_owned()) });
    let expand = Some(OperationKind::ExpandVolumes);
    let blocked = Some(BlockedReason::VolumeExpansionBlocked);
    check([
        ("none requests it", growing([small(), small(), small()]), (3, 3, Some("expand 3 to 2 GiB"), expand, None)),
        (
            "one was grown by hand",
            growing([small(), grown(), small()]),
            (3, 3, Some("expand 2 to 2 GiB"), expand, None),
        ),
        ("the driver works", growing([requested(), requested(), grown()]), (3, 3, None, expand, None)),
        ("the kubelet may still grow it online", growing([pending(60), grown(), grown()]), (3, 3, None, expand, None)),
        (
            "the file system needs another mount",
            growing([grown(), pending(121), pending(121)]),
            (3, 3, Some("restart n-2"), expand, None),
        ),
        (
            "it was mounted since",
            growing([grown(), grown(), pending(121)])
                .with(|cluster| cluster.actual.pods[2].created = Some(seconds_ago(90))),
            (3, 3, None, expand, None),
        ),
        (
            "the driver reports nothing for long",
            growing([requested(), grown(), grown()]).with(|cluster| {
                cluster.history.expanded = [("pvc-0".to_owned(), seconds_ago(900))].into();
            }),
            (3, 3, None, expand, blocked),
        ),
        (
            "a restart waits for a server that is about to restart",
            growing([grown(), grown(), pending(121)]).with(|cluster| {
                cluster.outdate();
                cluster.actual.pods[2].revision = Some("new".to_owned());
                cluster.set().counts.updated = 1;
                cluster.set().partition = 1;
            }),
            (3, 1, None, Some(RollingUpdate), None),
        ),
        (
            "a rolling update that waits for the volume does not keep its server from a restart",
            growing([grown(), grown(), pending(121)]).with(|cluster| {
                cluster.outdate();
                cluster.actual.pods[2].revision = Some("new".to_owned());
                cluster.set().counts.updated = 1;
                cluster.set().partition = 2;
                cluster.lose(2);
            }),
            (3, 2, Some("restart n-2"), expand, None),
        ),
        (
            "a PVC that is terminating keeps the StatefulSet",
            growing([grown(), grown(), grown()]).with(|cluster| cluster.actual.pvcs[1].terminating = true),
            (3, 3, None, None, None),
        ),
        (
            "a restart waits for another server",
            growing([grown(), grown(), pending(121)]).with(|cluster| cluster.lose(0)),
            (3, 3, None, expand, None),
        ),
        ("one fails, another waits", growing([failed(), requested(), grown()]), (3, 3, None, expand, blocked)),
        ("all that are small fail", growing([failed(), failed(), grown()]), (3, 3, None, expand, blocked)),
        ("all have grown", growing([grown(), grown(), grown()]), (3, 3, Some("recreate set"), expand, None)),
        (
            "volumes grow even while a server waits for repair",
            growing([small(), small(), small()]).with(|cluster| cluster.lose(1)),
            (3, 3, Some("expand 3 to 2 GiB"), expand, None),
        ),
        (
            "a PVC without a volume cannot be expanded",
            growing([grown(), grown(), small()]).with(|cluster| cluster.actual.pvcs[2].capacity = None),
            (3, 3, Some("recreate set"), expand, None),
        ),
    ]);
}

#[test]
fn rejected_request_is_repeated_after_a_minute() {
    let rejected = || (VOLUME, VOLUME, Failed { cause: Some("exceeded quota".to_owned()) });
    let after = |seconds| {
        growing([rejected(), rejected(), rejected()]).with(|cluster| {
            let requested = ["pvc-0", "pvc-1", "pvc-2"].map(|uid| (uid.to_owned(), seconds_ago(seconds)));
            cluster.history.expanded = requested.into();
        })
    };
    let blocked = Some(BlockedReason::VolumeExpansionBlocked);
    check([
        ("a moment later", after(59), (3, 3, None, Some(OperationKind::ExpandVolumes), blocked)),
        ("a minute later", after(60), (3, 3, Some("expand 3 to 2 GiB"), Some(OperationKind::ExpandVolumes), blocked)),
    ]);
    let message = &after(59).plan().blocked[0].message;
    assert!(message.starts_with("the volume of PVC n-js-pvc-n-0 cannot be expanded: exceeded quota. "), "{message}");
}

#[test]
fn file_store_follows_the_smallest_volume_and_is_never_lowered() {
    let larger = 1740 << 20;
    let sizes = |capacities: [u64; 3]| growing(capacities.map(|capacity| unreported(LARGER, capacity)));
    let stores = |recorded: Option<u64>, written: Option<u64>| {
        cluster(3).with(move |cluster| {
            cluster.set().file_store = recorded;
            cluster.actual.config.as_mut().unwrap().file_store = written;
        })
    };
    for (case, cluster, expected) in [
        ("at rest", cluster(3), STORE),
        ("one volume is small", sizes([LARGER, VOLUME, LARGER]), STORE),
        ("all volumes have grown", sizes([LARGER; 3]), larger),
        ("the driver rounds up", cluster(3).with(|cluster| cluster.actual.pvcs[0].capacity = Some(LARGER)), STORE),
        (
            "volumes that were grown by hand",
            cluster(3).with(|cluster| {
                cluster.actual.pvcs.iter_mut().for_each(|pvc| (pvc.requested, pvc.capacity) = (LARGER, Some(LARGER)));
            }),
            STORE,
        ),
        ("the predecessor's: the whole volume", stores(None, Some(VOLUME)), VOLUME),
        ("an edit by hand within the volume", stores(Some(STORE), Some(1000 << 20)), 1000 << 20),
        ("an edit by hand beyond the volume", stores(Some(STORE), Some(LARGER)), STORE),
        ("a lower edit by hand", stores(Some(STORE), Some(1)), STORE),
        ("the ConfigMap is gone", stores(Some(STORE), None), STORE),
        (
            "both records are gone, and the servers report it",
            stores(None, None)
                .with(|cluster| cluster.servers.answers_mut().for_each(|server| server.file.limit = STORE)),
            STORE,
        ),
        ("no volumes", cluster(3).with(|cluster| cluster.desired.volume_size = None), 0),
    ] {
        assert_eq!(cluster.plan().file_store, expected, "{case}");
    }
    let unknown = stores(None, None).plan_without_polls(&Observation::Off);
    assert_eq!(unknown.file_store, VOLUME, "nothing is known");
    for (volume, expected) in
        [(1_000_000, 850_000), (VOLUME, STORE), (10 << 30, 8704 << 20), (20 << 30, 18 << 30), (100 << 30, 94 << 30)]
    {
        assert_eq!(Plan::fresh(3, 0, Some(volume)).file_store, expected, "{volume}");
    }
}

#[test]
fn servers_restart_one_by_one_for_their_file_systems() {
    let pending = || (LARGER, VOLUME, FileSystemPending { since: seconds_ago(300) });
    let plan = growing([pending(), pending(), pending()]).plan();
    assert_eq!(action(&plan).as_deref(), Some("restart n-2"));
    assert!(plan.unconfirmed_action().is_some(), "a restart is confirmed on a newer poll");
}
