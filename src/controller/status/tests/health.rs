//! Diagnoses of JetStream: their delays and messages.

use nats_manager_api::ConditionType::{Available, JetStream, Ready, Storage};
use nats_manager_planner::{
    actual::PvcState,
    snapshot::{Healthz, ServerSnapshot, StoreUsage},
    testing::{names, peer, server, snapshot},
};

use super::*;

const MEBI: u64 = 1 << 20;

fn unreachable(poll: &mut JetStreamSnapshot) {
    poll.lose(&["n-1"]);
    for server in poll.answers_mut() {
        server.meta_mut().peers.retain(|peer| peer.name != "n-1");
        server.streams[0].group_mut().peers.retain(|peer| peer.name != "n-1");
    }
}

#[test]
fn fault_that_has_lasted_is_reported_with_the_way_out() {
    let cases: [(&str, Fault, &str, &str); 9] = [
        ("unreachable", |poll| poll.lose(&["n-1"]), "ServerUnreachable", "n-1: no response. JetStream continues"),
        (
            "disabled",
            |poll| poll.server_mut("n-1").disabled = true,
            "ServerDisabled",
            "n-1: JetStream is disabled, mostly because the volume is full.",
        ),
        (
            "write error",
            |poll| poll.server_mut("n-1").healthz = Healthz::Failing("stream write error".to_owned()),
            "WriteError",
            "n-1: a stream replica has a write error.",
        ),
        (
            "not in the meta group",
            |poll| poll.server_mut("n-0").meta_mut().peers.truncate(1),
            "ServerMissing",
            "n-2: running, and not in the meta group.",
        ),
        (
            "a foreign server",
            |poll| poll.server_mut("n-0").meta_mut().peers.push(peer("other-0")),
            "UnknownServer",
            "other-0: in the meta group, and not a server of this cluster.",
        ),
        (
            "no stream leader",
            |poll| poll.answers_mut().for_each(|server| server.streams[0].group_mut().leader = None),
            "NoStreamLeader",
            "No leader: stream sap. See: nats stream report",
        ),
        (
            "under-replicated",
            |poll| {
                poll.server_mut("n-2").streams.clear();
                poll.replica_mut("n-0").group_mut().peers.truncate(1);
            },
            "UnderReplicated",
            "Too few servers hold stream sap.",
        ),
        (
            "out of sync",
            |poll| poll.replica_mut("n-0").group_mut().peers[1].current = false,
            "ReplicaOutOfSync",
            "n-2: stream replicas are not in sync.",
        ),
        (
            "unhealthy",
            |poll| poll.server_mut("n-1").healthz = Healthz::Failing("JetStream is ill".to_owned()),
            "ServerUnhealthy",
            "n-1 reports: JetStream is ill.",
        ),
    ];
    for (what, fault, reason, text) in cases {
        let delay = if reason == "ServerUnhealthy" { 60 } else { 30 };
        let (soon, _) = faulty(fault, 190 + delay).after(&ready(), 190 + delay);
        assert_eq!(brief(&soon, JetStream), "True Healthy", "{what}: it may pass");
        let (status, events) = faulty(fault, 200 + delay).announced(&soon, 200 + delay);
        assert_eq!(brief(&status, JetStream), format!("False {reason}"), "{what}");
        assert!(message(&status, JetStream).starts_with(text), "{what}: {}", message(&status, JetStream));
        assert_eq!((status.state.as_str(), condition(&status, Ready).1.as_str()), ("Warning", reason), "{what}");
        assert_eq!(brief(&status, Available), "True Deployed", "{what}: clients are served");
        assert_eq!((events.len(), events[0].is_warning), (1, true), "{what}");
        let (same, events) = faulty(fault, 900).after(&status, 900);
        assert_eq!((&same.conditions, events.len()), (&status.conditions, 0), "{what}: the status stays");

        let (during, _) = busy(faulty(fault, 300)).after(&ready(), 300);
        assert_eq!(brief(&during, JetStream), "True Healthy", "{what}: part of a change");
        let (lasting, _) = busy(faulty(fault, 320)).after(&during, 320);
        assert_eq!(brief(&lasting, JetStream), format!("False {reason}"), "{what}: also during a change");

        let (recovered, events) = World::healthy(3).seen(polls(910, 920, 3, |_| ())).after(&same, 920);
        assert_eq!(
            (brief(&recovered, JetStream).as_str(), recovered.state.as_str()),
            ("True Healthy", "Ready"),
            "{what}"
        );
        assert!(!events.is_empty() && events.iter().all(|reason| reason == "Healthy"), "{what}: {events:?}");
    }
}

