//! The condition `Deleted`: each obstacle is reported once.

use nats_manager_api::ConditionType::{Deleted, Ready, Reconciling, Stalled};

use super::*;

fn deleting(old: &NatsStatus, reconciled: &Reconciled<'_>, second: i64) -> (NatsStatus, Vec<String>) {
    let (status, events) = next(old, 1, reconciled, at(second));
    assert_sound(&status, 1);
    (status, events.iter().map(|event| event.reason.to_string()).collect())
}

fn blocked(reason: &str) -> Reconciled<'static> {
    Reconciled::DeletionBlocked { reason: reason.to_owned() }
}

fn failed(cause: &str) -> Reconciled<'static> {
    Reconciled::DeletionFailed { cause: cause.to_owned() }
}

#[test]
fn blocked_deletion_is_reported_once_and_then_continues() {
    let (status, events) = deleting(&ready(), &blocked("stream"), 110);
    assert_eq!(status.state, "Warning");
    for (kind, expected) in [
        (Deleted, "False DeletionError"),
        (Stalled, "True DeletionError"),
        (Reconciling, "False Idle"),
        (Ready, "False Deleting"),
    ] {
        assert_eq!(brief(&status, kind), expected);
    }
    assert_eq!((message(&status, Deleted).as_str(), message(&status, Stalled).as_str()), ("stream", "stream"));
    assert_eq!(events, ["Deleting", "DeletionError"]);
    assert!(deleting(&status, &blocked("stream"), 120).1.is_empty());
    assert_eq!(deleting(&status, &blocked("consumer"), 120).1, ["DeletionError"]);
    let (status, events) = deleting(&status, &Reconciled::Deleting, 130);
    assert_eq!((status.state.as_str(), events.len()), ("Deleting", 0));
    for (kind, expected) in [(Deleted, "True Deleting"), (Stalled, "False NotBlocked"), (Reconciling, "True Deleting")]
    {
        assert_eq!(brief(&status, kind), expected);
    }
}

#[test]
fn failing_deletion_is_reported_once_for_all_retries() {
    let (started, events) = deleting(&ready(), &Reconciled::Deleting, 110);
    assert_eq!((started.state.as_str(), events), ("Deleting", vec!["Deleting".to_owned()]));
    let (reported, events) = deleting(&started, &failed("cannot delete the PVCs: no answer from 10.0.0.1:40001"), 120);
    assert_eq!((reported.state.as_str(), events), ("Warning", vec!["DeletionError".to_owned()]));
    assert_eq!(brief(&reported, Deleted), "True DeletionError", "the decision stays");
    for again in [Reconciled::Deleting, failed("cannot delete the PVCs: no answer from 10.0.0.1:40002")] {
        let (same, events) = deleting(&reported, &again, 130);
        assert_eq!((&same, events.len()), (&reported, 0), "{again:?}");
    }
    let (other, events) = deleting(&reported, &failed("the StatefulSet was not gone after 20 s"), 140);
    assert_eq!((other.state.as_str(), events), ("Warning", vec!["DeletionError".to_owned()]));
}

#[test]
fn deletion_without_an_answer_is_reported_once_for_all_causes() {
    let unanswered = |cause: &str| {
        blocked(&format!("Cannot delete NATS cluster as its streams cannot be listed: {cause}. Trying again."))
    };
    let (reported, _) = deleting(&ready(), &unanswered("cannot connect to n:4222: timed out"), 110);
    let (same, events) = deleting(&reported, &unanswered("JetStream does not answer: no responders"), 120);
    assert_eq!((&same, events.len()), (&reported, 0));
    let stream = blocked("Cannot delete NATS cluster as customer stream exists");
    assert_eq!(deleting(&reported, &stream, 130).1, ["DeletionError"]);
}

#[test]
fn finalizer_that_keeps_the_resource_is_reported_once() {
    let (deleted, _) = deleting(&ready(), &Reconciled::Deleting, 110);
    let kept = |finalizers: &str| Reconciled::Kept { finalizers: finalizers.to_owned() };
    let (status, events) = deleting(&deleted, &kept("example.com/hold"), 120);
    assert_eq!((status.state.as_str(), events), ("Deleting", vec!["Deleting".to_owned()]));
    for kind in [Deleted, Reconciling, Ready] {
        assert!(message(&status, kind).contains("is kept by the finalizer example.com/hold"), "{kind}");
    }
    let (same, events) = deleting(&status, &kept("example.com/hold"), 130);
    assert_eq!((&same, events.len()), (&status, 0));
    assert_eq!(deleting(&status, &kept("example.com/other"), 140).1, ["Deleting"]);
}

#[test]
fn deleted_condition_from_a_backup_is_removed() {
    let (status, _) = deleting(&ready(), &Reconciled::Deleting, 110);
    assert_eq!(World::healthy(3).after(&status, 120).0.condition(Deleted), None);
}
