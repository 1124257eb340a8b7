//! The expansion of volumes, as PVCs and their events report it.
//!
//! The volume driver's side-car writes conditions and events, the kubelet the file system's
//! (`external-resizer/pkg/controller`, `pkg/volume/util/resize_util.go`). The error of the driver is in the condition
//! `ControllerResizeError` or `NodeResizeError` from Kubernetes 1.33 on, before that in an event only.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Event, ObjectReference, PersistentVolumeClaimStatus},
    jiff::Timestamp,
};
use kube::{Api, Client, api::ListParams};
use nats_manager_api::NamespacedName;
use nats_manager_planner::actual::VolumeExpansion;

use super::{failed_create::last_observed, pods::to_time};

/// Reason of events of a PVC, and of the Pod that uses it, whose expansion fails. The kubelet reports the file system's
/// error at the Pod (`operation_generator.go`), the volume driver its own at the PVC.
const FAILURE: &str = "VolumeResizeFailed";
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
        Some("NodeResizeInProgress" | "ControllerResizeInProgress") => return VolumeExpansion::InProgress,
        _ => {}
    }
    let pending = conditions().find(|condition| condition.type_ == "FileSystemResizePending");
    if let Some(since) = pending.and_then(|condition| condition.last_transition_time.as_ref()) {
        return VolumeExpansion::FileSystemPending { since: to_time(since.0) };
    }
    let is_resizing = conditions().any(|condition| condition.type_ == "Resizing");
    if is_resizing { VolumeExpansion::InProgress } else { VolumeExpansion::Unreported }
}

/// Returns the newest cause for which the PVC of each ordinal does not grow. Events before `since` have another cause.
pub(crate) async fn failed_expansions(
    client: &Client,
    id: &NamespacedName,
    since: Timestamp,
) -> kube::Result<BTreeMap<u32, String>> {
    let api: Api<Event> = Api::namespaced(client.clone(), &id.namespace);
    let fields = format!("reason={FAILURE},type=Warning");
    let events = api.list(&ListParams::default().fields(&fields).limit(MAX_EVENTS)).await?.items;
    Ok(newest_failures(id, events, since))
}

fn newest_failures(id: &NamespacedName, events: Vec<Event>, since: Timestamp) -> BTreeMap<u32, String> {
    let mut failures: Vec<(Timestamp, u32, String)> = events
        .into_iter()
        .filter_map(|event| Some((last_observed(&event)?, ordinal(id, &event.involved_object)?, event.message?)))
        .filter(|(observed, ..)| *observed >= since)
        .collect();
    failures.sort_by_key(|(observed, ..)| *observed);
    failures.into_iter().map(|(_, ordinal, message)| (ordinal, bounded(message))).collect()
}

/// Returns the ordinal of the server whose PVC or Pod an event is about.
fn ordinal(id: &NamespacedName, object: &ObjectReference) -> Option<u32> {
    let name = object.name.as_deref()?;
    match object.kind.as_deref()? {
        "PersistentVolumeClaim" => id.pvc_ordinal(name),
        "Pod" => name.strip_prefix(id.name.as_str())?.strip_prefix('-')?.parse().ok(),
        _ => None,
    }
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
            (json!([condition("Resizing", "True")]), "", VolumeExpansion::InProgress),
            (json!([]), "ControllerResizeInProgress", VolumeExpansion::InProgress),
            (json!([waits()]), "", pending.clone()),
            (json!([waits()]), "NodeResizePending", pending),
            (json!([waits()]), "NodeResizeInProgress", VolumeExpansion::InProgress),
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
    fn newest_failure_of_each_server_counts() {
        let event = |kind: &str, name: &str, second: i64, message: &str| -> Event {
            let time = Timestamp::from_second(second).unwrap().to_string();
            serde_json::from_value(json!({
                "metadata": {}, "involvedObject": {"kind": kind, "name": name}, "reason": FAILURE, "message": message,
                "lastTimestamp": time,
            }))
            .unwrap()
        };
        let events = vec![
            event("PersistentVolumeClaim", "n-js-pvc-n-0", 30, "second."),
            event("PersistentVolumeClaim", "n-js-pvc-n-0", 20, "first"),
            event("PersistentVolumeClaim", "other", 20, "of another volume"),
            event("Pod", "n-1", 20, "resize2fs"),
            event("Pod", "n-2", 5, "old"),
        ];
        let id = NamespacedName::new("kyma-system", "n");
        let failures = newest_failures(&id, events, Timestamp::from_second(10).unwrap());
        assert_eq!(failures, [(0, "second".to_owned()), (1, "resize2fs".to_owned())].into());
    }
}
