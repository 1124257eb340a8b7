//! The expansion of volumes, as PVCs and their events report it.
//!
//! The volume driver's side-car writes conditions and events, the kubelet the file system's
//! (`external-resizer/pkg/controller`, `pkg/volume/util/resize_util.go`). The error of the driver is in the condition
//! `ControllerResizeError` or `NodeResizeError` from Kubernetes 1.33 on, before that in an event only.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Event, PersistentVolumeClaimStatus},
    jiff::Timestamp,
};
use kube::{Api, Client, api::ListParams};
use nats_manager_api::NamespacedName;
use nats_manager_planner::actual::VolumeExpansion;

use super::{failed_create::last_observed, pods::to_time};

/// Reasons of events of a PVC whose expansion fails.
const FAILURES: [&str; 2] = ["VolumeResizeFailed", "FileSystemResizeFailed"];
/// Limit of the event list. More events are not read.
const MAX_EVENTS: u32 = 200;
/// Longest cause in bytes. The rest is cut off.
const MAX_CAUSE_BYTES: usize = 600;

/// Returns the expansion that the status of a PVC reports.
pub(super) fn expansion(status: &PersistentVolumeClaimStatus) -> VolumeExpansion {
    let conditions = || status.conditions.iter().flatten().filter(|condition| condition.status == "True");
    let failed = conditions().find(|one| matches!(one.type_.as_str(), "ControllerResizeError" | "NodeResizeError"));
    if let Some(failed) = failed {
        return VolumeExpansion::Failed { cause: failed.message.clone().map(bounded) };
    }
    let progress = status.allocated_resource_statuses.as_ref().and_then(|all| all.get("storage"));
    match progress.map(String::as_str) {
        Some("ControllerResizeInfeasible" | "NodeResizeInfeasible") => return VolumeExpansion::Failed { cause: None },
        Some("NodeResizeInProgress") => return VolumeExpansion::Unreported,
        _ => {}
    }
    conditions()
        .find(|condition| condition.type_ == "FileSystemResizePending")
        .and_then(|condition| condition.last_transition_time.as_ref())
        .map_or(VolumeExpansion::Unreported, |since| VolumeExpansion::FileSystemPending { since: to_time(since.0) })
}

/// Returns the newest cause for which each PVC does not grow, by uid. Events before `since` have another cause.
pub(crate) async fn failed_expansions(
    client: &Client,
    id: &NamespacedName,
    since: Timestamp,
) -> kube::Result<BTreeMap<String, String>> {
    let api: Api<Event> = Api::namespaced(client.clone(), &id.namespace);
    let fields = "involvedObject.kind=PersistentVolumeClaim,type=Warning";
    let events = api.list(&ListParams::default().fields(fields).limit(MAX_EVENTS)).await?.items;
    Ok(newest_failures(events, since))
}

fn newest_failures(events: Vec<Event>, since: Timestamp) -> BTreeMap<String, String> {
    let mut failures: Vec<(Timestamp, String, String)> = events
        .into_iter()
        .filter(|event| event.reason.as_deref().is_some_and(|reason| FAILURES.contains(&reason)))
        .filter_map(|event| Some((last_observed(&event)?, event.involved_object.uid?, event.message?)))
        .filter(|(observed, ..)| *observed >= since)
        .collect();
    failures.sort_by_key(|(observed, ..)| *observed);
    failures.into_iter().map(|(_, uid, message)| (uid, bounded(message))).collect()
}

fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_CAUSE_BYTES));
    text.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nats_manager_planner::Time;
    use serde_json::{Value, json};

    fn status(conditions: &Value, progress: &str) -> PersistentVolumeClaimStatus {
        let progress = if progress.is_empty() { json!({}) } else { json!({ "storage": progress }) };
        serde_json::from_value(json!({"conditions": conditions, "allocatedResourceStatuses": progress})).unwrap()
    }

    #[test]
    fn expansion_is_read_from_conditions_and_resource_statuses() {
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "message": "no room.", "lastTransitionTime": "1970-01-01T00:01:00Z"});
        let failed = |cause: Option<&str>| VolumeExpansion::Failed { cause: cause.map(str::to_owned) };
        let pending = VolumeExpansion::FileSystemPending { since: Time::from_millis(60_000) };
        let waits = || condition("FileSystemResizePending", "True");
        for (conditions, progress, expected) in [
            (json!([]), "", VolumeExpansion::Unreported),
            (json!([condition("Resizing", "True")]), "ControllerResizeInProgress", VolumeExpansion::Unreported),
            (json!([waits()]), "", pending.clone()),
            (json!([waits()]), "NodeResizePending", pending),
            (json!([waits()]), "NodeResizeInProgress", VolumeExpansion::Unreported),
            (json!([condition("FileSystemResizePending", "False")]), "", VolumeExpansion::Unreported),
            (
                json!([condition("ControllerResizeError", "True")]),
                "ControllerResizeInfeasible",
                failed(Some("no room")),
            ),
            (json!([waits(), condition("NodeResizeError", "True")]), "", failed(Some("no room"))),
            (json!([]), "ControllerResizeInfeasible", failed(None)),
        ] {
            assert_eq!(expansion(&status(&conditions, progress)), expected, "{conditions} {progress}");
        }
    }

    #[test]
    fn newest_failure_of_each_pvc_counts() {
        let event = |uid: &str, reason: &str, second: i64, message: &str| -> Event {
            let time = Timestamp::from_second(second).unwrap().to_string();
            serde_json::from_value(json!({
                "metadata": {}, "involvedObject": {"uid": uid}, "reason": reason, "message": message,
                "lastTimestamp": time,
            }))
            .unwrap()
        };
        let events = vec![
            event("a", "VolumeResizeFailed", 30, "second."),
            event("a", "VolumeResizeFailed", 20, "first"),
            event("b", "ProvisioningFailed", 20, "other"),
            event("c", "VolumeResizeFailed", 5, "old"),
        ];
        let failures = newest_failures(events, Timestamp::from_second(10).unwrap());
        assert_eq!(failures, [("a".to_owned(), "second".to_owned())].into());
    }
}