#[test]
fn server_that_is_not_ready_is_reported_with_the_text_of_its_healthz() {
    let failing = |lag: u32| {
        let mut polls = polls(200, 900, 3, |_| ());
        for poll in &mut polls {
            let text = format!("JetStream stream '$G > sap' is not current: lag {lag}");
            poll.server_mut("n-1").healthz = Healthz::Failing(text.clone());
        }
        World::healthy(3).seen(polls).not_ready(&[1], 200)
    };
    let (soon, _) = failing(7).after(&ready(), 259);
    assert!(!message(&soon, JetStream).contains("not ready"), "{}", message(&soon, JetStream));
    let (status, _) = failing(7).after(&soon, 260);
    assert_eq!((brief(&status, JetStream).as_str(), status.state.as_str()), ("False ServerNotReady", "Warning"));
    let text = message(&status, JetStream);
    assert!(text.starts_with("n-1 is not ready: JetStream stream '$G > sap' is not current: lag 7. See: "), "{text}");
    assert_eq!(
        failing(8123).after(&status, 270).0.conditions,
        status.conditions,
        "changed figures alone are not reported"
    );

    let mut broken = failing(7);
    broken.actual.pods[1].broken = Some("container nats keeps crashing".to_owned());
    let text = message(&broken.after(&ready(), 260).0, JetStream);
    assert!(text.starts_with("n-1 is not ready: container nats keeps crashing. See: "), "{text}");
}

#[test]
fn server_that_never_becomes_ready_is_reported_during_the_first_deployment() {
    let fault: Fault = |poll| {
        poll.server_mut("n-0").healthz = Healthz::Failing("stream 'orders' could not be recovered".to_owned());
    };
    let world = |until| {
        let polls = polls(200, until, 1, fault);
        World::healthy(1).seen(polls).not_ready(&[0], 200)
    };
    let (soon, _) = world(310).after(&NatsStatus::default(), 310);
    assert_eq!(brief(&soon, JetStream), "Unknown Unknown");
    let (status, _) = world(320).after(&soon, 320);
    assert_eq!((brief(&status, JetStream).as_str(), status.state.as_str()), ("False ServerNotReady", "Processing"));
}

#[test]
fn missing_pod_is_reported_without_polls() {
    let world = || {
        let mut world = World { seen: Seen::Off, ..World::healthy(3) }.not_ready(&[1], 200);
        world.actual.pods.remove(1);
        world
    };
    let (pending, _) = world().after(&ready(), 200);
    assert_eq!((pending.state.as_str(), brief(&pending, JetStream).as_str()), ("Ready", "Unknown Unknown"));
    let (status, _) = world().after(&pending, 320);
    assert_eq!((brief(&status, JetStream).as_str(), status.state.as_str()), ("False ServerNotReady", "Warning"));
    assert!(message(&status, JetStream).starts_with("n-1 is not ready. See: "));
}

#[test]
fn cause_of_a_leaderless_stream_is_named_only_if_it_is_known() {
    let leaderless = |full: bool| {
        let mut polls = polls(200, 230, 3, |poll| {
            for replica in poll.answers_mut().map(|server| &mut server.streams[0]) {
                replica.in_memory = true;
                replica.group_mut().leader = None;
            }
        });
        for poll in &mut polls {
            let used = if full { 63 * MEBI } else { MEBI };
            poll.server_mut("n-1").memory = StoreUsage { used, limit: 64 * MEBI, reserved: 0 };
        }
        message(&World::healthy(3).seen(polls).after(&ready(), 230).0, JetStream)
    };
    assert_eq!(leaderless(false), "No leader: stream sap. See: nats stream report");
    let full = leaderless(true);
    let expected = "No leader: stream sap. The memory store of n-1 is full. Raise spec.jetStream.memStorage.size:";
    assert!(full.starts_with(expected), "{full}");
}

#[test]
fn pod_that_does_not_stop_is_reported_during_a_change() {
    let stuck = |since| {
        let mut world = busy(faulty(unreachable, 400)).not_ready(&[1], 200);
        world.actual.pods[1].terminating = Some(at(since));
        world.after(&ready(), 400).0
    };
    assert_ne!(brief(&stuck(390), JetStream), "False ServerStuck");
    let status = stuck(200);
    assert_eq!(brief(&status, JetStream), "False ServerStuck");
    let way_out = "kubectl delete pod n-1 -n kyma-system --grace-period=0 --force";
    assert!(message(&status, JetStream).contains(way_out), "{}", message(&status, JetStream));
    assert!(!message(&status, JetStream).contains("no response"), "each server is named once");
}

