//! The deployed cluster as far as it restricts the spec: from the StatefulSet, or from the PVCs without one.

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::ResourceExt;
use nats_manager_api::{Bytes, DeployedCluster, FileStore, Spread, naming, rules::MAX_SIZE};

use super::actual::requested_size;

/// Returns the cluster that a StatefulSet deploys. `None` for a StatefulSet with 0 replicas and no recorded size: its
/// PVCs show more.
pub(super) fn from_stateful_set(stateful_set: &StatefulSet) -> Option<DeployedCluster> {
    let spec = stateful_set.spec.as_ref()?;
    let file_store = match spec.volume_claim_templates.as_ref().and_then(|templates| templates.first()) {
        Some(template) => FileStore::Volume { size: requested_size(template)?, class: class(template) },
        None => FileStore::MemoryOnly,
    };
    let annotation = |key| stateful_set.annotations().get(key).map(String::as_str);
    let recorded = annotation(naming::SIZE).and_then(|size| size.parse().ok()).and_then(in_range);
    let scaled = || spec.replicas.and_then(|replicas| u32::try_from(replicas).ok()).filter(|replicas| *replicas > 0);
    let size = recorded.or_else(|| Some(scaled()?.min(u32::try_from(MAX_SIZE).ok()?)))?;
    let pod_annotation = |key| spec.template.metadata.as_ref()?.annotations.as_ref()?.get(key);
    let bytes = |text: &str| text.parse().ok().map(Bytes::new);
    Some(DeployedCluster {
        size,
        file_store,
        spread: Spread::parse(annotation(naming::SPREAD)),
        memory_store: annotation(naming::MEMORY_STORE).and_then(bytes),
        restarted_for_memory_store: pod_annotation(naming::RESTARTED_FOR_MEMORY_STORE).and_then(|text| bytes(text)),
    })
}

/// Returns the cluster that the PVCs of a deleted StatefulSet were created for. The smallest PVC decides, since the
/// store limit must fit each of them. PVCs that are terminating belong to an earlier resource.
pub(super) fn from_pvcs(pvcs: &[Arc<PersistentVolumeClaim>]) -> Option<DeployedCluster> {
    let kept = || pvcs.iter().filter(|pvc| pvc.metadata.deletion_timestamp.is_none());
    let smallest = kept().filter_map(|pvc| Some((requested_size(pvc)?, class(pvc)))).min_by_key(|(size, _)| *size)?;
    Some(DeployedCluster {
        size: u32::try_from(kept().count()).ok().and_then(in_range)?,
        file_store: FileStore::Volume { size: smallest.0, class: smallest.1 },
        spread: Spread::Soft,
        memory_store: None,
        restarted_for_memory_store: None,
    })
}

/// Returns the cluster with what else decides on the Pod template, from a Pod that was created from it: without that, a
/// StatefulSet that is created again around its Pods would restart them.
pub(super) fn with_template_of(deployed: DeployedCluster, pod: Option<&Pod>) -> DeployedCluster {
    let Some(pod) = pod else { return deployed };
    let mut constraints = pod.spec.iter().filter_map(|spec| spec.topology_spread_constraints.as_ref()).flatten();
    let is_hard = constraints.any(|constraint| constraint.when_unsatisfiable == "DoNotSchedule");
    let restarted_for = pod.annotations().get(naming::RESTARTED_FOR_MEMORY_STORE).and_then(|text| text.parse().ok());
    DeployedCluster {
        spread: if is_hard { Spread::Hard } else { Spread::Soft },
        restarted_for_memory_store: restarted_for.map(Bytes::new),
        ..deployed
    }
}

fn class(pvc: &PersistentVolumeClaim) -> Option<String> {
    pvc.spec.as_ref()?.storage_class_name.clone()
}

/// Returns the number of servers if it is between 1 and [`MAX_SIZE`].
fn in_range(size: u32) -> Option<u32> {
    (1..=MAX_SIZE).contains(&i64::from(size)).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pvc(name: &str, size: &str, terminating: bool) -> Arc<PersistentVolumeClaim> {
        let mut metadata = json!({"name": name});
        if terminating {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let spec = json!({"resources": {"requests": {"storage": size}}, "storageClassName": "fast"});
        Arc::new(serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap())
    }

    #[test]
    fn out_of_range_size_annotation_is_ignored() {
        let deployed = |replicas: i64, size: Option<&str>| {
            let mut set = json!({
                "metadata": {"annotations": {naming::SIZE: size}},
                "spec": {"replicas": replicas, "selector": {}, "serviceName": "n", "template": {}},
            });
            set["metadata"]["annotations"].as_object_mut().unwrap().retain(|_, value| !value.is_null());
            from_stateful_set(&serde_json::from_value(set).unwrap()).map(|deployed| deployed.size)
        };
        for (replicas, size, expected) in [
            (5, Some("3"), Some(3)),
            (2_000_000_000, Some("3"), Some(3)),
            (3, Some("4000000000"), Some(3)),
            (3, Some("100"), Some(3)),
            (3, Some("0"), Some(3)),
            (99, None, Some(99)),
            (100, None, Some(99)),
            (2_000_000_000, Some("2000000000"), Some(99)),
            (0, None, None),
        ] {
            assert_eq!(deployed(replicas, size), expected, "{replicas} {size:?}");
        }
    }

    #[test]
    fn smallest_pvc_that_is_not_terminating_decides() {
        let deployed = from_pvcs(&[pvc("a", "2Gi", false), pvc("b", "1Gi", false), pvc("c", "512Mi", true)]).unwrap();
        let class = Some("fast".to_owned());
        assert_eq!((deployed.size, deployed.file_store), (2, FileStore::Volume { size: Bytes::gibi(1), class }));
        assert_eq!(from_pvcs(&[pvc("a", "1Gi", true)]), None);
    }
}
