//! Volumes that expand as their StorageClass says.

use std::process::Command;

use k8s_openapi::api::{
    core::v1::{PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use nats_manager_harness::{RealCluster, Seen, eventually};
use serde_json::{Value, json};

use super::{SOON, becomes_ready, create, pod, real};

#[test]
fn volumes_expand_as_their_class_says() {
    real(async |cluster| {
        let volumes = Volumes::new(cluster).await;
        for class in ["expands-online", "expands-at-restart", "expansion-fails", "standard"] {
            volumes.mount(class).await;
        }
        for class in ["expands-online", "expands-at-restart", "expansion-fails"] {
            volumes.raise(class).await.unwrap();
        }
        let rejected = volumes.raise("standard").await.unwrap_err().to_string();
        assert!(rejected.contains("the storageclass that provisions the pvc must support resize"), "{rejected}");

        let before = volumes.pods.get("expands-online").await.unwrap();
        volumes.becomes("expands-online", "1Gi", "").await;
        assert!(volumes.file_system("expands-online").await > 900 << 20);
        assert_eq!(volumes.pods.get("expands-online").await.unwrap().uid(), before.uid());

        volumes.becomes("expands-at-restart", "512Mi", "NodeResizePending").await;
        assert!(volumes.file_system("expands-at-restart").await < 512 << 20);
        volumes.pods.delete("expands-at-restart", &DeleteParams::default().grace_period(1)).await.unwrap();
        volumes.becomes("expands-at-restart", "1Gi", "").await;
        assert!(volumes.file_system("expands-at-restart").await > 900 << 20);

        volumes.becomes("expansion-fails", "512Mi", "ControllerResizeInfeasible").await;
        eventually("the failure is an event", SOON, || async {
            let output = cluster.kubectl().args(["get", "events"]).output().await.unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if text.contains("VolumeResizeFailed") { Ok(true) } else { Err(text) }
        })
        .await;
        volumes.set_expansion("expansion-fails", "online").await;
        volumes.becomes("expansion-fails", "1Gi", "").await;
        volumes.set_expansion("expansion-fails", "fails").await;
        volumes.delete().await;
    });
}

/// Pods with a volume of 512Mi, each of the class that is its name.
struct Volumes<'a> {
    cluster: &'a RealCluster,
    pods: Api<Pod>,
    pvcs: Api<PersistentVolumeClaim>,
    classes: Api<StorageClass>,
}

impl<'a> Volumes<'a> {
    async fn new(cluster: &'a RealCluster) -> Self {
        let client = cluster.client("test").await.unwrap();
        let (pods, pvcs) = (Api::default_namespaced(client.clone()), Api::default_namespaced(client.clone()));
        Self { cluster, pods, pvcs, classes: Api::all(client) }
    }

    /// Creates PVC and Pod.
    async fn mount(&self, class: &str) {
        let [pvc, pod] = mounting_pod(class);
        create(&self.pvcs, pvc).await;
        create(&self.pods, pod).await;
        becomes_ready(&self.pods, class).await;
    }

    /// Requests 1Gi.
    async fn raise(&self, class: &str) -> kube::Result<PersistentVolumeClaim> {
        let patch = json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}});
        self.pvcs.patch(class, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// Waits for a capacity and a status of the expansion.
    async fn becomes(&self, class: &str, capacity: &str, progress: &str) {
        eventually(&format!("{class} has {capacity} {progress}"), SOON, || async {
            let status = self.pvcs.get(class).await?.status.unwrap_or_default();
            let found = status.capacity.as_ref().and_then(|all| all.get("storage")).map(|size| size.0.as_str());
            let reported = status.allocated_resource_statuses.as_ref().and_then(|all| all.get("storage"));
            let is_reported = reported.map_or("", String::as_str) == progress;
            Ok::<_, kube::Error>(if found == Some(capacity) && is_reported {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{status:?}"))
            })
        })
        .await;
    }

    /// Returns the size of the file system in bytes.
    async fn file_system(&self, class: &str) -> u64 {
        let volume = self.pvcs.get(class).await.unwrap().spec.unwrap().volume_name.unwrap();
        let path = self.cluster.folder().join("volumes").join(volume);
        let mounts = self.cluster.namespace().with_file_name("mnt");
        let mut stat = Command::new("nsenter");
        stat.arg(format!("--mount={}", mounts.display())).args(["stat", "--file-system", "--format=%b %S"]);
        let output = stat.arg(path).output().unwrap();
        let figures = String::from_utf8(output.stdout).unwrap();
        figures.split_whitespace().map(|figure| figure.parse::<u64>().unwrap()).product()
    }

    /// Sets how the volumes of a class expand.
    async fn set_expansion(&self, class: &str, expansion: &str) {
        let patch = json!({"metadata": {"annotations": {"nats-manager.local/expansion": expansion}}});
        self.classes.patch(class, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn delete(&self) {
        let soon = DeleteParams::default().grace_period(1);
        let _ = self.pods.delete_collection(&soon, &kube::api::ListParams::default()).await;
        let _ = self.pvcs.delete_collection(&soon, &kube::api::ListParams::default()).await;
    }
}

/// Returns a PVC of 512Mi and a pod that uses it. Both have the name of the StorageClass.
pub(super) fn mounting_pod(class: &str) -> [Value; 2] {
    let mut pod = pod(class, "");
    // A pod with a node has no need of the scheduler, which chooses the node of the volume.
    pod["spec"].as_object_mut().unwrap().remove("nodeName");
    pod["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": class}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let spec = json!({
        "storageClassName": class,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "512Mi"}},
    });
    let pvc = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": class},
        "spec": spec,
    });
    [pvc, pod]
}
