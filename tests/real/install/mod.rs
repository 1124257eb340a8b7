//! The module is installed from the release's artifacts, as a Deployment with the image that is shipped, and its webhook
//! behind a Service: by the Kyma lifecycle manager, and by an administrator with kubectl.

mod artifact;
mod documented;
mod permissions;

use std::time::{Duration, Instant};

use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apps::v1::{Deployment, StatefulSet},
    core::v1::{ConfigMap, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service},
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

/// How long the Kyma lifecycle manager waits for a Deployment, by its default of `progressDeadlineSeconds`, is 10
/// minutes; who installs by hand is less patient.
const AVAILABLE: Duration = Duration::from_mins(1);
const READY: Duration = Duration::from_secs(90);
const PAGE: &str = "docs/user/install.md";
const MANAGER: &str = "nats.operator.kyma-project.io/manager=true";

#[test]
fn the_lifecycle_manager_installs_it_keeps_it_and_removes_it() {
    if RealCluster::available().is_ok() {
        build_image();
    }
    real(async |world| {
        let artifact = Artifact::new(world).await;
        artifact.prune(&world.client).await;
        let start = Instant::now();
        artifact.apply_as_lifecycle_manager(&world.client).await;
        create_default_resource(world, &artifact).await;
        available(world, start).await;
        world.status_becomes("Ready", |status| status.state == "Ready").await;
        assert!(start.elapsed() < READY, "Ready after {:?}", start.elapsed());
        eprintln!("installed and Ready in {:?}", start.elapsed());
        replicas_are_apart(world).await;
        configurations_become_whole(world).await;

        // It comes again every few seconds.
        for _ in 0..5 {
            artifact.apply_as_lifecycle_manager(&world.client).await;
            let broken = broken_configurations(world).await.unwrap();
            assert!(broken.is_empty(), "{broken:?}");
            refuses_an_even_size(world).await;
        }
        let changed = world.patch(json!({"spec": {"logging": {"debug": true}}})).await.unwrap();
        world
            .status_becomes("the change is carried out", |status| {
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
fn an_administrator_installs_edits_and_removes_it_with_kubectl() {
    if RealCluster::available().is_ok() {
        build_image();
    }
    real(async |world| {
        let artifact = Artifact::new(world).await;
        artifact.prune(&world.client).await;
        let manifest = artifact.manifest.to_str().unwrap();
        let mut user = User::new(world).await;
        // Twice is as good as once.
        for _ in 0..2 {
            world.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", manifest]).await.unwrap();
        }
        create_default_resource(world, &artifact).await;
        documented::follow(&mut user, &artifact, PAGE, "run: from a checkout").await;
        world
            .kubectl(&["wait", "-n", NAMESPACE, "--for=condition=Available", "nats/eventing-nats", "--timeout=90s"])
            .await
            .unwrap();
        configurations_become_whole(world).await;
        world.kubectl(&["apply", "--server-side", "-f", manifest]).await.expect("no conflict with what we write");
        refuses_an_even_size(world).await;

        // All at once: the permissions go before the resource can. NATS runs on, and nothing is lost.
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
            assert!(world.api::<StatefulSet>().get_opt(NAME).await.unwrap().is_some(), "NATS runs on");
        }
        // Installing it again lets it finish.
        documented::follow(&mut user, &artifact, PAGE, "run: after all at once").await;
        nothing_is_left(world).await;
    });
}

#[test]
fn it_takes_the_place_of_another_manager() {
    if RealCluster::available().is_ok() {
        build_image();
    }
    real(async |world| {
        let artifact = Artifact::new(world).await;
        // The Go manager's Deployment, played by a program that only waits.
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
        configurations_become_whole(world).await;
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

/// As soon as its kind is known, which is before the webhook is.
async fn create_default_resource(world: &World<'_>, artifact: &Artifact) {
    let file = artifact.default_resource.to_str().unwrap();
    eventually("the default resource is created", SOON, || async {
        world.kubectl(&["apply", "-f", file]).await.map(|_| true)
    })
    .await;
}

async fn available(world: &World<'_>, start: Instant) {
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

/// The replicas that are to stay.
async fn managers(world: &World<'_>) -> Vec<Pod> {
    let mut pods = world.api::<Pod>().list(&ListParams::default().labels(MANAGER)).await.unwrap().items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    assert_eq!(pods.len(), 2);
    pods
}

async fn replicas_are_apart(world: &World<'_>) {
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

/// Webhooks without a CA that the apiserver would trust.
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

async fn configurations_become_whole(world: &World<'_>) {
    eventually("the webhook configurations are whole", SOON, || async {
        let broken = broken_configurations(world).await?;
        Ok::<_, kube::Error>(if broken.is_empty() { Seen::Done(()) } else { Seen::NotYet(broken.join(", ")) })
    })
    .await;
}

async fn refuses_an_even_size(world: &World<'_>) {
    let refusal = world.patch(json!({"spec": {"cluster": {"size": 4}}})).await.unwrap_err().to_string();
    assert!(refusal.contains("size only accepts odd numbers"), "{refusal}");
}

async fn nothing_is_left(world: &World<'_>) {
    let all = ListParams::default();
    eventually("nothing is left", SOON, || async {
        let mut left = Vec::new();
        // What Kubernetes itself puts into every namespace.
        let own = |name: &String| name != "kube-root-ca.crt";
        left.extend(world.api::<ConfigMap>().list(&all).await?.items.iter().map(ResourceExt::name_any).filter(own));
        left.extend(world.api::<Secret>().list(&all).await?.items.iter().map(ResourceExt::name_any));
        left.extend(world.api::<StatefulSet>().list(&all).await?.items.iter().map(ResourceExt::name_any));
        left.extend(world.api::<Pod>().list(&all).await?.items.iter().map(ResourceExt::name_any));
        let volumes: Api<PersistentVolume> = Api::all(world.client.clone());
        left.extend(volumes.list(&all).await?.items.iter().map(ResourceExt::name_any));
        left.extend(world.api::<Service>().list(&all).await?.items.iter().map(ResourceExt::name_any));
        left.extend(world.api::<PodDisruptionBudget>().list(&all).await?.items.iter().map(ResourceExt::name_any));
        left.extend(world.api::<PersistentVolumeClaim>().list(&all).await?.items.iter().map(ResourceExt::name_any));
        let mutating = Api::<MutatingWebhookConfiguration>::all(world.client.clone()).get_opt("nats-manager").await?;
        let validating =
            Api::<ValidatingWebhookConfiguration>::all(world.client.clone()).get_opt("nats-manager").await?;
        left.extend(mutating.map(|_| "the mutating webhook".to_owned()));
        left.extend(validating.map(|_| "the validating webhook".to_owned()));
        Ok::<_, kube::Error>(if left.is_empty() { Seen::Done(()) } else { Seen::NotYet(left.join(", ")) })
    })
    .await;
}