#[test]
fn streams_lost_by_a_restart_are_reported() {
    let run = |id: &str, streams: &[&str]| {
        let streams = streams.iter().copied().map(stream).collect();
        snapshot([Ok(ServerSnapshot { id: id.to_owned(), streams, ..server() })])
    };
    let before = MissingStreams::default().next(&run("A", &["sap", "orders"]), &names(1));
    let missing_streams = before.next(&run("B", &["sap"]), &names(1));
    let (status, _) = World { missing_streams, ..World::healthy(3) }.after(&ready(), 110);
    assert_eq!((brief(&status, JetStream).as_str(), status.state.as_str()), ("False StreamsMissing", "Warning"));
    let text = message(&status, JetStream);
    assert!(text.starts_with("n-0 had stream orders before it restarted, and no server has now."), "{text}");
}

#[test]
fn terminating_pvc_of_a_server_that_stays_is_reported() {
    let with = |ordinal| {
        let mut world = World::healthy(3);
        world.actual.pvcs = vec![PvcState { ordinal, terminating: true, ..PvcState::default() }];
        world.after(&ready(), 110).0
    };
    let status = with(1);
    assert_eq!((brief(&status, JetStream).as_str(), status.state.as_str()), ("False PvcTerminating", "Warning"));
    assert!(message(&status, JetStream).starts_with("The PVC of n-1 is being deleted: what is on it is lost"));
    assert_eq!(brief(&with(3), JetStream), "True Healthy", "one of a server that left");
}

#[test]
fn several_issues_are_reported_by_severity() {
    let fault: Fault = |poll| {
        poll.server_mut("n-2").disabled = true;
        poll.replica_mut("n-0").group_mut().peers[0].current = false;
    };
    let (status, _) = faulty(fault, 230).after(&ready(), 230);
    let text = message(&status, JetStream);
    assert_eq!(brief(&status, JetStream), "False ServerDisabled");
    assert!(text.contains("n-2: JetStream is disabled") && text.contains("n-1: stream replicas are not"), "{text}");
}

#[test]
fn storage_condition_changes_only_with_its_level() {
    let used = |used: u64, second| {
        let mut polls = polls(second, second, 3, |_| ());
        let file = StoreUsage { used: used * MEBI, limit: 100 * MEBI, reserved: 0 };
        for poll in &mut polls {
            poll.server_mut("n-1").file = file;
        }
        World::healthy(3).seen(polls)
    };
    let (low, events) = used(10, 200).after(&ready(), 200);
    assert_eq!((brief(&low, Storage).as_str(), events.len()), ("True Healthy", 0));
    let (high, events) = used(83, 210).after(&low, 210);
    assert_eq!((brief(&high, Storage).as_str(), high.state.as_str()), ("False FileStoreNearlyFull", "Warning"));
    assert_eq!(
        (events, high.jet_stream.as_ref().unwrap().storage.as_str()),
        (vec!["FileStoreNearlyFull".to_owned()], "NearlyFull")
    );
    let (same, events) = used(85, 220).after(&high, 220);
    assert_eq!((&same, events.len()), (&high, 0));
    assert_eq!(used(10, 230).after(&high, 230).1, ["Healthy"]);
}

#[test]
fn summary_needs_a_complete_inventory() {
    let with_memory = |bytes: u64| {
        polls(200, 200, 3, |poll| {
            poll.server_mut("n-2").streams.push(stream("hot").with_bytes(bytes).kept_in_memory());
        })
    };
    let (status, _) = World::healthy(3).seen(with_memory(3 * MEBI)).after(&ready(), 200);
    let summary = status.jet_stream.clone().unwrap();
    assert_eq!((summary.streams, summary.customer_data, summary.highest_replicas), (true, true, 3));
    assert_eq!((summary.memory_streams, summary.memory_used.unwrap().text.as_str()), (true, "4Mi"));
    let mut incomplete = with_memory(0);
    incomplete[0].lose(&["n-2"]);
    assert_eq!(World::healthy(3).seen(incomplete).after(&status, 200).0.jet_stream, status.jet_stream);
}
