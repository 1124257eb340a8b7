//! Labels of the objects in the manifests.

use nats_manager_api::naming::{self, MODULE_LABEL};
use serde_json::Value;

use super::{kustomize, of_kind};

/// Recommended labels of Kubernetes, whose values are the same everywhere.
const COMMON: [(&str, &str); 6] = [
    (MODULE_LABEL.0, MODULE_LABEL.1),
    ("app.kubernetes.io/name", "nats-manager"),
    ("app.kubernetes.io/instance", "nats-manager"),
    ("app.kubernetes.io/version", env!("CARGO_PKG_VERSION")),
    ("app.kubernetes.io/part-of", "nats-manager"),
    ("app.kubernetes.io/managed-by", "kustomize"),
];

fn assert_labels(metadata: &Value, subject: &str) {
    for (key, value) in COMMON {
        assert_eq!(metadata["labels"][key], value, "{subject}: {key}");
    }
    let component = metadata["labels"]["app.kubernetes.io/component"].as_str();
    assert!(component.is_some_and(|component| !component.is_empty()), "{subject}");
}

#[tokio::test]
async fn every_object_of_the_manifests_has_the_labels_of_the_module() {
    let mut checked = 0;
    for folder in ["default", "namespace", "certmanager", "webhook", "webhook-policy", "monitoring"] {
        for object in kustomize(folder).await {
            assert_labels(&object["metadata"], &format!("{folder}: {} {}", object["kind"], object["metadata"]["name"]));
            checked += 1;
        }
    }
    assert!(checked > 80, "{checked}");
}

#[tokio::test]
async fn pods_of_the_manager_have_the_labels_of_the_module_and_the_selector_stays() {
    for folder in ["default", "certmanager"] {
        let objects = kustomize(folder).await;
        let deployment = of_kind(&objects, "Deployment")[0];
        assert_labels(&deployment["spec"]["template"]["metadata"], folder);
        assert_eq!(deployment["spec"]["selector"], serde_json::json!({"matchLabels": {"control-plane": "manager"}}));
        assert_eq!(deployment["spec"]["template"]["metadata"]["labels"]["control-plane"], "manager");
    }
}

#[test]
fn objects_created_at_run_time_have_the_label_of_the_module() {
    let id = naming::NamespacedName::new("kyma-system", "eventing-nats");
    for labels in [id.labels(), id.pod_labels(), naming::webhook_labels()] {
        assert_eq!(labels.get(MODULE_LABEL.0).map(String::as_str), Some(MODULE_LABEL.1), "{labels:?}");
    }
    assert!(!id.selector().contains_key(MODULE_LABEL.0), "selectors are immutable");
    assert_eq!(id.labels().get("helm.sh/chart").map(String::as_str), Some("nats-0.17.3"), "clients select on it");
}
