//! Installation of the module from the release artifacts, as a Deployment with the released image and its webhook
//! behind a Service: by the Kyma lifecycle manager, and by an administrator with kubectl.

mod artifact;
mod documented;
mod permissions;

use std::time::{Duration, Instant};

use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apps::v1::{Deployment, StatefulSet},
    core::v1::{ConfigMap, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{Api, ResourceExt, api::ListParams};
use nats_manager_harness::{RealCluster, Seen, eventually, real::IMAGES};
use serde_json::json;

use crate::{
    scaling::make_stream,
    typed::User,
    world::{NAME, NAMESPACE, SOON, World, real},
};
use artifact::{Artifact, build_image};

/// Time within which the Deployment is available. The Kyma lifecycle manager waits 10 minutes (the default of
/// `progressDeadlineSeconds`), administrators wait for less.
const AVAILABLE: Duration = Duration::from_mins(1);
const READY: Duration = Duration::from_secs(90);
const PAGE: &str = "docs/user/uninstall.md";
const MANAGER: &str = "nats.operator.kyma-project.io/manager=true";

#[test]
fn lifecycle_manager_installs_keeps_and_removes_the_module() {
    if RealCluster::available().is_ok() {
        build_image();
    }
    real(async |world| {
        let artifact = Artifact::new(world).await;
        artifact.prune(&world.client).await;
        let start = Instant::now();
        artifact.apply_as_lifecycle_manager(&world.client).await;
        create_default_resource(world, &artifact).await;
        becomes_available(world, start).await;
        world.status_becomes("Ready", |status| status.state == "Ready").await;
        assert!(start.elapsed() < READY, "Ready after {:?}", start.elapsed());
        eprintln!("installed and Ready in {:?}", start.elapsed());
        replicas_are_in_two_zones(world).await;
        webhook_configurations_become_complete(world).await;

        // The lifecycle manager applies the manifest every few seconds.
        for _ in 0..5 {
            artifact.apply_as_lifecycle_manager(&world.client).await;
            let broken = broken_configurations(world).await.unwrap();
            assert!(broken.is_empty(), "{broken:?}");
            even_size_is_rejected(world).await;
        }
        let changed = world.patch(json!({"spec": {"logging": {"debug": true}}})).await.unwrap();
        world
            .status_becomes("the change is applied", |status| {
                status.state == "Ready" && status.observed_generation >= changed.metadata.generation
            })
            .await;
        nothing_restarted(world).await;

        world.delete().await;
        world.gone().await;
        artifact.prune(&world.client).await;
        nothing_is_left(world).await;
    });
}

#[test]
fn administrator_installs_edits_and_removes_the_module_with_kubectl() {
    if RealCluster::available().is_ok() {
        build_image();
    }
    real(async |world| {
        let artifact = Artifact::new(world).await;
        artifact.prune(&world.client).await;
        let manifest = artifact.manifest.to_str().unwrap();
        let mut user = User::new(world).await;
        // A second apply has no effect.
        for _ in 0..2 {
            world.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", manifest]).await.unwrap();
        }
        create_default_resource(world, &artifact).await;
        documented::follow(&mut user, &artifact, "docs/user/install.md", "run").await;
        world
            .kubectl(&["wait", "-n", NAMESPACE, "--for=condition=Available", "nats/eventing-nats", "--timeout=90s"])
            .await
            .unwrap();
        webhook_configurations_become_complete(world).await;
        world
            .kubectl(&["apply", "--server-side", "-f", manifest])
            .await
            .expect("no conflict with the fields that the manager writes");
        even_size_is_rejected(world).await;

        // All objects at once: the permissions are deleted before the resource can be. NATS keeps running with its
        // data.
        world.kubectl(&["delete", "--wait=false", "-f", manifest]).await.unwrap();
        eventually("the manager is gone", SOON, || async {
            let pods = world.api::<Pod>().list(&ListParams::default().labels(MANAGER)).await?.items;
            Ok::<_, kube::Error>(if pods.is_empty() {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{} pods", pods.len()))
            })
        })
        .await;
        let resource = world.api::<nats_manager_api::Nats>().get_opt(NAME).await.ok().flatten();
        if let Some(resource) = resource {
            assert!(resource.metadata.deletion_timestamp.is_some());
            assert!(world.api::<StatefulSet>().get_opt(NAME).await.unwrap().is_some(), "NATS keeps running");
        }
        // Another installation lets the deletion complete.
        documented::follow(&mut user, &artifact, PAGE, "run: after all at once").await;
        nothing_is_left(world).await;
    });
}

#[test]
fn module_replaces_its_predecessor() {
    if RealCluster::available().is_ok() {
        build_image();
    }
    real(async |world| {
        let artifact = Artifact::new(world).await;
        // Deployment of the predecessor (the Go manager), with a stand-in that does nothing.
        let old = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "nats-manager", "namespace": NAMESPACE, "labels": {"control-plane": "manager"}},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"control-plane": "manager"}},
                "template": {
                    "metadata": {"labels": {"control-plane": "manager"}},
                    "spec": {
                        "serviceAccountName": "nats-manager",
                        "containers": [{
                            "name": "manager",
                            "image": IMAGES.exporter,
                            "command": ["/prometheus-nats-exporter"],
                            "env": [{"name": "NATS_CHART_DIR", "value": "resources/nats"}],
                        }],
                    },
                },
            },
        });
        let file = world.cluster.folder().join("old.yaml");
        std::fs::write(&file, old.to_string()).unwrap();
        world.kubectl(&["apply", "-f", file.to_str().unwrap()]).await.unwrap();
        let wait = ["wait", "-n", NAMESPACE, "--for=condition=Available", "deployment/nats-manager", "--timeout=60s"];
        world.kubectl(&wait).await.unwrap();

        let manifest = artifact.manifest.to_str().unwrap();
        world.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", manifest]).await.unwrap();
        create_default_resource(world, &artifact).await;
        world
            .kubectl(&["rollout", "status", "-n", NAMESPACE, "deployment/nats-manager", "--timeout=90s"])
            .await
            .unwrap();
        world.state_becomes("Ready").await;
        webhook_configurations_become_complete(world).await;
        nothing_restarted(world).await;

        make_stream(world, "orders", 3).await;
        world.delete().await;
        world.state_becomes("Warning").await;
        documented::follow(&mut User::new(world).await, &artifact, PAGE, "run: force").await;
        world.gone().await;
        artifact.prune(&world.client).await;
        nothing_is_left(world).await;
    });
}

