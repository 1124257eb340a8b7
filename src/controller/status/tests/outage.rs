//! Outages and unreachable servers.

use nats_manager_api::ConditionType::{Available, JetStream, Ready, Storage};
use nats_manager_planner::snapshot::StoreUsage;

use super::*;

#[test]
fn lost_quorum_is_an_outage_and_ends_when_the_quorum_is_back() {
    let lost: Fault = |poll| {
        poll.lose(&["n-1", "n-2"]);
        poll.server_mut("n-0").meta_mut().leader = None;
    };
    let world = |until| faulty(lost, until).not_ready(&[1, 2], 200);
    // A server that is ready and unreachable may serve clients.
    let (soon, _) = world(220).after(&ready(), 220);
    assert_ne!(brief(&soon, JetStream), "False QuorumLost");
    let (status, events) = busy(world(230)).after(&soon, 230);
    assert_eq!(brief(&status, JetStream), "False QuorumLost", "also during a change");
    assert_eq!(
        message(&status, JetStream),
        "JetStream accepts no messages: no majority of its servers agrees on a leader. Bring back: n-1, n-2."
    );
    assert!(events.contains(&"QuorumLost".to_owned()), "{events:?}");

    // The Pods are ready again and the servers unreachable: they may serve clients.
    let (unknown, _) = faulty(lost, 300).after(&status, 300);
    assert_eq!(brief(&unknown, JetStream), "Unknown ServersUnreachable");

    let catching_up: Fault = |poll| poll.replica_mut("n-0").group_mut().peers[1].current = false;
    let (back, events) = World::healthy(3).seen(polls(310, 310, 3, catching_up)).after(&status, 310);
    assert_eq!(
        (brief(&back, Available).as_str(), brief(&back, JetStream).as_str()),
        ("True Deployed", "False ReplicaOutOfSync")
    );
    assert_eq!((back.state.as_str(), events), ("Warning", vec!["Deployed".to_owned()]));
}

#[test]
fn quorum_lost_with_ready_pods_makes_nats_unavailable() {
    let lost: Fault = |poll| poll.answers_mut().for_each(|server| server.meta_mut().leader = None);
    let (status, _) = faulty(lost, 230).after(&ready(), 230);
    assert_eq!((brief(&status, Available).as_str(), status.state.as_str()), ("False QuorumLost", "Warning"));
    assert_eq!((status.url.as_str(), brief(&status, Ready).as_str()), (URL, "False QuorumLost"));
    let way_out = "agrees on a leader. The servers must reach each other at port 6222.";
    assert!(message(&status, Available).ends_with(way_out), "{}", message(&status, Available));
    // A new manager has to poll first.
    for seen in [Seen::Pending, Seen::Polls(polls(240, 240, 3, lost))] {
        let (kept, events) = World { seen, ..World::healthy(3) }.after(&status, 240);
        assert_eq!((brief(&kept, Available).as_str(), kept.state.as_str()), ("False QuorumLost", "Warning"));
        assert!(events.is_empty(), "{events:?}");
    }
}

#[test]
fn servers_that_cannot_be_reached_are_unknown_while_their_pods_are_ready() {
    let unreachable: Fault = |poll| poll.lose(&["n-0", "n-1", "n-2"]);
    let (soon, _) = faulty(unreachable, 220).after(&ready(), 220);
    assert_eq!(soon.conditions, ready().conditions);
    let (status, events) = faulty(unreachable, 260).after(&soon, 260);
    for kind in [Available, JetStream, Ready] {
        assert_eq!(brief(&status, kind), "Unknown ServersUnreachable");
        assert!(message(&status, kind).starts_with("NATS Manager cannot reach the servers"), "{kind}");
    }
    assert_eq!((brief(&status, Storage).as_str(), status.state.as_str()), ("Unknown Unknown", "Warning"));
    assert_eq!((status.url.as_str(), events), (URL, vec!["ServersUnreachable".to_owned()]));
    let (same, events) = faulty(unreachable, 500).after(&status, 500);
    assert_eq!((&same, events.len()), (&status, 0));
    let (recovered, _) = World::healthy(3).seen(polls(510, 520, 3, |_| ())).after(&same, 520);
    assert_eq!(
        (brief(&recovered, Available).as_str(), brief(&recovered, JetStream).as_str()),
        ("True Deployed", "True Healthy")
    );

    // Without ready Pods it is an outage.
    let (down, _) = faulty(unreachable, 260).not_ready(&[0, 1, 2], 200).after(&ready(), 260);
    assert!(brief(&down, JetStream).starts_with("False QuorumLost"), "{}", brief(&down, JetStream));
}

#[test]
fn unobservable_servers_are_unknown_with_a_cause_that_stays_the_same() {
    let unobservable = |cause| World { seen: Seen::Unobservable(cause), ..World::healthy(3) };
    let (status, events) = unobservable("n-0: timed out").after(&NatsStatus::default(), 100);
    for kind in [JetStream, Storage] {
        assert_eq!(brief(&status, kind), "Unknown Unknown");
        let text = "JetStream cannot be observed: no server answers at its monitoring port (8222): n-0: timed out";
        assert_eq!(message(&status, kind), text);
    }
    assert_eq!((status.state.as_str(), brief(&status, Ready).as_str()), ("Ready", "True Ready"));
    assert_eq!(events, ["Processing", "Deployed"]);
    assert_eq!(unobservable("n-1: refused").after(&status, 110).0, status);
    for seen in [Seen::Starting, Seen::Pending] {
        let (kept, events) = World { seen, ..World::healthy(3) }.after(&ready(), 110);
        assert_eq!((kept, events.len()), (ready(), 0), "what was known stays for a while");
    }
}

#[test]
fn conditions_of_servers_that_are_no_longer_polled_become_unknown() {
    let full: Fault = |poll| poll.server_mut("n-1").file = StoreUsage { used: 95, limit: 100, reserved: 0 };
    let (full, _) = faulty(full, 260).after(&ready(), 260);
    assert_eq!((brief(&full, Storage).as_str(), full.state.as_str()), ("False FileStoreFull", "Warning"));
    let disabled: Fault = |poll| poll.server_mut("n-0").disabled = true;
    let (disabled, _) = faulty(disabled, 260).after(&ready(), 260);
    assert!(brief(&disabled, JetStream).starts_with("False "), "{}", brief(&disabled, JetStream));
    for old in [ready(), full, disabled] {
        for seen in [Seen::Off, Seen::Unobservable("n-0: refused")] {
            let (status, events) = World { seen, ..World::healthy(3) }.after(&old, 300);
            for kind in [JetStream, Storage] {
                assert_eq!(brief(&status, kind), "Unknown Unknown");
                assert!(message(&status, kind).starts_with("JetStream cannot be observed: "));
            }
            assert_eq!((status.state.as_str(), events), ("Ready", vec![]));
        }
    }
}

#[test]
fn cause_of_a_lost_quorum_is_reported_with_it() {
    let disabled: Fault = |poll| poll.server_mut("n-0").disabled = true;
    let (status, _) = World::healthy(1).seen(polls(200, 230, 1, disabled)).after(&ready(), 230);
    let text = message(&status, JetStream);
    assert_eq!(brief(&status, JetStream), "False QuorumLost");
    assert!(text.contains("Bring back: n-0. n-0: JetStream is disabled, mostly because the volume is full."), "{text}");
}
