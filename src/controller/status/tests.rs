use super::*;
use k8s_openapi::jiff::Timestamp;
use nats_manager_api::{
    NamespacedName,
    rules::{Class, Violation},
};

const URL: &str = "nats://eventing-nats.kyma-system.svc.cluster.local:4222";

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn rollout(ready: i32, complete: bool) -> Rollout {
    Rollout { replicas: 3, ready, updated: 3, complete }
}

fn deployment(rollout: Rollout, zones: usize) -> Deployment {
    Deployment {
        size: 3,
        url: URL.to_owned(),
        rollout,
        members: rollout.replicas,
        starts_anew: false,
        zones: ZonesUsed { count: zones, unlabelled_node: None },
        servers_started: Some(true),
        held: None,
        waiting: None,
        underway: false,
        policy: Vec::new(),
        jetstream: JetStreamView::default(),
    }
}

fn after(old: &NatsStatus, deployment: Deployment) -> (NatsStatus, Vec<String>) {
    let (status, events) = next(old, 1, &Outcome::Deployed(Box::new(deployment)), &at(100));
    (status, reasons(&events))
}

fn reasons(events: &[Announcement]) -> Vec<String> {
    events.iter().map(|event| event.reason.to_string()).collect()
}

fn ready() -> NatsStatus {
    next(&NatsStatus::default(), 1, &Outcome::Deployed(Box::new(deployment(rollout(3, true), 3))), &at(1)).0
}

fn says(status: &NatsStatus, kind: ConditionType) -> (String, String, String) {
    let condition = status.condition(kind).unwrap();
    (condition.status.clone(), condition.reason.clone(), condition.message.clone())
}

fn expect(status: &str, reason: &str, message: &str) -> (String, String, String) {
    (status.to_owned(), reason.to_owned(), message.to_owned())
}

#[test]
fn until_the_first_ready_it_is_processing() {
    let (status, events) = after(&NatsStatus::default(), deployment(rollout(2, false), 0));
    assert_eq!((status.state.as_str(), status.url.as_str()), ("Processing", ""));
    assert_eq!(says(&status, ConditionType::StatefulSet), expect("False", "Pending", ""));
    assert_eq!(says(&status, ConditionType::Available), expect("False", "Deploying", ""));
    assert_eq!(says(&status, ConditionType::AvailabilityZones), expect("False", "Pending", ""));
    assert_eq!(events, ["Processing", "Deploying"]);
    let (same, events) = after(&status, deployment(rollout(2, false), 0));
    assert_eq!((same, events.len()), (status, 0));
}

#[test]
fn zones_make_the_state() {
    let unlabelled = |count| ZonesUsed { count, unlabelled_node: Some("n".to_owned()) };
    for (size, zones, state, condition, reason) in [
        (3, ZonesUsed { count: 3, unlabelled_node: None }, "Ready", "True", "Deployed"),
        (5, ZonesUsed { count: 3, unlabelled_node: None }, "Ready", "True", "Deployed"),
        (3, ZonesUsed { count: 2, unlabelled_node: None }, "Warning", "False", "Unknown"),
        (1, ZonesUsed { count: 1, unlabelled_node: None }, "Ready", "False", "NotConfigured"),
        (3, unlabelled(2), "Ready", "False", "FailedProcessing"),
    ] {
        let given = Deployment { size, zones: zones.clone(), ..deployment(rollout(3, true), 3) };
        let (status, _) = after(&NatsStatus::default(), given);
        let (is, why, _) = says(&status, ConditionType::AvailabilityZones);
        assert_eq!((status.state.as_str(), is.as_str(), why.as_str()), (state, condition, reason), "{size} {zones:?}");
        assert_eq!(status.availability_zones_used, i64::try_from(zones.count).unwrap());
    }
}

#[test]
fn a_node_without_a_zone_leaves_the_state_as_it_was() {
    let (warned, _) = after(&NatsStatus::default(), deployment(rollout(3, true), 2));
    assert_eq!(warned.state, "Warning");
    let unlabelled = ZonesUsed { count: 2, unlabelled_node: Some("node-a".to_owned()) };
    let (status, _) = after(&warned, Deployment { zones: unlabelled, ..deployment(rollout(3, true), 2) });
    assert_eq!(status.state, "Warning");
    assert!(says(&status, ConditionType::AvailabilityZones).2.contains("node-a"));
}

