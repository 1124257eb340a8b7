//! Watch of the servers' PVCs: by their exact names, whatever their labels.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimStatus};
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, reflector, watcher::Event},
};
use nats_manager_api::{NamespacedName, naming};

use super::task::{WatchTask, events, mostly_others, trigger_of_change};

pub(super) async fn watch_pvcs(
    task: WatchTask,
    api: Api<PersistentVolumeClaim>,
    id: NamespacedName,
    mut writer: reflector::store::Writer<PersistentVolumeClaim>,
) {
    let events = events(api, mostly_others()).modify(keep_needed_fields);
    task.run(events, move |event| {
        let is_foreign = |pvc: &PersistentVolumeClaim| id.pvc_ordinal(&pvc.name_any()).is_none();
        match &event {
            Event::Apply(pvc) | Event::Delete(pvc) | Event::InitApply(pvc) if is_foreign(pvc) => return None,
            event => writer.apply_watcher_event(event),
        }
        trigger_of_change(&event)
    })
    .await;
}

/// Keeps identity, age, size and expansion of a PVC, and a request to replace its server.
fn keep_needed_fields(pvc: &mut PersistentVolumeClaim) {
    pvc.annotations_mut().retain(|name, _| name == naming::REPLACE_SERVER);
    pvc.labels_mut().clear();
    if let Some(status) = &mut pvc.status {
        *status = PersistentVolumeClaimStatus {
            capacity: status.capacity.take(),
            conditions: status.conditions.take(),
            allocated_resource_statuses: status.allocated_resource_statuses.take(),
            ..PersistentVolumeClaimStatus::default()
        };
    }
}
