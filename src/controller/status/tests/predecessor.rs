use nats_manager_api::ConditionType::{Available, Ready, Stalled};

use super::*;

fn reported(old: &NatsStatus, pod: &str, second: i64) -> (NatsStatus, Vec<Announcement>) {
    let outcome = Reconciled::PredecessorRunning { namespace: "kyma-system".to_owned(), pod: pod.to_owned() };
    next(old, 2, &outcome, at(second))
}

#[test]
fn predecessor_is_reported_once_and_the_generation_stays() {
    let before = ready();
    let (status, events) = reported(&before, "old-a", 140);
    assert_eq!((status.state.as_str(), status.url.as_str()), ("Warning", URL));
    assert_eq!(status.observed_generation, before.observed_generation, "the spec is not carried out");
    assert_eq!(brief(&status, Stalled), "True PredecessorRunning");
    assert!(message(&status, Stalled).ends_with("kubectl delete pod -n kyma-system old-a"));
    assert_eq!(brief(&status, Ready), "False PredecessorRunning");
    assert_eq!(condition(&status, Available), condition(&before, Available));
    assert_eq!(
        events.iter().map(|event| (event.is_warning, event.reason)).collect::<Vec<_>>(),
        [(true, nats_manager_api::Reason::PredecessorRunning)]
    );
    assert_eq!(reported(&status, "old-a", 200), (status.clone(), Vec::new()));
    assert_eq!(reported(&status, "old-b", 200).1.len(), 1, "another Pod");

    let (resumed, events) = World { generation: 2, ..World::healthy(3) }.after(&status, 300);
    assert_eq!((resumed.state.as_str(), resumed.observed_generation), ("Ready", Some(2)));
    assert_eq!((brief(&resumed, Stalled).as_str(), events), ("False NotBlocked", Vec::new()));
}

#[test]
fn predecessor_changes_only_the_state_ready() {
    for (state, expected) in [
        ("", "Processing"),
        ("Ready", "Warning"),
        ("Processing", "Processing"),
        ("Deleting", "Deleting"),
        ("Error", "Error"),
    ] {
        let old = NatsStatus { state: state.to_owned(), ..NatsStatus::default() };
        assert_eq!(reported(&old, "old", 40).0.state, expected, "{state}");
    }
}
