use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::*;
use crate::watch::keep_needed_fields;

const NOW: &str = "2026-02-03T04:05:00Z";

/// Returns a Pod as the watch cache has it. `state` is that of its container, `ready` its condition, and `end` the
/// second relative to [`NOW`] at which its grace period ends.
fn pod(phase: &str, state: &str, ready: &str, end: Option<i64>) -> Pod {
    let now: Timestamp = NOW.parse().unwrap();
    let container = json!({"name": "a", "image": "a", "imageID": "", "ready": true, "restartCount": 0});
    let mut container = container.as_object().unwrap().clone();
    let details = if state == "terminated" { json!({"exitCode": 0}) } else { json!({}) };
    container.insert("state".to_owned(), json!({state: details}));
    let mut pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": "old",
            "deletionTimestamp": end.map(|second| (now + SignedDuration::from_secs(second)).to_string()),
        },
        "spec": {"nodeName": "node-a", "containers": [{"name": "a", "image": "a"}]},
        "status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [container],
        },
    }))
    .unwrap();
    keep_needed_fields(&mut pod);
    pod
}

#[test]
fn only_pod_with_running_container_on_reachable_node_may_write() {
    let init_container_runs = |mut pod: Pod| {
        let status = pod.status.as_mut().unwrap();
        status.init_container_statuses = status.container_statuses.take();
        pod
    };
    let node_lost = |mut pod: Pod| {
        pod.status.as_mut().unwrap().reason = Some("NodeLost".to_owned());
        pod
    };
    let runs = |ready, end| pod("Running", "running", ready, end);
    let cases = vec![
        ("no status", Pod { status: None, ..runs("True", None) }, false),
        ("not started, as a copy for debugging may be", pod("Pending", "waiting", "False", None), false),
        ("only an init container runs", init_container_runs(pod("Pending", "running", "False", None)), false),
        ("runs", runs("True", None), true),
        ("runs, not ready", runs("False", None), true),
        ("its containers have ended", pod("Running", "terminated", "False", None), false),
        ("evicted, with an outdated container", pod("Failed", "running", "False", None), false),
        ("within its grace period", runs("False", Some(10)), true),
        ("ends slowly", runs("False", Some(-29)), true),
        ("unreachable node", runs("False", Some(-30)), false),
        ("unreachable node, condition Unknown", runs("Unknown", Some(-30)), false),
        ("its kubelet reports and does not end it", runs("True", Some(-3600)), true),
        ("node lost", node_lost(runs("True", Some(10))), false),
        ("node lost, not terminating", node_lost(runs("False", None)), true),
    ];
    for (case, pod, expected) in cases {
        let expected = expected.then(|| "old".to_owned());
        assert_eq!(running([&pod], NOW.parse().unwrap()), expected, "{case}");
    }
}

#[test]
fn wait_is_reported_after_30_seconds_and_at_most_once_a_minute() {
    let predecessors = Predecessors::new(Metrics::new());
    let begin = Instant::now();
    let at = |second| begin + Duration::from_secs(second);
    // second, running Pod, delay until the next check in seconds, whether it is reported
    let steps = [
        (0, None, None, false),
        (10, Some("old-a"), Some(10), false),
        (25, Some("old-a"), Some(10), false),
        (37, Some("old-a"), Some(3), false),
        (40, Some("old-a"), Some(10), true),
        (41, Some("old-a"), Some(10), false),
        (99, Some("old-b"), Some(10), false),
        (100, Some("old-b"), Some(10), true),
        (101, None, None, false),
        (102, Some("old-b"), Some(10), false),
        (132, Some("old-b"), Some(10), true),
    ];
    for (second, pod, check_in, is_reported) in steps {
        let now = at(second);
        assert_eq!(predecessors.record(pod, now), check_in.map(Duration::from_secs), "second {second}");
        assert_eq!(predecessors.take_report(now), is_reported, "second {second}");
        let metric = format!("nats_manager_predecessor_running {}", u8::from(pod.is_some()));
        assert!(predecessors.metrics.encode().unwrap().contains(&metric), "second {second}");
    }
}