/// Creates the default resource as soon as its kind is served, which is before the webhook is ready.
async fn create_default_resource(world: &World<'_>, artifact: &Artifact) {
    let file = artifact.default_resource.to_str().unwrap();
    eventually("the default resource is created", SOON, || async {
        world.kubectl(&["apply", "-f", file]).await.map(|_| true)
    })
    .await;
}

/// Waits until both replicas of the Deployment are available.
async fn becomes_available(world: &World<'_>, start: Instant) {
    let deployment = eventually("the Deployment is available", AVAILABLE, || async {
        let deployment = world.api::<Deployment>().get("nats-manager").await?;
        let status = deployment.status.clone().unwrap_or_default();
        Ok::<_, kube::Error>(match status.available_replicas {
            Some(2) => Seen::Done(deployment),
            _ => Seen::NotYet(format!("{status:?}")),
        })
    })
    .await;
    eprintln!("Deployment available in {:?}", start.elapsed());
    assert_eq!(deployment.spec.unwrap().replicas, Some(2));
}

/// Returns the Pods of both manager replicas, without terminating ones.
async fn managers(world: &World<'_>) -> Vec<Pod> {
    let mut pods = world.api::<Pod>().list(&ListParams::default().labels(MANAGER)).await.unwrap().items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    assert_eq!(pods.len(), 2);
    pods
}

/// Checks that the manager replicas are in two zones.
async fn replicas_are_in_two_zones(world: &World<'_>) {
    let nodes: Api<Node> = Api::all(world.client.clone());
    let mut zones = Vec::new();
    for pod in managers(world).await {
        let node = nodes.get(&pod.spec.unwrap().node_name.unwrap()).await.unwrap();
        zones.push(node.labels()["topology.kubernetes.io/zone"].clone());
    }
    zones.sort();
    zones.dedup();
    assert_eq!(zones.len(), 2, "{zones:?}");
}

