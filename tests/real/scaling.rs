//! Scale-up and scale-down of servers with data.

use std::time::Duration;

use async_nats::jetstream::{consumer::pull, message::PublishMessage, stream::Config};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::{ResourceExt, api::ListParams};
use nats_manager_harness::{Seen, Tool, documented, eventually};
use serde_json::json;

use crate::{
    manager::{ManagerOptions, ManagerProcess},
    servers::is_ready,
    streams::STREAM,
    typed::User,
    world::{NAME, SOON, World, real},
};

const PAGE: &str = "docs/user/scaling.md";

/// Timeout of a change of size. Leaving servers stop one after the other, each after its lame duck duration, and
/// removed names may rejoin after five minutes.
const SCALED: Duration = Duration::from_mins(7);

fn size(servers: usize) -> serde_json::Value {
    json!({"spec": {"cluster": {"size": servers}}})
}

async fn running(world: &World<'_>, servers: usize) -> ManagerProcess {
    let manager = world.manager().await;
    world.create(json!({"cluster": {"size": servers}})).await;
    world.state_becomes("Ready").await;
    manager
}

/// Creates a stream and publishes one message to it.
pub async fn make_stream(world: &World<'_>, name: &str, replicas: usize) {
    let config = Config {
        name: name.to_owned(),
        subjects: vec![format!("{name}.>")],
        num_replicas: replicas,
        ..Config::default()
    };
    let context = world.nats().await;
    eventually("the stream is created", SOON, || async { context.create_stream(config.clone()).await.map(|_| true) })
        .await;
    // A stream exists before it has a leader. The message ID prevents a duplicate after a lost acknowledgement.
    eventually("the message is stored", SOON, || async {
        let message = PublishMessage::build().payload("kept".into()).message_id("kept");
        let sent = context.send_publish(format!("{name}.a"), message).await.map_err(|error| error.to_string())?;
        sent.await.map(|_| true).map_err(|error| error.to_string())
    })
    .await;
}

/// Creates the durable consumer `reader` of a stream.
pub async fn make_consumer(world: &World<'_>, stream: &str) {
    let stream = world.nats().await.get_stream(stream).await.unwrap();
    let config = pull::Config { durable_name: Some("reader".to_owned()), ..pull::Config::default() };
    eventually("the consumer is created", SOON, || async {
        stream.create_consumer(config.clone()).await.map(|_| true)
    })
    .await;
}

/// Waits until the meta group, the Pods and the PVCs have this number of servers.
pub async fn size_becomes(world: &World<'_>, servers: usize) {
    eventually(&format!("the cluster has {servers} servers"), SCALED, || async {
        let pods = world.pods().await;
        let Some(first) = pods.iter().find(|pod| is_ready(pod)) else {
            return Ok(Seen::NotYet("no pod is ready".to_owned()));
        };
        let meta = world.monitor(first, "/jsz").await["meta_cluster"]["cluster_size"].clone();
        let pvcs = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?.items;
        let pvcs: Vec<_> = pvcs.iter().map(ResourceExt::name_any).collect();
        let condition = world.api::<nats_manager_api::Nats>().get(NAME).await?.status.map(|status| status.conditions);
        Ok::<_, kube::Error>(if meta == servers && pvcs.len() == servers && pods.len() == servers {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{meta}, {} pods, {pvcs:?}, {condition:?}", pods.len()))
        })
    })
    .await;
}

/// Waits until the message of a change in progress, or of a blocked one, contains `text`.
async fn progress_message_contains(world: &World<'_>, text: &str) {
    let is_progress = |kind: &str| kind == "Reconciling" || kind == "Stalled";
    world
        .status_becomes(&format!("a condition contains {text:?}"), |status| {
            status.conditions.iter().any(|condition| is_progress(&condition.type_) && condition.message.contains(text))
        })
        .await;
}