#[test]
fn a_roll_is_no_outage_while_a_majority_is_ready() {
    let (rolling, events) = after(&ready(), deployment(rollout(2, false), 2));
    assert_eq!((rolling.state.as_str(), rolling.url.as_str()), ("Ready", URL));
    let progress = "2 of 3 servers are ready, 3 up to date";
    assert_eq!(says(&rolling, ConditionType::StatefulSet), expect("False", "Pending", progress));
    assert_eq!(says(&rolling, ConditionType::Available), expect("True", "Deployed", "NATS is deployed"));
    assert_eq!(rolling.availability_zones_used, 3);
    assert!(events.is_empty());

    let (lost, events) = after(&rolling, deployment(rollout(1, false), 1));
    assert_eq!((lost.state.as_str(), lost.url.as_str()), ("Processing", URL));
    assert_eq!(events, ["Deploying"]);
    let (back, events) = after(&lost, deployment(rollout(2, false), 2));
    assert_eq!(back.state, "Ready");
    assert!(events.is_empty());
}

#[test]
fn more_servers_are_no_outage_as_long_as_the_old_ones_have_their_majority() {
    let growing = |members, has_quorum| {
        let rollout = Rollout { replicas: 7, ready: 3, updated: 3, complete: false };
        let jetstream = JetStreamView { has_quorum, ..JetStreamView::default() };
        after(&ready(), Deployment { members, jetstream, ..deployment(rollout, 3) })
    };
    for (what, members, has_quorum, state) in [
        ("JetStream says that it goes on", 7, true, "Ready"),
        ("it is not asked, and all old servers are ready", 3, false, "Ready"),
        ("it has lost its majority", 7, false, "Processing"),
    ] {
        let (status, events) = growing(members, has_quorum);
        assert_eq!((status.state.as_str(), status.url.as_str()), (state, URL), "{what}");
        assert_eq!(says(&status, ConditionType::StatefulSet).2, "3 of 7 servers are ready, 3 up to date", "{what}");
        assert_eq!(events.is_empty(), state == "Ready", "{what}");
    }
}

#[test]
fn a_single_server_that_is_to_start_anew_as_one_of_several_is_not_to_be_relied_on() {
    for (starts_anew, state, available) in [(false, "Ready", "True"), (true, "Processing", "False")] {
        let rollout = Rollout { replicas: 3, ready: 1, updated: 0, complete: false };
        let jetstream = JetStreamView { has_quorum: true, ..JetStreamView::default() };
        let (status, _) = after(&ready(), Deployment { starts_anew, members: 3, jetstream, ..deployment(rollout, 1) });
        assert_eq!((status.state.as_str(), status.url.as_str()), (state, URL));
        assert_eq!(says(&status, ConditionType::Available).0, available);
    }
}

#[test]
fn a_server_that_does_not_answer_once_is_no_news_in_a_cluster_that_was_ready() {
    let forming = JetStreamView { forming: true, health: Health::Lacking, ..JetStreamView::default() };
    let unanswered = Deployment { jetstream: forming, ..deployment(rollout(3, true), 3) };
    let (new, _) = after(&NatsStatus::default(), unanswered.clone());
    assert_eq!((new.state.as_str(), new.url.as_str()), ("Processing", ""), "its servers must find each other first");
    let old = ready();
    let (status, events) = after(&old, unanswered);
    assert_eq!((status, events.len()), (old, 0));
}

#[test]
fn transition_times_change_with_the_status_only() {
    let ready = ready();
    let time = |status: &NatsStatus, kind| status.condition(kind).unwrap().last_transition_time.clone();
    assert_eq!(time(&ready, ConditionType::Available), at(1));
    let (rolling, _) = after(&ready, deployment(rollout(2, false), 2));
    assert_eq!(time(&rolling, ConditionType::Available), at(1));
    assert_eq!(time(&rolling, ConditionType::StatefulSet), at(100));
}

#[test]
fn a_change_that_is_held_warns_once_and_leaves_no_trace() {
    let held = Deployment { held: Some("why".to_owned()), ..deployment(rollout(3, true), 3) };
    let (status, events) = after(&ready(), held.clone());
    assert_eq!(status.state, "Warning");
    assert_eq!(says(&status, ConditionType::Progressing), expect("False", "Held", "why"));
    assert_eq!(events, ["Held"]);
    assert!(after(&status, held).1.is_empty());
    let (freed, _) = after(&status, deployment(rollout(3, true), 3));
    assert_eq!(freed.state, "Ready");
    assert!(freed.condition(ConditionType::Progressing).is_none());
}

#[test]
fn a_stored_policy_violation_is_announced_once_a_generation() {
    let policy = vec![Violation::invalid("spec.a", Class::Policy, 1, "no")];
    let given = Deployment { policy, ..deployment(rollout(3, true), 3) };
    let outcome = Outcome::Deployed(Box::new(given));
    let (status, events) = next(&ready(), 2, &outcome, &at(5));
    assert_eq!(reasons(&events), ["PolicyViolated"]);
    assert_eq!(status.state, "Ready");
    assert!(next(&status, 2, &outcome, &at(6)).1.is_empty());
}

