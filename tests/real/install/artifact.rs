//! The release's artifacts, and who applies and prunes them.

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

/// What the image is called in the artifact: as the Kyma lifecycle manager does, names are rewritten to what the
/// cluster can pull.
const MANAGER_IMAGE: &str = "docker.io/library/nats-manager:latest";

/// A released version of the module.
pub struct Artifact {
    /// The objects of `nats-manager.yaml`.
    pub objects: Vec<DynamicObject>,
    /// The same as a file.
    pub manifest: PathBuf,
    /// `nats-default-cr.yaml`.
    pub default_resource: PathBuf,
}

/// Builds the image; call it from outside of the cluster's network. It takes minutes at first.
pub fn build_image() {
    in_checkout("run: image", "");
}

impl Artifact {
    /// Makes the artifacts, and gives the nodes the image.
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

    /// Applies all of it at once, in no order, by force, with labels and annotations on top, as the Kyma lifecycle
    /// manager does, until all of it is taken.
    pub async fn apply_as_lifecycle_manager(&self, client: &Client) {
        let owned: Vec<DynamicObject> = self.objects.iter().cloned().map(with_marks).collect();
        eventually("the manifest is applied", SOON, || async {
            let applied = owned.iter().rev().map(|object| apply(client, object));
            let refusals: Vec<String> =
                join_all(applied).await.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
            Ok::<_, kube::Error>(if refusals.is_empty() { Seen::Done(()) } else { Seen::NotYet(refusals.join("; ")) })
        })
        .await;
    }

    /// Deletes all of it at once, and waits until it is gone.
    pub async fn prune(&self, client: &Client) {
        join_all(self.objects.iter().map(|object| async move {
            let _ = api(client, object).delete(&object.name_any(), &DeleteParams::background()).await;
        }))
        .await;
        eventually("the manifest is pruned", SOON, || async {
            let left = self.left(client).await?;
            Ok::<_, kube::Error>(if left.is_empty() { Seen::Done(()) } else { Seen::NotYet(left.join(", ")) })
        })
        .await;
    }

    /// What of it is there.
    pub async fn left(&self, client: &Client) -> kube::Result<Vec<String>> {
        let mut left = Vec::new();
        for object in &self.objects {
            if api(client, object).get_opt(&object.name_any()).await?.is_some() {
                left.push(format!("{} {}", object.types.as_ref().unwrap().kind, object.name_any()));
            }
        }
        Ok(left)
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

fn with_marks(mut object: DynamicObject) -> DynamicObject {
    object.labels_mut().insert("operator.kyma-project.io/managed-by".to_owned(), "kyma".to_owned());
    object.labels_mut().insert("operator.kyma-project.io/watched-by".to_owned(), "kyma".to_owned());
    let note = "This resource is managed by Kyma.".to_owned();
    object.annotations_mut().insert("operator.kyma-project.io/managed-by-reconciler-disclaimer".to_owned(), note);
    object
}

/// In containers and in values of the environment.
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

/// Runs what `docs/user/install.md` tells who has a checkout, and no registry.
fn in_checkout(mark: &str, more: &str) {
    for block in documented::blocks("docs/user/install.md", mark) {
        let script = block.text.replace("YOUR/IMAGE:TAG", MANAGER_IMAGE) + more;
        let status = Command::new("sh").args(["-ec", &script]).current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(status.unwrap().success(), "{script}");
    }
}