async fn nothing_restarted(world: &World<'_>) {
    for pod in managers(world).await {
        for container in pod.status.unwrap().container_statuses.unwrap() {
            assert_eq!(container.restart_count, 0, "{container:?}");
        }
    }
}

/// Returns the webhooks without a CA bundle.
async fn broken_configurations(world: &World<'_>) -> kube::Result<Vec<String>> {
    let mutating = Api::<MutatingWebhookConfiguration>::all(world.client.clone()).get_opt("nats-manager").await?;
    let validating = Api::<ValidatingWebhookConfiguration>::all(world.client.clone()).get_opt("nats-manager").await?;
    let (Some(mutating), Some(validating)) = (mutating, validating) else {
        return Ok(vec!["a configuration is missing".to_owned()]);
    };
    let mutating = mutating.webhooks.into_iter().flatten().map(|webhook| (webhook.name, webhook.client_config));
    let validating = validating.webhooks.into_iter().flatten().map(|webhook| (webhook.name, webhook.client_config));
    let broken =
        mutating.chain(validating).filter(|(_, config)| config.ca_bundle.as_ref().is_none_or(|ca| ca.0.is_empty()));
    Ok(broken.map(|(name, _)| name).collect())
}

async fn webhook_configurations_become_complete(world: &World<'_>) {
    eventually("the webhook configurations are complete", SOON, || async {
        let broken = broken_configurations(world).await?;
        Ok::<_, kube::Error>(if broken.is_empty() { Seen::Done(()) } else { Seen::NotYet(broken.join(", ")) })
    })
    .await;
}

async fn even_size_is_rejected(world: &World<'_>) {
    let rejection = world.patch(json!({"spec": {"cluster": {"size": 4}}})).await.unwrap_err().to_string();
    assert!(rejection.contains("size only accepts odd numbers"), "{rejection}");
}

async fn nothing_is_left(world: &World<'_>) {
    let all = ListParams::default();
    eventually("nothing is left", SOON, || async {
        let mut remaining = Vec::new();
        // Kubernetes creates this ConfigMap in every namespace.
        let is_ours = |name: &String| name != "kube-root-ca.crt";
        remaining
            .extend(world.api::<ConfigMap>().list(&all).await?.items.iter().map(ResourceExt::name_any).filter(is_ours));
        remaining.extend(world.api::<Secret>().list(&all).await?.items.iter().map(ResourceExt::name_any));
        remaining.extend(world.api::<StatefulSet>().list(&all).await?.items.iter().map(ResourceExt::name_any));
        remaining.extend(world.api::<Pod>().list(&all).await?.items.iter().map(ResourceExt::name_any));
        let volumes: Api<PersistentVolume> = Api::all(world.client.clone());
        remaining.extend(volumes.list(&all).await?.items.iter().map(ResourceExt::name_any));
        remaining.extend(world.api::<Service>().list(&all).await?.items.iter().map(ResourceExt::name_any));
        remaining.extend(world.api::<NetworkPolicy>().list(&all).await?.items.iter().map(ResourceExt::name_any));
        remaining.extend(world.api::<PodDisruptionBudget>().list(&all).await?.items.iter().map(ResourceExt::name_any));
        remaining
            .extend(world.api::<PersistentVolumeClaim>().list(&all).await?.items.iter().map(ResourceExt::name_any));
        let mutating = Api::<MutatingWebhookConfiguration>::all(world.client.clone()).get_opt("nats-manager").await?;
        let validating =
            Api::<ValidatingWebhookConfiguration>::all(world.client.clone()).get_opt("nats-manager").await?;
        remaining.extend(mutating.map(|_| "the mutating webhook".to_owned()));
        remaining.extend(validating.map(|_| "the validating webhook".to_owned()));
        Ok::<_, kube::Error>(if remaining.is_empty() { Seen::Done(()) } else { Seen::NotYet(remaining.join(", ")) })
    })
    .await;
}
