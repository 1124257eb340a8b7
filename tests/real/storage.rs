//! Usage of the file store: reported before it is full, and recovery when space is freed.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{Api, ResourceExt};
use nats_manager_api::Nats;
use nats_manager_harness::{
    Seen,
    documented::{self, Block},
    eventually,
};
use serde_json::json;

use crate::{
    manager::ManagerProcess,
    scaling::nats,
    typed::User,
    world::{NAME, SOON, World, real},
};

/// Timeout of a recovery: a server that could not start on a full volume is restarted after up to five minutes.
const RECOVERED: Duration = Duration::from_mins(7);
const MEBIBYTE: usize = 1 << 20;

/// Starts a manager and three servers with this file store, and creates the stream `orders` with three replicas.
async fn running(world: &World<'_>, file_storage: serde_json::Value) -> ManagerProcess {
    let manager = world.manager().await;
    world.create(json!({"cluster": {"size": 3}, "jetStream": {"fileStorage": file_storage}})).await;
    world.state_becomes("Ready").await;
    let context = world.nats().await;
    let config =
        Config { name: "orders".to_owned(), subjects: vec!["orders".to_owned()], num_replicas: 3, ..Config::default() };
    eventually("the stream is created", SOON, || async { context.create_stream(config.clone()).await.map(|_| true) })
        .await;
    manager
}

/// Publishes up to `count` messages of half a mebibyte, until one is not acknowledged. Returns how many were.
async fn publish(world: &World<'_>, count: usize) -> usize {
    let context = world.nats().await;
    let payload = bytes(MEBIBYTE / 2);
    let mut acknowledged = 0;
    for _ in 0..count {
        let Ok(answer) = context.publish("orders", payload.clone().into()).await else { break };
        if answer.await.is_err() {
            break;
        }
        acknowledged += 1;
    }
    acknowledged
}

fn bytes(count: usize) -> Vec<u8> {
    vec![b'x'; count]
}

/// Waits until the condition `Storage` has a reason and the resource has a state. Returns the message of the condition.
pub async fn storage_becomes(world: &World<'_>, reason: &str, state: &str) -> String {
    let status = world
        .status_becomes(&format!("Storage {reason} and state {state}"), |status| {
            let is_reported =
                status.conditions.iter().any(|condition| condition.type_ == "Storage" && condition.reason == reason);
            is_reported && status.state == state
        })
        .await;
    // The summary has the level of the file store only.
    let level = match reason {
        "VolumeFull" => "Full",
        reason => reason.strip_prefix("FileStore").unwrap_or("Healthy"),
    };
    assert_eq!(status.jet_stream.map(|jet_stream| jet_stream.storage).as_deref(), Some(level));
    status.conditions.into_iter().find(|condition| condition.type_ == "Storage").unwrap().message
}

#[test]
fn file_store_is_reported_before_it_is_full() {
    real(async |world| {
        // The file store of such a volume is 64Mi.
        let _manager = running(world, json!({"size": "76Mi"})).await;
        storage_becomes(world, "Healthy", "Ready").await;

        assert_eq!(publish(world, 104).await, 104);
        let message = storage_becomes(world, "FileStoreNearlyFull", "Warning").await;
        assert!(message.contains("Largest streams: orders 52Mi"), "{message}");
        let mut user = User::new(world).await;
        for command in documented::blocks("docs/user/storage.md", "run: nearly full").iter().flat_map(Block::commands) {
            assert_eq!(user.types(command).await, message);
        }
        user.types("kubectl port-forward -n kyma-system service/eventing-nats 4222 &").await;
        for block in documented::blocks("docs/user/storage.md", "run: reservation") {
            let (command, rejection) = block.text.split_once('\n').unwrap();
            let printed = user.fails(command.trim_start_matches("$ ")).await;
            assert!(printed.contains(rejection), "{printed}");
        }
        let version = world.api::<Nats>().get(NAME).await.unwrap().resource_version();
        assert_eq!(publish(world, 4).await, 4);

        assert_eq!(publish(world, 10).await, 10);
        storage_becomes(world, "FileStoreFull", "Warning").await;
        let events =
            world.kubectl(&["get", "events", "-n", "kyma-system", "-o", "custom-columns=R:.reason"]).await.unwrap();
        assert!(events.contains("FileStoreNearlyFull") && events.contains("FileStoreFull"), "{events}");
        assert_ne!(world.api::<Nats>().get(NAME).await.unwrap().resource_version(), version);

        nats(world, &["stream", "purge", "orders", "--force"]).await;
        storage_becomes(world, "Healthy", "Ready").await;
    });
}

