//! The conditions of the contract, and the status of the first reconcile.

use nats_manager_api::{
    ConditionType::{self, AvailabilityZones, Available, JetStream, Ready, Reconciling, Stalled, StatefulSet, Storage},
    NamespacedName, NatsStatus,
    rules::{Violation, ViolationClass},
};
use nats_manager_planner::{
    plan::{Operation, OperationKind, OperationStep},
    snapshot::RaftGroup,
};

use super::*;

const IN_ZONES: &str = "NATS is deployed in different availability zones.";

fn expect(truth: &str, reason: &str, message: &str) -> (String, String, String) {
    (truth.to_owned(), reason.to_owned(), message.to_owned())
}

/// Returns a cluster whose first servers are starting.
fn deploying() -> World {
    let world = World { seen: Seen::Starting, ..World::healthy(3) };
    let first =
        Operation::new(OperationKind::Deployment, OperationStep::Create).at("n-0").waiting_for("n-0 is not ready");
    world.not_ready(&[0, 1, 2], 95).operation(first)
}

#[test]
fn first_reconcile_sets_every_condition() {
    let (status, events) = deploying().after(&NatsStatus::default(), 100);
    assert_eq!((status.state.as_str(), status.url.as_str()), ("Processing", ""));
    let not_yet = "NATS is being deployed, waiting for StatefulSet to get ready.";
    let unobserved = "JetStream cannot be observed: no server is ready yet";
    for (kind, expected) in [
        (Ready, expect("False", "Deploying", not_yet)),
        (Available, expect("False", "Deploying", not_yet)),
        (Reconciling, expect("True", "Deployment", "First deployment: creating servers")),
        (Stalled, expect("False", "NotBlocked", "No change is blocked.")),
        (StatefulSet, expect("False", "Pending", "StatefulSet is not ready")),
        (
            AvailabilityZones,
            expect("False", "Pending", "Availability zones are counted when the StatefulSet is ready."),
        ),
        (Storage, expect("Unknown", "Unknown", unobserved)),
        (JetStream, expect("Unknown", "Unknown", unobserved)),
    ] {
        assert_eq!(condition(&status, kind), expected);
    }
    assert_eq!(status.condition(ConditionType::Deleted), None);
    assert_eq!(events, ["Processing", "Deploying"]);
    assert_eq!((status.members, status.servers_started, status.ready_servers), (Some(3), Some(true), 0));
}

#[test]
fn first_deployment_is_written_once() {
    let mut fresh = deploying();
    fresh.actual.servers_started = Some(false);
    let (first, _) = fresh.after(&NatsStatus::default(), 100);
    let mut later = World { seen: Seen::Pending, ..deploying() };
    later.applied.ready = 2;
    later.plan.operation =
        Some(Operation::new(OperationKind::Deployment, OperationStep::Create).at("n-2").waiting_for("x"));
    let (same, events) = later.after(&first, 110);
    assert_eq!((&same, events.len()), (&first, 0));
    let (late, _) = later.after(&same, 131);
    assert_eq!((late.servers_started, late.ready_servers), (Some(true), 2), "it takes long");
}

#[test]
fn ready_cluster_has_the_texts_of_the_contract() {
    let (deploying, _) = deploying().after(&NatsStatus::default(), 100);
    let (status, events) = World::healthy(3).after(&deploying, 110);
    assert_eq!((status.state.as_str(), status.url.as_str()), ("Ready", URL));
    for (kind, expected) in [
        (Ready, expect("True", "Ready", "NATS serves clients, and the newest spec is carried out.")),
        (Available, expect("True", "Deployed", "NATS is deployed")),
        (Reconciling, expect("False", "Idle", "No change is in progress.")),
        (StatefulSet, expect("True", "Available", "StatefulSet is ready")),
        (AvailabilityZones, expect("True", "Deployed", IN_ZONES)),
        (Storage, expect("True", "Healthy", "The stores, streams and reservations have room.")),
    ] {
        assert_eq!(condition(&status, kind), expected);
    }
    assert_eq!(brief(&status, JetStream), "True Healthy");
    assert_eq!(events, ["Deployed"]);
    assert_eq!((status.ready_servers, status.operation.as_ref()), (3, None));
    let (same, events) = World::healthy(3).after(&status, 120);
    assert_eq!((same, events.len()), (status, 0));
}

#[test]
fn cluster_is_not_ready_before_it_has_a_meta_group() {
    let forming = |second| {
        polls(second, second, 3, |poll| {
            poll.answers_mut().for_each(|server| server.meta = Some(RaftGroup::default()));
        })
    };
    let (new, _) = World::healthy(3).seen(forming(100)).after(&NatsStatus::default(), 100);
    assert_eq!((new.state.as_str(), new.url.as_str()), ("Processing", ""));
    let (status, events) = World::healthy(3).seen(forming(110)).after(&ready(), 110);
    assert_eq!((status.state.as_str(), events.len()), ("Ready", 0), "later one poll that fails changes nothing");
}

