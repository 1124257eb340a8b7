use super::{
    picture::{partition, replicas},
    *,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use crate::controller::observe::server_pod;

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
        running: true,
        ..ServerPod::default()
    }
}

fn pods(revisions: &[&str]) -> Vec<ServerPod> {
    (0..).zip(revisions).map(|(ordinal, revision)| pod(ordinal, revision)).collect()
}

/// What the StatefulSet says of these pods.
fn counted(mut live: StatefulSet, pods: &[ServerPod]) -> StatefulSet {
    let status = live.status.as_mut().unwrap();
    let is_updated = |pod: &&ServerPod| pod.revision == status.update_revision && pod.terminating.is_none();
    status.updated_replicas = Some(i32::try_from(pods.iter().filter(is_updated).count()).unwrap());
    status.ready_replicas = Some(i32::try_from(pods.iter().filter(|pod| pod.ready).count()).unwrap());
    status.replicas = i32::try_from(pods.len()).unwrap();
    live
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

fn starting(pod: &mut ServerPod) {
    (pod.ready, pod.running) = (false, false);
}

/// Its server runs.
fn limping(pod: &mut ServerPod) {
    pod.ready = false;
    pod.broken = Some("container metrics: ErrImagePull (no)".to_owned());
}

fn stranded(pod: &mut ServerPod) {
    (pod.ready, pod.running) = (false, false);
    pod.broken = Some("no node takes it: 3 node(s) had volume node affinity conflict".to_owned());
}

/// Has the labels, and no place.
fn stranger() -> ServerPod {
    ServerPod { name: "n-box-2".to_owned(), ..pod(2, "a") }
}

fn broken(pod: &mut ServerPod) {
    (pod.ready, pod.running, pod.node) = (false, false, Some("node".to_owned()));
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
            assert_eq!(gate, Gate { partition: expected, underway: true, ..Gate::default() }, "{size}");
        }
    }
}

