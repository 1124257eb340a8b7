use super::*;

fn lines(metrics: &Metrics) -> Vec<String> {
    metrics.encode().unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn encoded_metrics_have_names_and_values() {
    let metrics = Metrics::new();
    metrics.set_availability_zones_used(3);
    metrics.set_nats_nodes(5);
    metrics.set_state(Some("Ready"));
    metrics.set_state(Some("Warning"));
    metrics.set_leader(true);
    metrics.watch_restarted("statefulsets");
    metrics.request_answered(&RequestLabels { verb: "apply", resource: "secrets".into(), code: "200".into() });
    metrics.reconcile_started().finish(ReconcileOutcome::Success);
    let failing = metrics.reconcile_started();
    let expected = [
        "nats_manager_availability_zones_used_count 3",
        "nats_manager_cr_nats_nodes_count 5",
        "nats_manager_cr_state{state=\"Warning\"} 1",
        "nats_manager_cr_state{state=\"Ready\"} 0",
        "nats_manager_leader 1",
        "nats_manager_watch_restarts_total{resource=\"statefulsets\"} 1",
        "nats_manager_apiserver_requests_total{verb=\"apply\",resource=\"secrets\",code=\"200\"} 1",
        "nats_manager_reconciles_total{outcome=\"success\"} 1",
        "nats_manager_reconcile_duration_seconds_count 1",
        "nats_manager_reconciles_in_flight 1",
        "# TYPE nats_manager_availability_zones_used_count gauge",
    ];
    let text = lines(&metrics);
    for line in expected {
        assert!(text.iter().any(|found| found == line), "{line} in {text:#?}");
    }
    assert!(text.iter().any(|line| line.starts_with("nats_manager_build_info{version=\"")), "{text:#?}");
    assert_eq!(text.last().map(String::as_str), Some("# EOF"));

    failing.finish(ReconcileOutcome::Error);
    drop(metrics.reconcile_started());
    let text = lines(&metrics);
    assert!(text.contains(&"nats_manager_reconciles_total{outcome=\"error\"} 1".to_owned()));
    assert!(text.contains(&"nats_manager_reconciles_in_flight 0".to_owned()));
    assert!(text.contains(&"nats_manager_reconcile_duration_seconds_count 2".to_owned()));
}

#[test]
fn removed_servers_have_no_metrics() {
    use std::sync::Arc;

    use nats_manager_planner::{
        Time,
        actual::ActualState,
        health::{Assessment, Issue, IssueKind},
        snapshot::{ServerSnapshot, StoreUsage, StreamId},
        testing::{snapshot, unreachable},
    };

    let file = StoreUsage { used: 7, reserved: 8, limit: 9 };
    let snapshot = Arc::new(snapshot([Ok(ServerSnapshot { file, ..ServerSnapshot::default() }), unreachable()]));
    let metrics = Metrics::new();
    let mut assessment = Assessment::next(None, snapshot, &ActualState::default());
    let kind = IssueKind::NoStreamLeader { stream: StreamId::default() };
    assessment.issues.push(Issue { kind, since: Time::default() });
    metrics.0.jetstream.show(&assessment);
    let text = lines(&metrics);
    for line in [
        "nats_manager_jetstream_server_up{server=\"n-0\"} 1",
        "nats_manager_jetstream_server_up{server=\"n-1\"} 0",
        "nats_manager_jetstream_server_healthy{server=\"n-0\"} 0",
        "nats_manager_jetstream_healthy 0",
        "nats_manager_jetstream_streams_without_leader 1",
        "nats_manager_jetstream_store_used_bytes{server=\"n-0\",store=\"file\"} 7",
        "nats_manager_jetstream_store_reserved_bytes{server=\"n-0\",store=\"file\"} 8",
        "nats_manager_jetstream_store_limit_bytes{server=\"n-0\",store=\"file\"} 9",
    ] {
        assert!(text.iter().any(|found| found == line), "{line} in {text:#?}");
    }
    metrics.clear_cluster();
    assert!(!lines(&metrics).iter().any(|line| line.contains("n-0")));
    assert!(lines(&metrics).contains(&"nats_manager_jetstream_streams_without_leader 0".to_owned()));
}

#[test]
fn conditions_have_one_series_each_with_the_present_status_and_reason() {
    use k8s_openapi::jiff::Timestamp;

    let condition = |kind: &str, status: &str, reason: &str| Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: "moving text".to_owned(),
        last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH),
        observed_generation: None,
    };
    let series = |metrics: &Metrics| {
        let lines = lines(metrics).into_iter();
        lines.filter(|line| line.starts_with("nats_manager_condition{")).collect::<std::collections::BTreeSet<_>>()
    };
    let metrics = Metrics::new();
    metrics.set_conditions(&[condition("Available", "True", "Deployed"), condition("Ready", "True", "Ready")]);
    assert_eq!(series(&metrics).len(), 2);
    metrics.set_conditions(&[condition("Available", "False", "QuorumLost"), condition("Ready", "True", "Ready")]);
    let expected = [
        "nats_manager_condition{type=\"Available\",status=\"False\",reason=\"QuorumLost\"} 1",
        "nats_manager_condition{type=\"Ready\",status=\"True\",reason=\"Ready\"} 1",
    ];
    assert_eq!(series(&metrics), expected.map(str::to_owned).into());
    metrics.clear_cluster();
    assert!(series(&metrics).is_empty());
}
