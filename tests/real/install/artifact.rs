//! Release artifacts, applied and pruned as the Kyma lifecycle manager does.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use futures::future::join_all;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use nats_manager_harness::{Seen, documented, eventually, real::IMAGES};
use serde_json::{Value, json};

use crate::world::{SOON, World};

/// Name of the manager image in the artifact. Names of other images are rewritten to those that the nodes have, as the
/// Kyma lifecycle manager does.
const MANAGER_IMAGE: &str = "docker.io/library/nats-manager:latest";

/// Artifacts of a release of the module.
pub struct Artifact {
    /// Objects of `nats-manager.yaml`.
    pub objects: Vec<DynamicObject>,
    /// Path of `nats-manager.yaml`.
    pub manifest: PathBuf,
    /// Path of `nats-default-cr.yaml`.
    pub default_resource: PathBuf,
}

/// Builds the image, which takes minutes at first. Call it from outside of the network of the cluster.
pub fn build_image() {
    in_checkout("run: image", "");
}

impl Artifact {
    /// Builds the artifacts and loads the image into the nodes.
    pub async fn new(world: &World<'_>) -> Self {
        let folder = world.cluster.folder().join("release");
        in_checkout("run: manifests", &format!(" --output {}", folder.display()));
        let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/image/nats-manager.tar");
        world.cluster.load_image(&image).await.unwrap();

        let manifest = folder.join("nats-manager.yaml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let mut objects: Vec<DynamicObject> =
            text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect();
        objects.iter_mut().for_each(rewrite_images);
        let documents: Vec<String> = objects.iter().map(|object| serde_json::to_string(object).unwrap()).collect();
        // JSON is YAML.
        std::fs::write(&manifest, documents.join("\n---\n")).unwrap();
        Self { objects, manifest, default_resource: folder.join("nats-default-cr.yaml") }
    }

    /// Applies all objects at once, in no order, by force and with additional labels and annotations, as the Kyma
    /// lifecycle manager does. Repeats until all of them are accepted.
    pub async fn apply_as_lifecycle_manager(&self, client: &Client) {
        let owned: Vec<DynamicObject> = self.objects.iter().cloned().map(with_kyma_metadata).collect();
        eventually("the manifest is applied", SOON, || async {
            let applied = owned.iter().rev().map(|object| apply(client, object));
            let errors: Vec<String> =
                join_all(applied).await.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
            Ok::<_, kube::Error>(if errors.is_empty() { Seen::Done(()) } else { Seen::NotYet(errors.join("; ")) })
        })
        .await;
    }

    /// Deletes all objects at once, and waits until they are gone.
    pub async fn prune(&self, client: &Client) {
        join_all(self.objects.iter().map(|object| async move {
            let _ = api(client, object).delete(&object.name_any(), &DeleteParams::background()).await;
        }))
        .await;
        eventually("the manifest is pruned", SOON, || async {
            let remaining = self.remaining(client).await?;
            Ok::<_, kube::Error>(if remaining.is_empty() { Seen::Done(()) } else { Seen::NotYet(remaining.join(", ")) })
        })
        .await;
    }

    /// Returns kind and name of the objects that exist.
    pub async fn remaining(&self, client: &Client) -> kube::Result<Vec<String>> {
        let mut remaining = Vec::new();
        for object in &self.objects {
            if api(client, object).get_opt(&object.name_any()).await?.is_some() {
                remaining.push(format!("{} {}", object.types.as_ref().unwrap().kind, object.name_any()));
            }
        }
        Ok(remaining)
    }
}

fn api(client: &Client, object: &DynamicObject) -> Api<DynamicObject> {
    let types = object.types.as_ref().unwrap();
    let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(types).unwrap());
    match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    }
}

async fn apply(client: &Client, object: &DynamicObject) -> kube::Result<()> {
    let parameters = PatchParams::apply("declarative.kyma-project.io/applier").force();
    api(client, object).patch(&object.name_any(), &parameters, &Patch::Apply(object)).await.map(|_| ())
}

/// Adds the labels and annotations of the Kyma lifecycle manager.
fn with_kyma_metadata(mut object: DynamicObject) -> DynamicObject {
    object.labels_mut().insert("operator.kyma-project.io/managed-by".to_owned(), "kyma".to_owned());
    object.labels_mut().insert("operator.kyma-project.io/watched-by".to_owned(), "kyma".to_owned());
    let note = "This resource is managed by Kyma.".to_owned();
    object.annotations_mut().insert("operator.kyma-project.io/managed-by-reconciler-disclaimer".to_owned(), note);
    object
}

/// Replaces the images in environment variables of containers by those that the nodes have.
fn rewrite_images(object: &mut DynamicObject) {
    for container in
        object.data.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut).into_iter().flatten()
    {
        for variable in container["env"].as_array_mut().into_iter().flatten() {
            let image = match variable["name"].as_str().unwrap() {
                "NATS_IMAGE" => IMAGES.nats,
                "NATS_SERVER_CONFIG_RELOADER_IMAGE" => IMAGES.config_reloader,
                "PROMETHEUS_NATS_EXPORTER_IMAGE" => IMAGES.exporter,
                _ => continue,
            };
            variable["value"] = json!(image);
        }
    }
}

/// Runs the blocks of `docs/user/install.md` that have the mark, in this checkout and without a registry. The last
/// command of a block gets additional arguments.
fn in_checkout(mark: &str, arguments: &str) {
    for block in documented::blocks("docs/user/install.md", mark) {
        let script = block.text.replace("{IMAGE}:{TAG}", MANAGER_IMAGE) + arguments;
        let status = Command::new("sh").args(["-ec", &script]).current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(status.unwrap().success(), "{script}");
    }
}