#[test]
fn zones_decide_between_ready_and_warning() {
    let zones =
        |count, node: Option<&str>| ZonesUsed { count, unlabelled_node: node.map(str::to_owned), is_complete: true };
    for (size, zones, state, expected) in [
        (3, zones(3, None), "Ready", "True Deployed"),
        (5, zones(3, None), "Ready", "True Deployed"),
        (3, zones(2, None), "Warning", "False Unknown"),
        (1, zones(1, None), "Ready", "False NotConfigured"),
        (3, zones(2, Some("node-a")), "Ready", "False FailedProcessing"),
    ] {
        let world = World { zones: zones.clone(), ..World::healthy(size) };
        let (status, _) = world.after(&NatsStatus::default(), 100);
        assert_eq!((status.state.as_str(), brief(&status, AvailabilityZones).as_str()), (state, expected), "{zones:?}");
        assert_eq!(status.availability_zones_used, i64::try_from(zones.count).unwrap());
        assert_eq!(brief(&status, Ready), "True Ready", "zones are no obstacle");
    }
}

#[test]
fn node_without_a_zone_does_not_change_the_state() {
    let with = |node: Option<&str>| World {
        zones: ZonesUsed { count: 2, unlabelled_node: node.map(str::to_owned), is_complete: true },
        ..World::healthy(3)
    };
    let (warned, _) = with(None).after(&NatsStatus::default(), 100);
    assert_eq!(warned.state, "Warning");
    let (status, _) = with(Some("node-a")).after(&warned, 110);
    assert_eq!(status.state, "Warning");
    let (restarting, _) = with(Some("node-a")).not_ready(&[1], 111).after(&status, 115);
    assert_eq!(restarting.state, "Warning");
    assert_eq!(message(&status, AvailabilityZones), "node node-a has no label topology.kubernetes.io/zone");
}

/// The counts of the StatefulSet may be older than the Pods.
#[test]
fn zones_of_a_pod_that_restarts_are_not_counted_as_missing() {
    let counted = |count, is_complete| World {
        zones: ZonesUsed { count, unlabelled_node: None, is_complete },
        ..World::healthy(3)
    };
    for (before, state, zones) in [(3, "Ready", "True Deployed"), (2, "Warning", "False Unknown")] {
        let (old, _) = counted(before, true).after(&NatsStatus::default(), 100);
        let (restarting, _) = counted(1, false).after(&old, 110);
        assert_eq!((restarting.state.as_str(), brief(&restarting, AvailabilityZones).as_str()), (state, zones));
        assert_eq!(usize::try_from(restarting.availability_zones_used), Ok(before));
    }
    // Nothing is known before the first count.
    let mut undetermined = ready();
    undetermined.conditions.retain(|condition| condition.type_ != AvailabilityZones.to_string());
    for old in [NatsStatus::default(), undetermined] {
        let (first, _) = counted(1, false).after(&old, 100);
        assert_eq!((first.state.as_str(), brief(&first, AvailabilityZones).as_str()), ("Warning", "False Unknown"));
    }
}

#[test]
fn zones_are_those_of_the_servers() {
    let zone = |node: &str| match node {
        "node-0" => Some(Some("a")),
        "node-1" => Some(Some("b")),
        "node-2" => Some(Some("c")),
        "unlabelled" => Some(None),
        _ => None,
    };
    let used = |count, node: Option<&str>, is_complete| ZonesUsed {
        count,
        unlabelled_node: node.map(str::to_owned),
        is_complete,
    };
    for (last_node, expected) in [
        (Some("node-2"), used(3, None, true)),
        (Some("node-1"), used(2, None, true)),
        (Some("unlabelled"), used(2, Some("unlabelled"), true)),
        (Some("unknown"), used(2, None, false)),
        (None, used(2, None, false)),
    ] {
        let mut actual = World::healthy(3).actual;
        actual.pods[2].node = last_node.map(str::to_owned);
        assert_eq!(ZonesUsed::of(&actual, 3, zone), expected, "{last_node:?}");
        actual.pods.remove(1);
        assert!(!ZonesUsed::of(&actual, 3, zone).is_complete, "a Pod is missing");
    }
    // Pods of others, and servers that are about to be removed.
    let mut actual = World::healthy(3).actual;
    actual.pods[1].ordinal = None;
    assert_eq!(ZonesUsed::of(&actual, 1, zone), used(1, None, true));
}

