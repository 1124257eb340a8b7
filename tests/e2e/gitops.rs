//! What `GitOps` tools rely on: a condition that waits through a change, columns, and no drift.

use kube::ResourceExt;
use nats_manager_api::{Nats, naming};
use nats_manager_harness::{Seen, Shell, documented, eventually};
use serde_json::json;

use crate::{
    admission::webhook_options,
    objects::STATEFUL_SET,
    world::{NAME, NAMESPACE, TIMEOUT, World},
};

const PAGE: &str = "docs/user/gitops.md";

#[tokio::test]
async fn ready_condition_waits_through_a_resize() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let [wait, columns] = documented::blocks(PAGE, "run").try_into().unwrap();
    let shell = Shell::new(&world.cluster);
    shell.done(&wait.text).await;

    world.cordon(true).await;
    world.patch(json!({"spec": {"cluster": {"size": 5}}})).await.unwrap();
    let resize = async {
        world.status_becomes("3 of 5 servers are ready", |status| status.ready == "3/5").await;
        let ready = world.kubectl(&["get", "nats", NAME, "-n", NAMESPACE, "-o", "jsonpath={.status.ready}"]).await;
        world.cordon(false).await;
        ready
    };
    let (waited, during) = tokio::join!(shell.done(&wait.text), resize);
    let ready = STATEFUL_SET.get(&world).await["status"]["readyReplicas"].clone();
    assert_eq!((during.as_deref(), ready), (Ok("3/5"), json!(5)), "{waited}");

    let table = shell.done(&columns.text).await;
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "STATE", "READY", "STORAGE", "AGE", "SIZE", "ZONES", "URL", "REASON"]);
    let (row, url) = (&rows[1], "nats://eventing-nats.kyma-system.svc.cluster.local:4222");
    assert_eq!((&row[..4], &row[5..]), (&[NAME, "Ready", "5/5", "Unknown"][..], &["5", "3", url, "Ready"][..]));
}

/// Applies each sample as Argo CD, Flux and people do. What admission fills in is no difference the next time.
#[tokio::test]
async fn applied_samples_have_no_drift() {
    let world = World::new().await;
    let _manager = world.manager_with(&webhook_options()).await;
    world.webhook_is_active().await;
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/config/samples");
    let shell = Shell::new(&world.cluster);
    world.create_storage_class("gce-sc-hdd").await;
    for sample in ["default", "full-spec", "memory-only", "minimal", "size-1", "small-memory-store"] {
        for server_side in ["", "--server-side --field-manager=argocd-controller"] {
            let file = format!("{samples}/{sample}.yaml");
            shell.done(&format!("kubectl apply {server_side} -f {file}")).await;
            let applied = stored(&world).await;
            // The three-way view of a client, and that of the apiserver. A status that is written between the two reads
            // of the command is a difference for a moment.
            eventually(&format!("{file} has no drift"), TIMEOUT, || async {
                let diff = shell.run(&format!("kubectl diff {server_side} -f {file}")).await;
                if diff.code == Some(0) { Seen::Done(()) } else { Seen::NotYet(diff.text) }
            })
            .await;
            shell.done(&format!("kubectl apply {server_side} -f {file}")).await;
            let again = stored(&world).await;
            assert_eq!(
                (&again.spec, again.metadata.generation),
                (&applied.spec, applied.metadata.generation),
                "{file}"
            );
            assert!(!managed_fields(&again, "nats-manager").contains(&"spec"), "{:?}", again.metadata.managed_fields);
            world.patch(json!({"metadata": {"annotations": {naming::FORCE_DELETION: "true"}}})).await.unwrap();
            world.delete().await;
            world.gone().await;
        }
    }
    world.delete_storage_class("gce-sc-hdd").await;
}

async fn stored(world: &World) -> Nats {
    world.status_becomes("the manager has written the status", |status| !status.state.is_empty()).await;
    world.api::<Nats>().get(NAME).await.unwrap()
}

/// Returns the top-level fields that a field manager has written.
fn managed_fields<'a>(nats: &'a Nats, manager: &str) -> Vec<&'a str> {
    let entries = nats.managed_fields().iter().filter(|entry| entry.manager.as_deref() == Some(manager));
    let fields = entries.filter_map(|entry| entry.fields_v1.as_ref()?.0.as_object());
    let mut names: Vec<&str> = fields.flat_map(|fields| fields.keys()).map(|key| &key[2..]).collect();
    names.sort_unstable();
    names.dedup();
    names
}
