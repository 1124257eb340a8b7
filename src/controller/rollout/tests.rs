use super::*;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

fn stateful_set(replicas: u32, template: &str, revision: &str, partition: u32) -> StatefulSet {
    serde_json::from_value(json!({
        "metadata": {"name": "n", "generation": 1, "annotations": {naming::TEMPLATE_HASH: template}},
        "spec": {
            "replicas": replicas, "selector": {}, "serviceName": "n", "template": {},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}},
        },
        "status": {"replicas": replicas, "observedGeneration": 1, "updateRevision": revision},
    }))
    .unwrap()
}

fn pod(ordinal: u32, revision: &str) -> ServerPod {
    ServerPod {
        name: format!("n-{ordinal}"),
        ordinal: Some(ordinal),
        revision: Some(revision.to_owned()),
        ready: true,
        ..ServerPod::default()
    }
}

fn pods(revisions: &[&str]) -> Vec<ServerPod> {
    (0..).zip(revisions).map(|(ordinal, revision)| pod(ordinal, revision)).collect()
}

fn with(mut pods: Vec<ServerPod>, index: usize, change: impl Fn(&mut ServerPod)) -> Vec<ServerPod> {
    change(&mut pods[index]);
    pods
}

fn terminating(pod: &mut ServerPod) {
    pod.terminating = Some(Timestamp::UNIX_EPOCH);
}

fn unready(pod: &mut ServerPod) {
    pod.ready = false;
}

fn broken(pod: &mut ServerPod) {
    pod.ready = false;
    pod.broken = Some("container nats: ErrImagePull (no)".to_owned());
}

fn lacking() -> Sight {
    Sight::Lacking("stream sap has no leader".to_owned())
}

#[test]
fn a_new_cluster_is_not_gated() {
    assert_eq!(decide(None, &stateful_set(3, "t", "", 0), &[], &lacking()), Gate::default());
}

#[test]
fn a_change_of_the_template_restarts_nobody_at_first() {
    for (live, size, expected) in [(3, 3, 3), (3, 5, 3), (5, 3, 3), (1, 1, 1)] {
        for sight in [Sight::Whole, lacking()] {
            let live = stateful_set(live, "old", "a", 0);
            let gate = decide(Some(&live), &stateful_set(size, "new", "", 0), &pods(&["a", "a", "a"]), &sight);
            assert_eq!(gate, Gate { partition: expected, underway: true, waiting: None }, "{size}");
        }
    }
}

#[test]
fn the_next_pod_goes_when_everything_is_whole() {
    let roll = |partition, pods: Vec<ServerPod>, sight: &Sight| {
        let live = stateful_set(3, "t", "b", partition);
        decide(Some(&live), &stateful_set(3, "t", "", 0), &pods, sight)
    };
    let whole = Sight::Whole;
    for (what, live, pods, sight, expected, waits) in [
        ("nothing rolled yet", 3, pods(&["a", "a", "a"]), &whole, 2, None),
        ("a copy is behind", 3, pods(&["a", "a", "a"]), &lacking(), 3, Some("stream sap has no leader")),
        ("the pod is let through and still there", 2, pods(&["a", "a", "a"]), &whole, 2, None),
        ("and something broke before it was taken", 2, pods(&["a", "a", "a"]), &lacking(), 3, Some("no leader")),
        ("it stops", 2, with(pods(&["a", "a", "a"]), 2, terminating), &lacking(), 2, Some("n-2 is stopping")),
        ("it is gone", 2, pods(&["a", "a"]), &whole, 2, Some("2 of 3 pods are there")),
        ("it starts", 2, with(pods(&["a", "a", "b"]), 2, unready), &whole, 2, Some("n-2 is not ready")),
        ("it is ready, and not current", 2, pods(&["a", "a", "b"]), &lacking(), 2, Some("no leader")),
        ("all is well", 2, pods(&["a", "a", "b"]), &whole, 1, None),
        ("another pod is away", 2, with(pods(&["a", "a", "b"]), 0, unready), &whole, 2, Some("n-0 is not ready")),
        ("the last one", 1, pods(&["a", "b", "b"]), &whole, 0, None),
        ("the last one is gone", 0, pods(&["b", "b"]), &whole, 0, None),
        ("a roll that somebody else began is gated", 0, pods(&["a", "a", "b"]), &lacking(), 2, Some("no leader")),
        ("and goes on", 0, pods(&["a", "a", "b"]), &whole, 1, None),
    ] {
        let gate = roll(live, pods, sight);
        assert_eq!(gate.partition, expected, "{what}");
        match waits {
            Some(waits) => {
                assert!(gate.waiting.as_deref().is_some_and(|text| text.contains(waits)), "{what}: {gate:?}");
            }
            None => assert_eq!(gate.waiting, None, "{what}"),
        }
    }
    assert_eq!(roll(1, pods(&["b", "b", "b"]), &lacking()), Gate::default(), "a finished roll is no roll");
}