#[test]
fn a_failure_names_its_cause_once_and_keeps_the_address() {
    let failed = |stateful_set, cause: &str| Outcome::Failed { stateful_set, cause: cause.to_owned() };
    let (status, events) = next(&ready(), 1, &failed(false, "a"), &at(5));
    assert_eq!((status.state.as_str(), status.url.as_str()), ("Error", URL));
    assert_eq!(says(&status, ConditionType::Available), expect("False", "FailedProcessing", "a"));
    assert_eq!(says(&status, ConditionType::StatefulSet).0, "True");
    assert_eq!(reasons(&events), ["FailedProcessing"]);
    assert!(next(&status, 1, &failed(false, "a"), &at(6)).1.is_empty());
    let (status, events) = next(&status, 1, &failed(true, "b"), &at(6));
    assert_eq!(says(&status, ConditionType::StatefulSet), expect("False", "FailedToSyncResources", "b"));
    assert_eq!(reasons(&events), ["FailedProcessing"]);
    let (status, events) = after(&status, deployment(rollout(3, true), 3));
    assert_eq!((status.state.as_str(), events), ("Ready", vec!["Deployed".to_owned()]));
}

#[test]
fn another_resource_is_forbidden() {
    let allowed = NamespacedName::new("kyma-system", "eventing-nats");
    let (status, events) = next(&NatsStatus::default(), 1, &Outcome::Forbidden { allowed }, &at(1));
    let message = "Only a single NATS CR with name: eventing-nats and namespace: kyma-system is allowed to be created in a Kyma cluster.";
    assert_eq!(status.state, "Error");
    assert_eq!(says(&status, ConditionType::Available), expect("False", "Forbidden", message));
    assert_eq!(says(&status, ConditionType::StatefulSet).1, "Forbidden");
    assert_eq!((events[0].warning, events[0].message.as_str()), (true, message));
}

#[test]
fn a_deletion_tells_when_it_waits_and_when_it_goes_on() {
    let blocked = |reason: &str| Outcome::DeletionBlocked { reason: reason.to_owned() };
    let (status, events) = next(&ready(), 1, &blocked("stream"), &at(1));
    assert_eq!(status.state, "Warning");
    assert_eq!(says(&status, ConditionType::Deleted), expect("False", "DeletionError", "stream"));
    assert_eq!(reasons(&events), ["Deleting", "DeletionError"]);
    assert!(next(&status, 1, &blocked("stream"), &at(2)).1.is_empty());
    assert_eq!(reasons(&next(&status, 1, &blocked("consumer"), &at(2)).1), ["DeletionError"]);
    let (status, events) = next(&status, 1, &Outcome::Deleting, &at(3));
    assert_eq!(status.state, "Deleting");
    assert_eq!(says(&status, ConditionType::Deleted).0, "True");
    assert!(events.is_empty());
}

#[test]
fn a_deletion_that_fails_is_told_once_however_often_it_is_tried() {
    let failed = |cause: &str| Outcome::DeletionFailed { cause: cause.to_owned() };
    let (begun, events) = next(&ready(), 1, &Outcome::Deleting, &at(1));
    assert_eq!((begun.state.as_str(), reasons(&events)), ("Deleting", vec!["Deleting".to_owned()]));
    let (told, events) = next(&begun, 1, &failed("cannot delete the volumes: no answer from 10.0.0.1:40001"), &at(2));
    assert_eq!((told.state.as_str(), reasons(&events)), ("Warning", vec!["DeletionError".to_owned()]));
    assert_eq!(says(&told, ConditionType::Deleted).0, "True", "what was decided stays so");
    for again in [Outcome::Deleting, failed("cannot delete the volumes: no answer from 10.0.0.1:40002")] {
        let (same, events) = next(&told, 1, &again, &at(3));
        assert_eq!((&same, events.len()), (&told, 0), "{again:?}");
    }
    let (other, events) = next(&told, 1, &failed("the StatefulSet was not gone after 20 s"), &at(4));
    assert_eq!((other.state.as_str(), reasons(&events)), ("Warning", vec!["DeletionError".to_owned()]));
}

#[test]
fn a_deletion_that_waits_for_an_answer_is_told_once_in_whatever_words_it_fails() {
    let unasked = |cause: &str| Outcome::DeletionBlocked {
        reason: format!("Cannot delete NATS cluster as JetStream cannot be asked for streams: {cause}. Trying again."),
    };
    let (told, _) = next(&ready(), 1, &unasked("cannot connect to n:4222: timed out"), &at(1));
    let (same, events) = next(&told, 1, &unasked("JetStream does not answer: no responders"), &at(2));
    assert_eq!((&same, events.len()), (&told, 0));
    let stream = Outcome::DeletionBlocked { reason: "Cannot delete NATS cluster as customer stream exists".to_owned() };
    assert_eq!(reasons(&next(&told, 1, &stream, &at(3)).1), ["DeletionError"]);
}