#[test]
fn lost_servers_are_an_outage_only_without_a_quorum() {
    let off = |servers: &[u32]| World { seen: Seen::Off, ..World::healthy(3) }.not_ready(servers, 100);
    let (one, events) = off(&[1]).after(&ready(), 110);
    assert_eq!((one.state.as_str(), one.url.as_str(), events.len()), ("Ready", URL, 0));
    assert_eq!(condition(&one, StatefulSet), expect("False", "Pending", "not ready: n-1"));
    assert_eq!((brief(&one, Available).as_str(), one.availability_zones_used), ("True Deployed", 3));
    assert_eq!(
        condition(&one, Ready),
        expect("False", "Pending", "Servers are not ready: see the condition StatefulSet.")
    );

    let (two, events) = off(&[1, 2]).after(&one, 120);
    assert_eq!((two.state.as_str(), two.url.as_str(), two.availability_zones_used), ("Processing", URL, 0));
    assert_eq!(condition(&two, StatefulSet), expect("False", "Pending", "not ready: n-1, n-2"));
    assert_eq!((brief(&two, Ready).as_str(), events), ("False Deploying", vec!["Deploying".to_owned()]));
    assert_eq!(two.condition(Available).unwrap().last_transition_time, super::super::update::timestamp(at(120)));

    // The servers return one after the other, and the return of the service is announced once.
    let (back, events) = off(&[1]).announced(&two, 130);
    let announced: Vec<_> = events.iter().map(|event| (event.reason, event.message.as_str())).collect();
    assert_eq!(
        (back.state.as_str(), announced),
        ("Ready", vec![(nats_manager_api::Reason::Deployed, "NATS serves clients again.")])
    );
    let (all, events) = World { seen: Seen::Off, ..World::healthy(3) }.after(&back, 140);
    assert_eq!((all.state.as_str(), events.len()), ("Ready", 0));
}

#[test]
fn scale_up_is_no_outage() {
    let scaling_up = |counted_servers, seen| {
        let applied = AppliedCounts { desired: 7, ready: 3, is_complete: false };
        let mut world = World { applied, counted_servers, seen, ..World::healthy(3) };
        world.plan.members = 7;
        world.operation(Operation::new(OperationKind::ScaleUp, OperationStep::Create)).after(&ready(), 110).0
    };
    for (what, counted, seen, state) in [
        ("JetStream proves its quorum", 7, Seen::Polls(polls(80, 100, 3, |_| ())), "Ready"),
        ("it is not polled, and all former servers are ready", 3, Seen::Off, "Ready"),
        ("the majority is lost", 7, Seen::Off, "Processing"),
    ] {
        let status = scaling_up(counted, seen);
        assert_eq!((status.state.as_str(), status.url.as_str()), (state, URL), "{what}");
    }
}

#[test]
fn standalone_server_that_is_about_to_join_a_cluster_is_not_available() {
    let old = World::healthy(1).after(&NatsStatus::default(), 100).0;
    for (members, state, available) in [(1, "Processing", "False Deploying"), (3, "Ready", "True Deployed")] {
        let mut world = World::healthy(3).operation(Operation::new(OperationKind::FormCluster, OperationStep::Create));
        world.plan.members = members;
        let (status, _) = world.after(&old, 110);
        assert_eq!((status.state.as_str(), brief(&status, Available).as_str()), (state, available));
        assert_eq!(status.members, Some(members));
    }
}

#[test]
fn membership_is_recorded_only_if_the_plan_may_build() {
    let mut world = World::healthy(3);
    world.plan.may_build = false;
    world.plan.members = 5;
    assert_eq!(world.after(&ready(), 110).0.members, Some(3));
}

#[test]
fn stored_policy_violation_is_announced_once_per_generation() {
    let policy = || vec![Violation::invalid("spec.a", ViolationClass::Policy, 1, "no")];
    let world = World { policy: policy(), generation: 2, ..World::healthy(3) };
    let (status, events) = world.after(&ready(), 110);
    assert_eq!((status.state.as_str(), events), ("Ready", vec!["PolicyViolated".to_owned()]));
    assert!(world.after(&status, 120).1.is_empty());
}

#[test]
fn failure_names_its_cause_once_and_keeps_the_address() {
    let failed = |old: &NatsStatus, cause: &str, second| {
        let (status, events) = next(old, 1, &Reconciled::Failed { cause: cause.to_owned() }, at(second));
        assert_sound(&status, 1);
        (status, events.iter().map(|event| event.reason.to_string()).collect::<Vec<_>>())
    };
    let (status, events) = failed(&ready(), "a", 110);
    assert_eq!((status.state.as_str(), status.url.as_str()), ("Error", URL));
    for kind in [Available, Ready] {
        assert_eq!(condition(&status, kind), expect("False", "FailedProcessing", "a"));
    }
    assert_eq!(condition(&status, Stalled), expect("True", "FailedProcessing", "a"));
    assert_eq!((brief(&status, StatefulSet).as_str(), events), ("True Available", vec!["FailedProcessing".to_owned()]));
    assert!(failed(&status, "a", 120).1.is_empty());
    let (status, events) = World::healthy(3).after(&status, 140);
    assert_eq!((status.state.as_str(), events), ("Ready", vec!["Deployed".to_owned()]));
    assert_eq!(brief(&status, Stalled), "False NotBlocked");
}

