//! More and fewer servers, with data on them.

use std::time::Duration;

use async_nats::jetstream::{consumer::pull, message::PublishMessage, stream::Config};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{ResourceExt, api::ListParams};
use nats_manager_harness::{Seen, Tool, documented, eventually};
use serde_json::json;

use crate::{
    manager::{Manager, Options},
    servers::is_ready,
    streams::STREAM,
    typed::User,
    world::{NAME, SOON, World, real},
};

const PAGE: &str = "docs/user/scaling.md";

/// Servers that leave stop one after the other, each after its lame duck time; names that were
/// removed may rejoin after five minutes.
const SLOWLY: Duration = Duration::from_mins(7);

fn size(servers: usize) -> serde_json::Value {
    json!({"spec": {"cluster": {"size": servers}}})
}

async fn running(world: &World<'_>, servers: usize) -> Manager {
    let manager = world.manager().await;
    world.create(json!({"cluster": {"size": servers}})).await;
    world.state_becomes("Ready").await;
    manager
}

pub async fn make_stream(world: &World<'_>, name: &str, replicas: usize) {
    let config = Config {
        name: name.to_owned(),
        subjects: vec![format!("{name}.>")],
        num_replicas: replicas,
        ..Config::default()
    };
    let context = world.nats().await;
    eventually("the stream is made", SOON, || async { context.create_stream(config.clone()).await.map(|_| true) })
        .await;
    // It is there before it has a leader. The id keeps a message whose answer was lost from being a second one.
    eventually("the message is kept", SOON, || async {
        let message = PublishMessage::build().payload("kept".into()).message_id("kept");
        let sent = context.send_publish(format!("{name}.a"), message).await.map_err(|error| error.to_string())?;
        sent.await.map(|_| true).map_err(|error| error.to_string())
    })
    .await;
}

pub async fn make_consumer(world: &World<'_>, stream: &str) {
    let stream = world.nats().await.get_stream(stream).await.unwrap();
    let config = pull::Config { durable_name: Some("reader".to_owned()), ..pull::Config::default() };
    eventually("the consumer is made", SOON, || async { stream.create_consumer(config.clone()).await.map(|_| true) })
        .await;
}

/// Waits until JetStream counts so many servers, and only these have claims.
pub async fn counts(world: &World<'_>, servers: usize) {
    eventually(&format!("JetStream counts {servers} servers"), SLOWLY, || async {
        let pods = world.pods().await;
        let Some(first) = pods.iter().find(|pod| is_ready(pod)) else {
            return Ok(Seen::NotYet("no pod is ready".to_owned()));
        };
        let meta = world.monitor(first, "/jsz").await["meta_cluster"]["cluster_size"].clone();
        let claims = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?.items;
        let claims: Vec<_> = claims.iter().map(ResourceExt::name_any).collect();
        let condition = world.api::<nats_manager_api::Nats>().get(NAME).await?.status.map(|status| status.conditions);
        Ok::<_, kube::Error>(if meta == servers && claims.len() == servers && pods.len() == servers {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{meta}, {} pods, {claims:?}, {condition:?}", pods.len()))
        })
    })
    .await;
}

/// Waits until a change that is in progress, or blocked, says so.
async fn progress_says(world: &World<'_>, words: &str) {
    let is_progress = |kind: &str| kind == "Reconciling" || kind == "Stalled";
    world
        .status_becomes(&format!("a condition has {words:?}"), |status| {
            status.conditions.iter().any(|known| is_progress(&known.type_) && known.message.contains(words))
        })
        .await;
}