#[test]
fn scale_down_stops_evacuated_servers_and_keeps_messages() {
    real(async |world| {
        let manager = running(world, 5).await;
        world.make_stream(3).await;
        make_consumer(world, STREAM).await;
        for index in 0..4 {
            make_stream(world, &format!("other-{index}"), 3).await;
        }
        let publisher = world.publisher();
        publisher.makes_progress().await;

        world.patch(size(3)).await.unwrap();
        size_becomes(world, 3).await;
        world.stream_is_in_sync(3).await;
        publisher.makes_progress().await;

        let context = world.nats().await;
        for index in 0..4 {
            let mut stream = context.get_stream(format!("other-{index}")).await.unwrap();
            assert_eq!(stream.info().await.unwrap().state.messages, 1, "other-{index}");
        }
        let stream = context.get_stream(STREAM).await.unwrap();
        stream.get_consumer::<pull::Config>("reader").await.unwrap();
        world.verify(&publisher.stop().await).await;
        world.state_becomes("Ready").await;
        password_is_in_no_output(world, &manager).await;
    });
}

/// Checks that the password of the system account, with which the manager has removed peers, is in no output.
async fn password_is_in_no_output(world: &World<'_>, manager: &ManagerProcess) {
    let secret = world.api::<Secret>().get("eventing-nats-secret").await.unwrap();
    let account = String::from_utf8(secret.data.unwrap()["resolver.conf"].0.clone()).unwrap();
    let password = account.split("password: \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(password.len(), 60);
    let log = manager.log();
    assert!(log.contains("removing the peer from the meta group"), "no login as the system account");
    let status = world.kubectl(&["get", "nats", "-A", "-o", "yaml"]).await.unwrap();
    let events = world.kubectl(&["get", "events", "-A", "-o", "yaml"]).await.unwrap();
    for (output, text) in [("log", log), ("status", status), ("events", events)] {
        for part in [&password[..12], &password[24..36]] {
            assert!(!text.contains(part), "the {output} contains a part of the password");
        }
    }
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn removed_servers_rejoin_after_five_minutes() {
    real(async |world| {
        let _manager = running(world, 3).await;
        world.make_stream(3).await;
        let publisher = world.publisher();
        User::new(world).await.follows(PAGE, "run: up").await;
        size_becomes(world, 5).await;
        world.patch(size(3)).await.unwrap();
        size_becomes(world, 3).await;
        world.patch(size(5)).await.unwrap();
        progress_message_contains(world, "after five minutes").await;
        assert_eq!(world.pods().await.len(), 3);
        size_becomes(world, 5).await;
        world.stream_is_in_sync(3).await;
        publisher.makes_progress().await;
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn scale_down_is_blocked_by_stream_with_more_replicas() {
    real(async |world| {
        let _manager = running(world, 5).await;
        make_stream(world, "wide", 5).await;
        world.patch(size(3)).await.unwrap();
        progress_message_contains(world, "nats stream edit wide --replicas 3").await;
        world.state_becomes("Warning").await;
        assert_eq!(world.pods().await.len(), 5);
        nats(world, &["stream", "edit", "wide", "--replicas", "3", "--force"]).await;
        size_becomes(world, 3).await;
        let mut stream = world.nats().await.get_stream("wide").await.unwrap();
        assert_eq!(stream.info().await.unwrap().state.messages, 1);
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn scale_down_is_blocked_by_only_replicas_on_leaving_servers() {
    real(async |world| {
        let _manager = running(world, 5).await;
        // JetStream places a stream on the server with the fewest streams: five streams are on five servers.
        let names: Vec<String> = (0..5).map(|index| format!("single-{index}")).collect();
        for name in &names {
            make_stream(world, name, 1).await;
        }
        world.patch(size(3)).await.unwrap();
        progress_message_contains(world, "their only replica on servers that would leave").await;
        world.state_becomes("Warning").await;
        assert_eq!(world.pods().await.len(), 5);
        let mut user = User::new(world).await;
        user.types("kubectl port-forward -n kyma-system service/eventing-nats 4222 &").await;
        for block in documented::blocks(PAGE, "run: only copies") {
            for name in &names {
                user.types(&block.text.replace("STREAM", name)).await;
            }
        }
        size_becomes(world, 3).await;
        for name in &names {
            nats(world, &["stream", "edit", name, "--replicas", "1", "--force"]).await;
            let mut stream = world.nats().await.get_stream(name).await.unwrap();
            assert_eq!(stream.info().await.unwrap().state.messages, 1, "{name}");
        }
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn manager_killed_during_scale_down_is_followed_by_one_that_completes_it() {
    real(async |world| {
        let manager = running(world, 5).await;
        world.make_stream(3).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        world.patch(size(3)).await.unwrap();
        eventually("the first pod stops", SOON, || async {
            let stopping = world.pods().await.iter().any(|pod| pod.metadata.deletion_timestamp.is_some());
            if stopping { Seen::Done(()) } else { Seen::NotYet("none does".to_owned()) }
        })
        .await;
        manager.kill().await.unwrap();
        let _manager = world.manager().await;
        size_becomes(world, 3).await;
        publisher.makes_progress().await;
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn standalone_server_becomes_three_by_hand_with_streams_and_consumers() {
    real(async |world| {
        let _manager = world.manager_with(&ManagerOptions { webhook: true, ..ManagerOptions::default() }).await;
        world.create(json!({"cluster": {"size": 1}})).await;
        world.state_becomes("Ready").await;
        make_stream(world, "orders", 1).await;
        make_consumer(world, "orders").await;
        let has_streams = |expected: bool| {
            move |status: &nats_manager_api::NatsStatus| {
                status.jet_stream.as_ref().is_some_and(|jet_stream| jet_stream.streams == expected)
            }
        };
        world.status_becomes("the stream is in the status", has_streams(true)).await;
        let rejection = world.patch(size(3)).await.unwrap_err().to_string();
        assert!(rejection.contains("while there are streams"), "{rejection}");

        let mut user = User::new(world).await;
        let output = user.follows(PAGE, "run: one to three").await;
        assert!(output.ends_with("\norders\n"), "{output}");
        user.types("nats stream rm orders --force").await;
        world.status_becomes("no stream is left", has_streams(false)).await;
        user.follows(PAGE, "run: restore").await;
        user.types("nats stream edit orders --replicas 3 --force").await;
        size_becomes(world, 3).await;
        world.state_becomes("Ready").await;

        let mut stream = world.nats().await.get_stream("orders").await.unwrap();
        let info = stream.info().await.unwrap();
        assert_eq!((info.state.messages, info.config.num_replicas), (1, 3));
        // Its new replicas elect a leader, without which there is no answer.
        eventually("the consumer is there", SOON, || async {
            stream.get_consumer::<pull::Config>("reader").await.map(|_| true)
        })
        .await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn scale_up_of_standalone_server_with_streams_is_blocked_without_webhook() {
    real(async |world| {
        let _manager = running(world, 1).await;
        make_stream(world, "orders", 1).await;
        world.patch(size(3)).await.unwrap();
        progress_message_contains(world, "destroys its stream (orders)").await;
        let mut stream = world.nats().await.get_stream("orders").await.unwrap();
        assert_eq!(stream.info().await.unwrap().state.messages, 1);
        world.patch(size(1)).await.unwrap();
        world.state_becomes("Ready").await;
    });
}

/// Runs the NATS command line in the network of the cluster. The command must succeed.
pub async fn nats(world: &World<'_>, args: &[&str]) {
    let program = Tool::NatsCli.path().await.unwrap();
    let mut command = tokio::process::Command::from(world.cluster.enter(program.to_str().unwrap()));
    command.args(["--server", "nats://eventing-nats.kyma-system.svc.cluster.local:4222"]).args(args);
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "nats {args:?}: {}{}", text(&output.stdout), text(&output.stderr));
}
