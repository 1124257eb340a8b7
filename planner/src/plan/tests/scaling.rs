//! Plans of changes of the size.

use super::{
    cluster::{Cluster, NOW, cluster},
    *,
};

#[test]
fn scale_down_steps_follow_in_order() {
    let scaled = |to| move |cluster: &mut Cluster| cluster.desired.replicas = to;
    check([
        ("fewer, empty", cluster(5).with(scaled(3)), (5, 5, Some("stop to 4"), Some(ScaleDown), None)),
        (
            "fewer, with a replica on the last one",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[0, 1, 4]);
                cluster.desired.replicas = 3;
            }),
            (5, 5, Some("evacuate n-4 of 1"), Some(ScaleDown), None),
        ),
        (
            "fewer, and the last one leads a stream",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[4, 0, 1]);
                cluster.desired.replicas = 3;
            }),
            (5, 5, Some("evacuate n-4 of 0"), Some(ScaleDown), None),
        ),
        (
            "fewer, and its leader was asked to step down a moment ago",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[4, 0, 1]);
                cluster.history.stepped_down.insert(StreamId::new(DEFAULT_ACCOUNT, "orders"), (NOW, 1));
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleDown), None),
        ),
        (
            "fewer, and a stream has fewer replicas than it asks for",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[0, 1]);
                for server in ["n-0", "n-1"] {
                    cluster.servers.replica_mut(server).replicas = 3;
                }
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleDown), None),
        ),
        (
            "fewer, and a replica has less than its leader had",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[0, 1, 2]);
                cluster.servers.replica_mut("n-1").last_seq = 4;
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleDown), None),
        ),
        (
            "fewer, without room on the others",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[0, 1, 4]);
                cluster.servers.answers_mut().for_each(|server| server.file.used = 79);
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleDown), None),
        ),
        (
            "fewer, with a stream that asks for all",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[0, 1, 2, 3, 4]);
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, None, Some(ScalingBlocked)),
        ),
        (
            "fewer, with the only replica of a stream on the last one",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[4]);
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, None, Some(ScalingBlocked)),
        ),
        (
            "fewer, and a server is away",
            cluster(5).with(|cluster| {
                cluster.lose(1);
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleDown), None),
        ),
        (
            "fewer, and a foreign server leads the meta group",
            cluster(5).with(|cluster| {
                for server in cluster.servers.answers_mut() {
                    server.meta = Some(RaftGroup { size: Some(6), ..led_by("other-0") });
                }
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleDown), Some(UnknownServer)),
        ),
    ]);
}

#[test]
fn scale_up_and_change_of_mode_follow_in_order() {
    let scaled = |to| move |cluster: &mut Cluster| cluster.desired.replicas = to;
    check([
        ("more", cluster(3).with(scaled(5)), (5, 3, None, Some(ScaleUp), None)),
        ("a cluster never becomes one server", cluster(3).with(scaled(1)), (3, 3, None, None, Some(ScalingBlocked))),
        ("one becomes three", cluster(1).with(scaled(3)), (3, 1, None, Some(FormCluster), None)),
        (
            "one with a stream stays one",
            cluster(1).with(|cluster| {
                cluster.add_stream("orders", &[0]);
                cluster.desired.replicas = 3;
            }),
            (1, 1, None, None, Some(ScalingBlocked)),
        ),
        (
            "scaled to fewer by hand: the members come back",
            cluster(5).with(|cluster| {
                cluster.set().replicas = 3;
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleUp), None),
        ),
    ]);
}

#[test]
fn scale_down_without_polls_says_what_is_left_to_do() {
    let left = |replicas, desired| {
        cluster(replicas).with(|cluster| {
            for ordinal in [3, 4] {
                let pvc = PvcState {
                    ordinal,
                    uid: format!("pvc-{ordinal}"),
                    requested: VOLUME,
                    capacity: Some(VOLUME),
                    ..PvcState::default()
                };
                cluster.actual.pvcs.push(pvc);
            }
            cluster.desired.replicas = desired;
        })
    };
    let off = Observation::Off;
    let unobservable = Observation::Unobservable { cause: "n-0: refused".to_owned() };
    let blocked = |cluster: &Cluster, observation: &Observation<'_>| {
        let plan = cluster.plan_without_polls(observation);
        assert_eq!(plan.action, None);
        plan.blocked.into_iter().map(|blocked| blocked.message).collect::<Vec<_>>()
    };
    for observation in [&off, &unobservable] {
        assert_eq!(
            blocked(&left(3, 3), observation),
            ["the scale-down to size 3 is not complete: the PVC of n-3, n-4 is left, and the manager cannot poll \
              the servers. For each server remove it from the meta group with the system account: nats server cluster \
              peer-remove n-3; then delete its PVC: kubectl delete pvc -n kyma-system n-js-pvc-n-3"]
        );
        let standalone = blocked(&left(1, 1), observation);
        assert!(standalone[0].contains("For each server delete its PVC: kubectl"), "{standalone:?}");
        let none: [&str; 0] = [];
        let terminating =
            left(3, 3).with(|cluster| cluster.actual.pvcs.iter_mut().for_each(|pvc| pvc.terminating = true));
        assert_eq!(blocked(&terminating, observation), none, "they are being deleted");
        assert_eq!(blocked(&cluster(3), observation), none, "nothing is left");
    }
    assert_eq!(blocked(&left(3, 3), &Observation::Pending), [""; 0], "the servers may answer soon");
    assert_eq!(blocked(&left(3, 5), &off), [""; 0], "a scale-up uses them again");
}