#[test]
fn servers_leave_with_nothing_on_them_and_messages_stay() {
    real(async |world| {
        let _manager = running(world, 5).await;
        world.make_stream(3).await;
        make_consumer(world, STREAM).await;
        for index in 0..4 {
            make_stream(world, &format!("other-{index}"), 3).await;
        }
        let publisher = world.publisher();
        publisher.goes_on().await;

        world.patch(size(3)).await.unwrap();
        counts(world, 3).await;
        world.stream_is_current(3).await;
        publisher.goes_on().await;

        let context = world.nats().await;
        for index in 0..4 {
            let mut stream = context.get_stream(format!("other-{index}")).await.unwrap();
            assert_eq!(stream.info().await.unwrap().state.messages, 1, "other-{index}");
        }
        let stream = context.get_stream(STREAM).await.unwrap();
        stream.get_consumer::<pull::Config>("reader").await.unwrap();
        world.verify(&publisher.stop().await).await;
        world.state_becomes("Ready").await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn servers_that_were_removed_come_back_after_five_minutes() {
    real(async |world| {
        let _manager = running(world, 3).await;
        world.make_stream(3).await;
        let publisher = world.publisher();
        User::new(world).await.follows(PAGE, "run: up").await;
        counts(world, 5).await;
        world.patch(size(3)).await.unwrap();
        counts(world, 3).await;
        world.patch(size(5)).await.unwrap();
        progress_says(world, "after five minutes").await;
        assert_eq!(world.pods().await.len(), 3);
        counts(world, 5).await;
        world.stream_is_current(3).await;
        publisher.goes_on().await;
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn servers_stay_while_a_stream_asks_for_them() {
    real(async |world| {
        let _manager = running(world, 5).await;
        make_stream(world, "wide", 5).await;
        world.patch(size(3)).await.unwrap();
        progress_says(world, "nats stream edit wide --replicas 3").await;
        world.state_becomes("Warning").await;
        assert_eq!(world.pods().await.len(), 5);
        nats(world, &["stream", "edit", "wide", "--replicas", "3", "--force"]).await;
        counts(world, 3).await;
        let mut stream = world.nats().await.get_stream("wide").await.unwrap();
        assert_eq!(stream.info().await.unwrap().state.messages, 1);
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn servers_stay_while_they_have_the_only_copy() {
    real(async |world| {
        let _manager = running(world, 5).await;
        // JetStream gives a stream to the server with the fewest: five streams are on five servers.
        let names: Vec<String> = (0..5).map(|index| format!("single-{index}")).collect();
        for name in &names {
            make_stream(world, name, 1).await;
        }
        world.patch(size(3)).await.unwrap();
        progress_says(world, "their only replica on servers that would leave").await;
        world.state_becomes("Warning").await;
        assert_eq!(world.pods().await.len(), 5);
        let mut user = User::new(world).await;
        user.types("kubectl port-forward -n kyma-system service/eventing-nats 4222 &").await;
        for block in documented::blocks(PAGE, "run: only copies") {
            for name in &names {
                user.types(&block.text.replace("STREAM", name)).await;
            }
        }
        counts(world, 3).await;
        for name in &names {
            nats(world, &["stream", "edit", name, "--replicas", "1", "--force"]).await;
            let mut stream = world.nats().await.get_stream(name).await.unwrap();
            assert_eq!(stream.info().await.unwrap().state.messages, 1, "{name}");
        }
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn a_manager_that_dies_while_servers_leave_is_followed_by_one_that_goes_on() {
    real(async |world| {
        let manager = running(world, 5).await;
        world.make_stream(3).await;
        let publisher = world.publisher();
        publisher.goes_on().await;
        world.patch(size(3)).await.unwrap();
        eventually("the first pod stops", SOON, || async {
            let stopping = world.pods().await.iter().any(|pod| pod.metadata.deletion_timestamp.is_some());
            if stopping { Seen::Done(()) } else { Seen::NotYet("none does".to_owned()) }
        })
        .await;
        manager.kill().await;
        let _manager = world.manager().await;
        counts(world, 3).await;
        publisher.goes_on().await;
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn a_single_server_becomes_three_by_hand_with_streams_and_consumers() {
    real(async |world| {
        let _manager = world.manager_with(&Options { webhook: true, ..Options::default() }).await;
        world.create(json!({"cluster": {"size": 1}})).await;
        world.state_becomes("Ready").await;
        make_stream(world, "orders", 1).await;
        make_consumer(world, "orders").await;
        let facts = |streams: bool| {
            move |status: &nats_manager_api::NatsStatus| {
                status.jet_stream.as_ref().is_some_and(|held| held.streams == streams)
            }
        };
        world.status_becomes("the stream is known", facts(true)).await;
        let refused = world.patch(size(3)).await.unwrap_err().to_string();
        assert!(refused.contains("while there are streams"), "{refused}");

        let mut user = User::new(world).await;
        let named = user.follows(PAGE, "run: one to three").await;
        assert!(named.ends_with("\norders\n"), "{named}");
        user.types("nats stream rm orders --force").await;
        world.status_becomes("no stream is left", facts(false)).await;
        user.follows(PAGE, "run: restore").await;
        user.types("nats stream edit orders --replicas 3 --force").await;
        counts(world, 3).await;
        world.state_becomes("Ready").await;

        let mut stream = world.nats().await.get_stream("orders").await.unwrap();
        let info = stream.info().await.unwrap();
        assert_eq!((info.state.messages, info.config.num_replicas), (1, 3));
        stream.get_consumer::<pull::Config>("reader").await.unwrap();
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn without_a_webhook_a_single_server_with_streams_is_held() {
    real(async |world| {
        let _manager = running(world, 1).await;
        make_stream(world, "orders", 1).await;
        world.patch(size(3)).await.unwrap();
        progress_says(world, "destroys its stream (orders)").await;
        let mut stream = world.nats().await.get_stream("orders").await.unwrap();
        assert_eq!(stream.info().await.unwrap().state.messages, 1);
        world.patch(size(1)).await.unwrap();
        world.state_becomes("Ready").await;
    });
}

/// The NATS command line, as a user has it in the cluster.
pub async fn nats(world: &World<'_>, args: &[&str]) {
    let program = Tool::NatsCli.path().await.unwrap();
    let mut command = tokio::process::Command::from(world.cluster.enter(program.to_str().unwrap()));
    command.args(["--server", "nats://eventing-nats.kyma-system.svc.cluster.local:4222"]).args(args);
    let output = command.output().await.unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "nats {args:?}: {}{}", said(&output.stdout), said(&output.stderr));
}
