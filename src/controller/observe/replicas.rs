//! Owner of the StatefulSet's replicas, from its `managedFields`.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;
use nats_manager_api::naming::{self, FIELD_MANAGER};

use crate::watch::owns_replicas;

/// Field manager of a `HorizontalPodAutoscaler`, which runs in that process.
const AUTOSCALER: (&str, &str) = ("kube-controller-manager", "scale");

/// Returns the field manager that changed the replicas of the StatefulSet, as a text. `None` while they are those that
/// NATS Manager applied, which are recorded in an annotation.
pub(crate) fn foreign_scaler(set: &StatefulSet) -> Option<String> {
    let replicas = set.spec.as_ref()?.replicas?;
    if set.annotations().get(naming::SIZE)? == &replicas.to_string() {
        return None;
    }
    let owners: Vec<_> = set.managed_fields().iter().filter(|entry| owns_replicas(entry)).collect();
    let is_own = |manager: Option<&str>| manager == Some(FIELD_MANAGER);
    if owners.iter().any(|entry| is_own(entry.manager.as_deref())) {
        return None;
    }
    let entry = owners.first()?;
    let manager = entry.manager.as_deref().unwrap_or("unknown");
    Some(match entry.subresource.as_deref() {
        Some(subresource) if (manager, subresource) == AUTOSCALER => {
            format!("{manager} (subresource {subresource}, such as a HorizontalPodAutoscaler)")
        }
        Some(subresource) if !subresource.is_empty() => format!("{manager} (subresource {subresource})"),
        _ => manager.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn scaler_is_the_owner_of_replicas_beside_nats_manager() {
        let entry = |manager: &str, subresource: &str, field: &str| json!({"manager": manager, "subresource": subresource, "fieldsV1": {"f:spec": {field: {}}}});
        let own = || entry("nats-manager", "", "f:replicas");
        for (entries, expected) in [
            (vec![], None),
            (vec![own()], None),
            (vec![own(), entry("kubectl", "scale", "f:replicas")], None),
            (vec![entry("kubectl", "", "f:template"), own()], None),
            (vec![entry("keda", "", "f:replicas")], Some("keda")),
            (
                vec![entry("nats-manager", "", "f:template"), entry("kubectl", "scale", "f:replicas")],
                Some("kubectl (subresource scale)"),
            ),
            (
                vec![entry("kube-controller-manager", "scale", "f:replicas")],
                Some("kube-controller-manager (subresource scale, such as a HorizontalPodAutoscaler)"),
            ),
        ] {
            let set = json!({
                "metadata": {"managedFields": entries, "annotations": {naming::SIZE: "3"}},
                "spec": {"replicas": 5, "selector": {}, "serviceName": "n", "template": {}},
            });
            let mut set: StatefulSet = serde_json::from_value(set).unwrap();
            assert_eq!(foreign_scaler(&set).as_deref(), expected, "{}", Value::from(entries));
            set.spec.as_mut().unwrap().replicas = Some(3);
            assert_eq!(foreign_scaler(&set), None, "nothing was changed");
        }
    }
}