#[test]
fn child_that_cannot_be_applied_is_reported_and_leaves_a_serving_cluster_available() {
    let unapplied = |has_stateful_set| Some(Unapplied { has_stateful_set, cause: "a" });
    let failing = |world: World, has_stateful_set| World { unapplied: unapplied(has_stateful_set), ..world };
    let deployed = ("True", "Deployed", "NATS is deployed");
    let pending = ("False", "Pending", "StatefulSet is not ready");
    let failed = ("False", "FailedProcessing", "a");
    let new = || World { seen: Seen::Off, ..World::healthy(3).not_ready(&[0, 1, 2], 90) };
    let none = NatsStatus::default();
    for (case, world, old, state, available, set) in [
        (
            "serves",
            failing(World::healthy(3), false),
            &ready(),
            "Warning",
            deployed,
            ("True", "Available", "StatefulSet is ready"),
        ),
        (
            "serves",
            failing(World::healthy(3), true),
            &ready(),
            "Warning",
            deployed,
            ("False", "FailedToSyncResources", "a"),
        ),
        ("new", failing(new(), false), &none, "Error", failed, pending),
        ("new", failing(new(), true), &none, "Error", failed, ("False", "FailedToSyncResources", "a")),
    ] {
        let (status, events) = world.after(old, 110);
        let expect = |(truth, reason, message)| expect(truth, reason, message);
        assert_eq!(status.state, state, "{case}");
        assert_eq!(condition(&status, Available), expect(available), "{case}");
        assert_eq!(condition(&status, StatefulSet), expect(set), "{case}");
        assert_eq!(condition(&status, Stalled), expect(("True", "FailedProcessing", "a")), "{case}");
        assert_eq!(brief(&status, Ready), "False FailedProcessing", "{case}");
        assert_eq!(events.iter().filter(|reason| *reason == "FailedProcessing").count(), 1, "{case}: {events:?}");
        assert!(world.after(&status, 120).1.is_empty(), "{case}");
        let (recovered, _) = World::healthy(3).after(&status, 130);
        assert_eq!(
            (recovered.state.as_str(), brief(&recovered, Stalled).as_str()),
            ("Ready", "False NotBlocked"),
            "{case}"
        );
    }
    let port = |cause: &'static str| World {
        unapplied: Some(Unapplied { has_stateful_set: false, cause }),
        ..World::healthy(3)
    };
    let (reported, _) = port("no answer from port 40001").after(&ready(), 110);
    let (again, events) = port("no answer from port 40002").after(&reported, 120);
    assert_eq!((message(&again, Stalled).as_str(), events), ("no answer from port 40001", Vec::new()));
    let mut inconsistent = World::healthy(3);
    inconsistent.plan.is_consistent = false;
    let (failing, _) = failing(World::healthy(3), false).after(&ready(), 110);
    assert_eq!(brief(&inconsistent.after(&failing, 120).0, Stalled), "False NotBlocked");
}

#[test]
fn notice_is_published_once() {
    let notice =
        Announcement { is_warning: true, reason: nats_manager_api::Reason::FieldOverridden, message: "a".to_owned() };
    let world = World { notices: vec![notice.clone()], ..World::healthy(3) };
    let (status, events) = world.announced(&ready(), 110);
    assert_eq!((status.state.as_str(), events), ("Ready", vec![notice]));
}

#[test]
fn resource_that_is_not_allowed_is_forbidden() {
    let allowed = NamespacedName::new("kyma-system", "eventing-nats");
    let (status, events) = next(&NatsStatus::default(), 1, &Reconciled::Forbidden { allowed }, at(1));
    assert_sound(&status, 1);
    let message = "Only a single NATS CR with name: eventing-nats and namespace: kyma-system is allowed to be created in a Kyma cluster.";
    assert_eq!(status.state, "Error");
    for kind in [StatefulSet, Available, Ready] {
        assert_eq!(condition(&status, kind), expect("False", "Forbidden", message));
    }
    assert_eq!((events[0].is_warning, events[0].message.as_str(), events.len()), (true, message, 1));
}

#[test]
fn condition_of_earlier_versions_is_removed() {
    let mut old = ready();
    for condition in &mut old.conditions {
        condition.message = String::new();
        if condition.type_ == "Reconciling" {
            condition.type_ = "Progressing".to_owned();
        }
    }
    let (status, _) = World::healthy(3).after(&old, 110);
    assert!(status.conditions.iter().all(|condition| condition.type_ != "Progressing"));
}