#[test]
fn stream_that_rejects_new_messages_is_reported_before_it_is_full() {
    real(async |world| {
        let _manager = running(world, json!({"size": "64Mi"})).await;
        let limit = ["stream", "edit", "orders", "--discard", "new", "--max-bytes", "16MB", "--force"];
        nats(world, &limit).await;
        storage_becomes(world, "Healthy", "Ready").await;
        assert_eq!(publish(world, 26).await, 26);
        let message = storage_becomes(world, "StreamNearlyFull", "Warning").await;
        assert!(message.contains("orders is 81 % full (13Mi of 16Mi)"), "{message}");

        assert!(publish(world, 20).await < 20, "the stream rejects messages");
        storage_becomes(world, "StreamFull", "Warning").await;
        nats(world, &["stream", "purge", "orders", "--force"]).await;
        storage_becomes(world, "Healthy", "Ready").await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn servers_with_full_volumes_recover_when_space_is_freed() {
    real(async |world| {
        // The volume has 64Mi, whatever its PVC requests.
        let _manager = running(world, json!({"size": "512Mi", "storageClassName": "small"})).await;
        // Another file takes part of it.
        for ordinal in 0..3 {
            in_volume(world, ordinal, "head -c 25M /dev/zero > $0/filler").await;
        }
        let acknowledged = publish(world, 200).await;
        assert!(acknowledged < 200, "the volume is not full");
        storage_becomes(world, "VolumeFull", "Warning").await;
        world
            .status_becomes("a health issue is reported", |status| {
                status.conditions.iter().any(|condition| condition.type_ == "JetStream" && condition.status == "False")
            })
            .await;
        for ordinal in 0..3 {
            in_volume(world, ordinal, "rm $0/filler").await;
        }
        eventually("JetStream is healthy again", RECOVERED, || async {
            let status = world.api::<Nats>().get(NAME).await?.status.unwrap_or_default();
            let is_healthy =
                status.conditions.iter().any(|condition| condition.type_ == "JetStream" && condition.status == "True");
            Ok::<_, kube::Error>(if is_healthy {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{:?}", status.conditions))
            })
        })
        .await;
        let mut stream = world.nats().await.get_stream("orders").await.unwrap();
        assert!(stream.info().await.unwrap().state.messages >= acknowledged as u64);
    });
}

/// Runs a shell script on the node of a server, with the folder of the server's volume as `$0`. Returns its output.
pub async fn in_volume(world: &World<'_>, ordinal: usize, script: &str) -> String {
    let pvcs: Api<PersistentVolumeClaim> = world.api();
    let pvc = pvcs.get(&format!("{NAME}-js-pvc-{}", World::server(ordinal))).await.unwrap();
    let volumes: Api<PersistentVolume> = Api::all(world.client.clone());
    let volume = volumes.get(&pvc.spec.unwrap().volume_name.unwrap()).await.unwrap();
    let folder = volume.spec.unwrap().host_path.unwrap().path;
    // The volumes are mounted in the mount namespace of the nodes.
    let mounts = world.cluster.namespace().with_file_name("mnt");
    let mut command = tokio::process::Command::new("nsenter");
    command.arg(format!("--mount={}", mounts.display())).args(["sh", "-ec", script, &folder]);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