#[test]
fn broken_pods_of_an_old_revision_do_not_hold_up_their_repair() {
    let repair = |pods: Vec<ServerPod>, partition| {
        let live = stateful_set(3, "t", "c", partition);
        decide(Some(&live), &stateful_set(3, "t", "", 0), &pods, &lacking()).partition
    };
    for (what, pods, partition, expected) in [
        ("the roll broke the first pod", with(pods(&["a", "a", "b"]), 2, broken), 3, 2),
        ("back to the template of the others", with(pods(&["c", "c", "b"]), 2, broken), 3, 2),
        ("an old pod cannot start any more", with(pods(&["a", "a", "a"]), 0, broken), 3, 0),
        ("the whole cluster never started", with(with(pods(&["b", "b", "b"]), 0, broken), 2, broken), 3, 0),
        ("the new revision is broken itself", with(pods(&["a", "a", "c"]), 2, broken), 2, 2),
    ] {
        assert_eq!(repair(pods, partition), expected, "{what}");
    }
}

#[test]
fn counts_of_an_older_spec_move_nothing() {
    let mut live = stateful_set(3, "t", "a", 2);
    live.metadata.generation = Some(2);
    let gate = decide(Some(&live), &stateful_set(3, "t", "", 0), &pods(&["a", "a", "a"]), &Sight::Whole);
    assert_eq!(gate, Gate { partition: 2, underway: true, waiting: None });
}

#[test]
fn unguarded_it_is_left_to_kubernetes() {
    let live = stateful_set(3, "old", "a", 2);
    let gate = decide(Some(&live), &stateful_set(3, "new", "", 0), &pods(&["a", "a", "a"]), &Sight::Unguarded);
    assert_eq!(gate, Gate { partition: 0, underway: true, waiting: None });
}

/// What the StatefulSet controller does next with a roll to revision `new`; false: nothing.
fn kubernetes(live: &StatefulSet, pods: &mut [ServerPod], new: &str) -> bool {
    for target in (partition(live)..replicas(live)).rev() {
        let pod = &mut pods[target as usize];
        if pod.terminating.is_some() {
            *pod = self::pod(target, new);
            pod.ready = false;
            return true;
        }
        if pod.revision.as_deref() != Some(new) {
            terminating(pod);
            unready(pod);
            return true;
        }
        if !pod.ready {
            pod.ready = pod.broken.is_none();
            return pod.ready;
        }
    }
    false
}

#[test]
fn every_roll_ends_with_one_server_away_at_a_time() {
    for size in [1, 3, 5, 7] {
        let wanted = stateful_set(size, "t", "", 0);
        let mut live = stateful_set(size, "t", "b", size);
        let mut pods = pods(&vec!["a"; size as usize]);
        let mut steps = 0;
        loop {
            let away = pods.iter().filter(|pod| !pod.ready).count();
            assert!(away <= 1, "{pods:?}");
            // JetStream is whole a step after the pods are.
            let sight = if away == 0 && steps % 2 == 0 { Sight::Whole } else { lacking() };
            let gate = decide(Some(&live), &wanted, &pods, &sight);
            if !gate.underway && away == 0 {
                break;
            }
            live.spec.as_mut().unwrap().update_strategy.as_mut().unwrap().rolling_update.as_mut().unwrap().partition =
                Some(i32::try_from(gate.partition).unwrap());
            kubernetes(&live, &mut pods, "b");
            steps += 1;
            assert!(steps < 100, "it does not end: {gate:?} {pods:?}");
        }
        assert!(pods.iter().all(|pod| pod.revision.as_deref() == Some("b") && pod.ready));
    }
}
