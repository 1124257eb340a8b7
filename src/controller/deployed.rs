//! What is deployed, as the StatefulSet tells, or else the volumes.
//!
//! Anybody may write what is read here. Lists are made of the numbers of servers, so one that no
//! resource allows counts as none.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim};
use kube::ResourceExt;
use nats_manager_api::{Amount, Bytes, Deployed, FileStore, NamespacedName, Resizing, Spread, naming, rules::MAX_SIZE};

use super::claims;

/// What a StatefulSet says of the cluster. One scaled to nothing does not tell its size: then the
/// claims do.
pub(super) fn by_stateful_set(stateful_set: &StatefulSet) -> Option<Deployed> {
    let spec = stateful_set.spec.as_ref()?;
    let file_store = match spec.volume_claim_templates.as_ref().and_then(|templates| templates.first()) {
        Some(template) => volume(template)?,
        None => FileStore::MemoryOnly,
    };
    let annotation = |key| stateful_set.annotations().get(key).map(String::as_str);
    // Anybody may scale a StatefulSet; what the servers were configured for is what we wrote down.
    let noted = |key| annotation(key).and_then(|size| size.parse().ok()).and_then(possible);
    let size = noted(naming::SIZE).or_else(|| u32::try_from(spec.replicas?).ok().and_then(possible))?;
    let pod_annotation = |key| spec.template.metadata.as_ref()?.annotations.as_ref()?.get(key);
    let bytes = |text: &str| text.parse().ok().map(Bytes::new);
    Some(Deployed {
        size,
        file_store,
        spread: Spread::parse(annotation(naming::SPREAD)),
        memory_store: annotation(naming::MEMORY_STORE).and_then(bytes),
        restarted_for_memory_store: pod_annotation(naming::RESTARTED_FOR_MEMORY_STORE).and_then(|text| bytes(text)),
        resizing: Resizing {
            leaving_from: noted(naming::LEAVING_FROM),
            removed_at: annotation(naming::SERVERS_REMOVED_AT).and_then(|seconds| seconds.parse().ok()),
        },
    })
}

/// What the volumes say of a cluster whose StatefulSet is gone.
pub(super) fn by_claims(claims: &[PersistentVolumeClaim], id: &NamespacedName) -> Option<Deployed> {
    let ordinals = claims.iter().filter_map(|claim| claims::ordinal(claim, id));
    let sizes = ordinals.filter_map(|ordinal| possible(ordinal.checked_add(1)?));
    Some(Deployed {
        size: sizes.max()?,
        file_store: claims.iter().find_map(volume)?,
        spread: Spread::Soft,
        memory_store: None,
        restarted_for_memory_store: None,
        resizing: Resizing::default(),
    })
}

/// A number of servers that there may be.
fn possible(size: u32) -> Option<u32> {
    (1..=MAX_SIZE).contains(&i64::from(size)).then_some(size)
}

fn volume(claim: &PersistentVolumeClaim) -> Option<FileStore> {
    let spec = claim.spec.as_ref()?;
    let storage = spec.resources.as_ref()?.requests.as_ref()?.get("storage")?;
    let size = Amount::parse(&storage.0).ok()?.bytes_rounded_up()?;
    Some(FileStore::Volume { size, class: spec.storage_class_name.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claim(name: &str) -> PersistentVolumeClaim {
        let spec = json!({"resources": {"requests": {"storage": "1Gi"}}});
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_number_of_servers_that_cannot_be_is_none() {
        let deployed = |replicas: i64, size: Option<&str>, leaving_from: Option<&str>| {
            let annotations = json!({naming::SIZE: size, naming::LEAVING_FROM: leaving_from});
            let mut set = json!({
                "metadata": {"annotations": annotations},
                "spec": {"replicas": replicas, "selector": {}, "serviceName": "n", "template": {}},
            });
            set["metadata"]["annotations"].as_object_mut().unwrap().retain(|_, value| !value.is_null());
            let deployed = by_stateful_set(&serde_json::from_value(set).unwrap());
            deployed.map(|deployed| (deployed.size, deployed.resizing.leaving_from))
        };
        for (replicas, size, leaving_from, expected) in [
            (5, Some("3"), Some("5"), Some((3, Some(5)))),
            (2_000_000_000, Some("3"), None, Some((3, None))),
            (3, Some("4000000000"), Some("4000000000"), Some((3, None))),
            (3, Some("100"), Some("100"), Some((3, None))),
            (3, Some("0"), None, Some((3, None))),
            (99, None, None, Some((99, None))),
            (100, None, None, None),
            (0, None, None, None),
        ] {
            assert_eq!(deployed(replicas, size, leaving_from), expected, "{replicas} {size:?} {leaving_from:?}");
        }
    }

    #[test]
    fn a_claim_of_a_server_that_cannot_be_tells_nothing() {
        let id = NamespacedName::new("kyma-system", "n");
        let size = |ordinals: &[&str]| {
            let claims: Vec<_> = ordinals.iter().map(|ordinal| claim(&format!("n-js-pvc-n-{ordinal}"))).collect();
            by_claims(&claims, &id).map(|deployed| deployed.size)
        };
        assert_eq!(size(&["0", "2", "4294967295", "99", "x"]), Some(3));
        assert_eq!(size(&["98"]), Some(99));
        assert_eq!(size(&["4000000000"]), None);
    }
}