#[test]
fn the_next_pod_goes_when_everything_is_whole() {
    let roll = |partition, pods: Vec<ServerPod>, sight: &Sight| {
        let live = counted(stateful_set(3, "t", "b", partition), &pods);
        decide(Some(&live), &stateful_set(3, "t", "", 0), &pods, sight)
    };
    let whole = Sight::Whole;
    for (what, live, pods, sight, expected, waits) in [
        ("nothing rolled yet", 3, pods(&["a", "a", "a"]), &whole, 2, None),
        ("a copy is behind", 3, pods(&["a", "a", "a"]), &lacking(), 3, Some("stream sap has no leader")),
        ("the pod is let through and still there", 2, pods(&["a", "a", "a"]), &whole, 2, None),
        ("which is not taken back: it may be gone", 2, pods(&["a", "a", "a"]), &lacking(), 2, None),
        ("it stops", 2, with(pods(&["a", "a", "a"]), 2, terminating), &lacking(), 2, Some("n-2 is stopping")),
        ("it is gone", 2, pods(&["a", "a"]), &whole, 2, Some("2 of 3 pods are there")),
        ("it starts", 2, with(pods(&["a", "a", "b"]), 2, unready), &whole, 2, Some("n-2 is not ready")),
        ("it is ready, and not current", 2, pods(&["a", "a", "b"]), &lacking(), 2, Some("no leader")),
        ("all is well", 2, pods(&["a", "a", "b"]), &whole, 1, None),
        ("another pod is away", 2, with(pods(&["a", "a", "b"]), 0, unready), &whole, 2, Some("n-0 is not ready")),
        ("the last one", 1, pods(&["a", "b", "b"]), &whole, 0, None),
        ("the last one is gone", 0, pods(&["b", "b"]), &whole, 0, None),
        ("somebody else began it", 0, pods(&["a", "a", "a"]), &lacking(), 2, None),
        ("and Kubernetes waits", 0, with(pods(&["a", "a", "b"]), 2, unready), &whole, 2, Some("n-2 is not ready")),
        ("and Kubernetes is about to take the next", 0, pods(&["a", "a", "b"]), &lacking(), 1, None),
        ("and another one is on its way", 0, with(pods(&["a", "a", "b"]), 0, terminating), &whole, 0, Some("n-0")),
        ("a pod that is no server's", 3, [pods(&["a", "a", "a"]), vec![stranger()]].concat(), &whole, 3, None),
        ("its pod starts anew", 3, with(pods(&["a", "a", "a"]), 2, starting), &lacking(), 2, None),
        ("it is not ready, though it runs", 3, with(pods(&["a", "a", "a"]), 2, unready), &whole, 3, Some("n-2")),
        ("it is evicted", 3, pods(&["a", "a"]), &lacking(), 2, None),
        ("a lower one is evicted", 3, pods(&["a", "a", "a"])[1..].to_vec(), &whole, 3, Some("2 of 3 pods")),
        ("another container of it is broken", 3, with(pods(&["a", "a", "a"]), 1, limping), &whole, 2, None),
        ("and JetStream is not whole", 3, with(pods(&["a", "a", "a"]), 1, limping), &lacking(), 3, Some("no leader")),
        ("nobody is there", 3, Vec::new(), &lacking(), 0, None),
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
fn the_documentation_shows_what_a_waiting_roll_says() {
    let named = |mut pod: ServerPod| {
        pod.name = pod.name.replace("n-", "eventing-nats-");
        pod
    };
    let pods: Vec<_> = pods(&["a", "a", "b"]).into_iter().map(named).collect();
    let mut live = counted(stateful_set(3, "t", "b", 2), &pods);
    live.metadata.name = Some("eventing-nats".to_owned());
    let sight = Sight::Lacking("stream sap: the copy on eventing-nats-2 is not current".to_owned());
    let gate = decide(Some(&live), &stateful_set(3, "t", "", 0), &pods, &sight);
    let page = include_str!("../../../docs/user/upgrades.md");
    for line in [gate.partition.to_string(), gate.waiting.unwrap()] {
        assert!(page.lines().any(|shown| shown == line), "{line}");
    }
}

#[test]
fn broken_pods_of_an_old_revision_do_not_hold_up_their_repair() {
    let repair = |pods: Vec<ServerPod>, partition| {
        let live = counted(stateful_set(3, "t", "c", partition), &pods);
        decide(Some(&live), &stateful_set(3, "t", "", 0), &pods, &lacking()).partition
    };
    for (what, pods, partition, expected) in [
        ("the roll broke the first pod", with(pods(&["a", "a", "b"]), 2, broken), 3, 2),
        ("back to the template of the others", with(pods(&["c", "c", "b"]), 2, broken), 3, 2),
        ("an old pod cannot start any more", with(pods(&["a", "a", "a"]), 0, broken), 3, 0),
        ("the whole cluster never started", with(with(pods(&["b", "b", "b"]), 0, broken), 2, broken), 3, 0),
        ("its node is gone: sound ones stay", with(pods(&["a", "a", "a"]), 0, stranded), 3, 3),
        ("its node is gone, and it is next", with(pods(&["a", "a", "a"]), 2, stranded), 3, 2),
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
    assert_eq!(gate, Gate { partition: 2, underway: true, ..Gate::default() });
}

#[test]
fn a_number_of_servers_that_cannot_be_moves_nothing() {
    let live = counted(stateful_set(2_000_000_000, "t", "b", 2), &pods(&["a", "a", "b"]));
    for sight in [Sight::Whole, lacking()] {
        let gate = decide(Some(&live), &stateful_set(3, "t", "", 0), &pods(&["a", "a", "b"]), &sight);
        assert_eq!(gate, Gate { partition: 2, underway: true, ..Gate::default() });
    }
}

#[test]
fn unguarded_it_is_left_to_kubernetes() {
    let live = stateful_set(3, "old", "a", 2);
    let gate = decide(Some(&live), &stateful_set(3, "new", "", 0), &pods(&["a", "a", "a"]), &Sight::Unguarded);
    assert_eq!(gate, Gate { partition: 0, underway: true, ..Gate::default() });
}

#[test]
fn where_nothing_is_stored_outdated_servers_are_replaced_at_once() {
    let roll = |partition, template| {
        let pods = with(with(pods(&["a", "b", "b"]), 1, starting), 2, starting);
        let live = counted(stateful_set(3, template, "b", partition), &pods);
        decide(Some(&live), &stateful_set(3, "t", "", 0), &pods, &Sight::Empty)
    };
    let gate = |replace: &[&str]| {
        let replace = replace.iter().map(|name| (*name).to_owned()).collect();
        Gate { underway: true, replace, ..Gate::default() }
    };
    assert_eq!(roll(0, "t"), gate(&["n-0"]), "the others wait for the single one to join");
    assert_eq!(roll(1, "t"), gate(&[]), "not before it would come back with the new template");
    assert_eq!(roll(0, "old"), gate(&[]));
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
            live = counted(live, &pods);
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

#[test]
fn a_gate_is_for_the_version_that_it_was_decided_on() {
    let applied = |partition| {
        let pods = pods(&["a", "a", "a"]);
        let mut live = counted(stateful_set(3, "t", "b", partition), &pods);
        live.metadata.resource_version = Some("7".to_owned());
        let mut wanted = stateful_set(3, "t", "", 0);
        decide(Some(&live), &wanted, &pods, &Sight::Whole).put_on(&mut wanted);
        (super::picture::partition(&wanted), wanted.metadata.resource_version)
    };
    assert_eq!(applied(3), (2, Some("7".to_owned())));
    assert_eq!(applied(2), (2, None));
}

#[test]
fn a_server_runs_when_its_startup_is_over() {
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    for (expected, started, state) in [
        (true, true, running.clone()),
        (false, false, running),
        (false, true, json!({"waiting": {"reason": "CrashLoopBackOff"}})),
    ] {
        let container = json!({"name": "nats", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "started": started, "state": state});
        let pod = json!({"metadata": {"name": "n-0"}, "status": {"containerStatuses": [container]}});
        assert_eq!(server_pod(&serde_json::from_value(pod).unwrap()).running, expected);
    }
}
