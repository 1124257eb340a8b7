//! Deletion of the namespace, which deletes the servers, their volumes, and the Roles of the manager.

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use kube::{Api, Resource, api::ListParams};
use nats_manager_api::{Nats, naming::FINALIZER};
use nats_manager_harness::{Seen, Shell, documented, eventually};
use serde_json::{Value, json};

use super::deploy;
use crate::{
    jetstream,
    manager::{ManagerOptions, ManagerProcess},
    world::{NAME, NAMESPACE, TIMEOUT, World, condition},
};

const PAGE: &str = "docs/user/troubleshooting/terminating-namespace.md";
/// Namespace of a manager that outlives the namespace of the resource.
const HOME: &str = "manager-home";

async fn is_gone(world: &World) {
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    eventually("the namespace is gone", TIMEOUT, || async {
        Ok::<_, kube::Error>(match namespaces.get_opt(NAMESPACE).await? {
            None => Seen::Done(()),
            Some(namespace) => Seen::NotYet(format!("{:?}", namespace.status)),
        })
    })
    .await;
}

/// Starts a manager with the ServiceAccount of another namespace, which has the shipped roles.
async fn manager_in_another_namespace(world: &World, shell: &Shell, options: &ManagerOptions) -> ManagerProcess {
    let subject = format!("--serviceaccount={HOME}:nats-manager");
    let bind = |kind: &str, name: &str, role: &str| {
        format!("kubectl create {kind} {name} {role} {subject} --dry-run=client -o yaml | kubectl apply -f -")
    };
    for command in [
        format!("kubectl create namespace {HOME} --dry-run=client -o yaml | kubectl apply -f -"),
        format!("kubectl create serviceaccount -n {HOME} nats-manager --dry-run=client -o yaml | kubectl apply -f -"),
        bind("clusterrolebinding", "manager-home", "--clusterrole=nats-manager"),
        bind("rolebinding", "manager-home", &format!("-n {NAMESPACE} --role=nats-manager")),
        bind("rolebinding", "manager-home-servers", &format!("-n {NAMESPACE} --role=nats-manager-servers")),
        bind("rolebinding", "manager-home", "-n kube-system --role=nats-manager-shoot-info"),
    ] {
        shell.done(&command).await;
    }
    let kubeconfig = world.cluster.kubeconfig_for(HOME, "nats-manager").await.unwrap();
    options.spawn(&kubeconfig, world.cluster.folder()).ready().await
}

#[tokio::test]
async fn resource_goes_with_its_namespace_when_nothing_is_left_to_guard() {
    let world = World::new().await;
    let shell = Shell::new(&world.cluster);
    let (server, options) = world.nats_server().await;
    let manager = manager_in_another_namespace(&world, &shell, &options).await;
    deploy(&world, json!({})).await;
    jetstream::create_stream(&jetstream::connect(&server.url()).await, "orders").await;

    // Without the end of the namespace, the stream blocks the deletion.
    world.delete().await;
    let status = world.state_becomes("Warning").await;
    assert_eq!(condition(&status, "Deleted").unwrap().1, "DeletionError");
    shell.done(&format!("kubectl delete namespace {NAMESPACE} --wait=false")).await;
    is_gone(&world).await;
    eventually("the end is logged", TIMEOUT, || async {
        manager.log().contains("removing finalizer: the namespace is being deleted")
    })
    .await;
    manager.kill().await.unwrap();
    shell.done(&format!("kubectl delete clusterrolebinding manager-home && kubectl delete namespace {HOME}")).await;
}

#[tokio::test]
async fn forced_deletion_in_a_terminating_namespace_needs_no_role_and_no_end_of_the_pvcs() {
    let world = World::new().await;
    let shell = Shell::new(&world.cluster);
    let manager = manager_in_another_namespace(&world, &shell, &ManagerOptions::default()).await;
    deploy(&world, json!({})).await;
    // Kubernetes deletes PVCs only when the namespace has no Pod. A finalizer keeps this one.
    std::fs::write(shell.folder().join("pod.json"), kept_pod().to_string()).unwrap();
    shell
        .done(&format!(
            "kubectl create -f pod.json && \
             kubectl delete rolebinding -n {NAMESPACE} manager-home manager-home-servers && \
             kubectl delete namespace {NAMESPACE} --wait=false && kubectl delete nats -n {NAMESPACE} {NAME} --wait=false"
        ))
        .await;
    world.status_becomes("the deletion waits", |status| condition(status, "Deleted").is_some()).await;
    assert_eq!(intact_pvcs(&world).await, 3);
    shell
        .done(&format!("kubectl annotate nats -n {NAMESPACE} {NAME} nats.operator.kyma-project.io/force-deletion=true"))
        .await;
    world.gone().await;
    assert_eq!(intact_pvcs(&world).await, 3, "only the annotation ended the wait");

    shell
        .done(&format!(
            "kubectl patch pod -n {NAMESPACE} kept --type=merge -p '{{\"metadata\":{{\"finalizers\":null}}}}'"
        ))
        .await;
    is_gone(&world).await;
    manager.kill().await.unwrap();
    shell.done(&format!("kubectl delete clusterrolebinding manager-home && kubectl delete namespace {HOME}")).await;
}

/// A Pod that stays until its finalizer is removed. No node runs it.
fn kept_pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "kept", "namespace": NAMESPACE, "finalizers": ["example.com/keep"]},
        "spec": {"containers": [{"name": "kept", "image": "kept"}], "nodeSelector": {"example.com/none": ""}},
    })
}

/// Returns the number of PVCs without a deletion timestamp.
async fn intact_pvcs(world: &World) -> usize {
    let pvcs = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap().items;
    pvcs.iter().filter(|pvc| pvc.metadata.deletion_timestamp.is_none()).count()
}

#[tokio::test]
async fn documented_command_ends_a_namespace_that_was_deleted_with_its_manager() {
    let world = World::new().await;
    let shell = Shell::new(&world.cluster);
    let manager = world.manager_with(&crate::admission::webhook_options()).await;
    world.webhook_is_active().await;
    deploy(&world, json!({})).await;
    // Kubernetes deletes the Pods of a namespace first, so that no manager is left for the resource.
    manager.kill().await.unwrap();
    shell.done(&format!("kubectl delete namespace {NAMESPACE} --wait=false")).await;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    eventually("only the resource is left", TIMEOUT, || async {
        let namespace = namespaces.get(NAMESPACE).await?;
        let conditions = namespace.status.and_then(|status| status.conditions).unwrap_or_default();
        let remaining = conditions.iter().find(|known| known.type_ == "NamespaceFinalizersRemaining");
        let is_ours = remaining.is_some_and(|known| {
            known.status == "True" && known.message.as_deref().is_some_and(|text| text.contains(FINALIZER))
        });
        Ok::<_, kube::Error>(if is_ours { Seen::Done(()) } else { Seen::NotYet(format!("{conditions:?}")) })
    })
    .await;
    assert!(world.api::<Nats>().get(NAME).await.unwrap().meta().deletion_timestamp.is_some());
    for block in documented::blocks(PAGE, "run: terminating namespace") {
        shell.done(&block.text).await;
    }
    is_gone(&world).await;
}
