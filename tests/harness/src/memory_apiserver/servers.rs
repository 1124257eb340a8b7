//! Work of the controllers and kubelets of a cluster, done once: servers that run, and objects of others.
#![allow(clippy::unwrap_used, reason = "what tests share is a test too")]

use std::net::IpAddr;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Resource;
use nats_manager_api::NamespacedName;
use serde_json::{Value, json};

use super::MemoryApiserver;

/// Collections of the objects that this module stores.
pub const NATS: &str = "apis/operator.kyma-project.io/v1alpha1/nats";
/// See [`NATS`].
pub const STATEFUL_SETS: &str = "apis/apps/v1/statefulsets";
/// See [`NATS`].
pub const PODS: &str = "api/v1/pods";
const PVCS: &str = "api/v1/persistentvolumeclaims";
const NODES: &str = "api/v1/nodes";
/// Time at which servers have become ready.
const SINCE: &str = "2026-01-01T00:01:00Z";

impl MemoryApiserver {
    /// Starts all servers of the StatefulSet of a NATS resource: its status, its Pods, which are ready, and their PVCs.
    pub fn run_servers(&self, id: &NamespacedName, address: impl Fn(u32) -> IpAddr) {
        let mut set = self.get(STATEFUL_SETS, &id.namespace, &id.name).unwrap();
        let replicas = u32::try_from(set["spec"]["replicas"].as_u64().unwrap()).unwrap();
        set["status"] = json!({
            "observedGeneration": set["metadata"]["generation"], "replicas": replicas, "readyReplicas": replicas,
            "availableReplicas": replicas, "currentReplicas": replicas, "updatedReplicas": replicas,
            "currentRevision": "revision-1", "updateRevision": "revision-1",
        });
        let set = self.put(STATEFUL_SETS, set);
        for ordinal in 0..replicas {
            self.put(PODS, pod(&set, &id.server(ordinal), ordinal, address(ordinal)));
            let template = &set["spec"]["volumeClaimTemplates"][0]["spec"];
            let metadata = json!({"namespace": id.namespace, "name": id.pvc(ordinal)});
            let status = json!({"phase": "Bound", "capacity": template["resources"]["requests"]});
            self.put(PVCS, json!({"metadata": metadata, "spec": template, "status": status}));
        }
    }

    /// Stores nodes, each of some 5 KB as in a Gardener cluster, in three zones in turn.
    pub fn put_nodes(&self, count: usize) {
        for index in 0..count {
            let name = format!("node-{index}");
            let labels = json!({
                "topology.kubernetes.io/zone": format!("zone-{}", index % 3), "topology.kubernetes.io/region": "region",
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                "node.kubernetes.io/instance-type": "m5.large", "worker.gardener.cloud/pool": "worker",
            });
            let metadata = json!({
                "name": name, "labels": labels, "annotations": {"node.alpha.kubernetes.io/ttl": "0", "text": filler(512)},
                "managedFields": [managed("kubelet"), managed("kube-controller-manager"), managed("cloud")],
            });
            let status = json!({"capacity": {"cpu": "2", "pods": "110"}, "images": [{"names": [filler(1024)]}]});
            self.put(NODES, json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}));
        }
    }

    /// Stores Pods of others in a namespace, each of some 4 KB.
    pub fn put_other_pods(&self, namespace: &str, count: usize) {
        for index in 0..count {
            let metadata = json!({
                "namespace": namespace, "name": format!("other-{index}"), "labels": {"app": "other"},
                "managedFields": [managed("kube-controller-manager"), managed("kubelet")],
            });
            let containers =
                json!([{"name": "other", "image": "other:1", "env": [{"name": "TEXT", "value": filler(512)}]}]);
            let spec = json!({"nodeName": "node-0", "serviceAccountName": "default", "containers": containers});
            let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status});
            self.put(PODS, pod);
        }
    }
}

fn pod(set: &Value, name: &str, ordinal: u32, address: IpAddr) -> Value {
    let typed: StatefulSet = serde_json::from_value(set.clone()).unwrap();
    let template = &set["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    metadata["namespace"] = set["metadata"]["namespace"].clone();
    metadata["name"] = json!(name);
    metadata["labels"]["controller-revision-hash"] = json!("revision-1");
    metadata["ownerReferences"] = json!([typed.controller_owner_ref(&())]);
    let mut spec = template["spec"].clone();
    spec["nodeName"] = json!(format!("node-{ordinal}"));
    let containers = typed.spec.unwrap().template.spec.unwrap().containers.into_iter().map(|container| {
        json!({
            "name": container.name, "image": container.image, "imageID": "", "ready": true, "started": true,
            "restartCount": 0, "state": {"running": {"startedAt": SINCE}},
        })
    });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec,
        "status": {
            "phase": "Running", "podIP": address,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": SINCE}],
            "containerStatuses": containers.collect::<Vec<_>>(),
        },
    })
}

/// Returns an entry of `managedFields` of some 1 KB.
fn managed(manager: &str) -> Value {
    let fields: Value =
        (0..40).map(|index| (format!("f:field-{index}"), json!({}))).collect::<serde_json::Map<_, _>>().into();
    json!({
        "manager": manager, "operation": "Update", "apiVersion": "v1", "time": SINCE, "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:annotations": fields}},
    })
}

fn filler(bytes: usize) -> String {
    "text ".repeat(bytes / 5)
}
