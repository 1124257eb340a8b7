//! Backup of streams, and their restore into a new cluster, by the documented commands.

use std::{fs::File, io::Read, time::Instant};

use async_nats::jetstream::{consumer::pull, context::Context, stream::Config};
use futures::StreamExt;
use nats_manager_harness::{NatsOptions, NatsServer, NatsVersion, Seen, Tool, eventually};
use serde_json::json;

use crate::{
    eventing::{EVENT, stream_of_eventing},
    streams::STREAM,
    typed::User,
    world::{SOON, World, real},
};

const PAGE: &str = "docs/user/backup.md";
/// Image of the Jobs on the page. Its stand-in contains the NATS command line only.
const NATS_BOX: &str = "docker.io/natsio/nats-box:0.19.7";
const EVENTING: [&str; 2] = ["eventing-manager", "eventing-publisher-proxy"];
/// Number of messages of the stream `orders`, and their size in bytes, which compression does not reduce.
const ORDERS: usize = 256;
const ORDER: usize = 1 << 20;

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn documented_backup_moves_streams_and_consumers_to_a_new_cluster() {
    real(async |world| {
        world.cluster.load_program(NATS_BOX, &Tool::NatsCli.path().await.unwrap()).await.unwrap();
        let _manager = world.manager().await;
        world.create(json!({"cluster": {"size": 3}})).await;
        world.state_becomes("Ready").await;
        for name in EVENTING {
            let image = "--image=nats-server.example/pause:stand-in";
            world.kubectl(&["create", "deployment", name, "-n", "kyma-system", image]).await.unwrap();
        }
        let context = world.nats().await;
        make_streams(&context).await;
        let before = contents(&context).await;

        let mut user = User::new(world).await;
        user.follows(PAGE, "run: stop eventing").await;
        assert_eq!(replicas(world).await, "0 0");
        let begun = Instant::now();
        let log = user.follows(PAGE, "run: back up").await;
        println!("backup: {:?}\n{log}", begun.elapsed());
        assert!(log.contains("stream \"sap\"") && log.contains("stream \"orders\""), "{log}");

        // A port-forward ends with the servers that it leads to.
        user.follows(PAGE, "run: on your machine").await;
        user.types("nats stream rm sap --force\nnats stream rm orders --force").await;
        user.follows(PAGE, "run: replace").await;
        let begun = Instant::now();
        let log = user.follows(PAGE, "run: restore").await;
        println!("restore: {:?}\n{log}", begun.elapsed());
        assert_eq!(contents(&world.nats().await).await, before);

        user.types("kubectl port-forward -n kyma-system service/eventing-nats 4222 &").await;
        let rejection = user.fails("nats account restore ./backup").await;
        assert!(rejection.contains("exists already"), "{rejection}");
        user.follows(PAGE, "run: start eventing").await;
        assert_eq!(replicas(world).await, "1 0");
        user.follows(PAGE, "run: clean up").await;
        single_server_restores_with_one_replica(&mut user).await;
        memory_stream_is_named(&mut user).await;
    });
}

/// Creates the stream of Eventing with ten messages, two of which its consumer has acknowledged, and the stream `orders`.
async fn make_streams(context: &Context) {
    let orders =
        Config { name: "orders".to_owned(), subjects: vec!["orders".to_owned()], num_replicas: 3, ..Config::default() };
    for config in [stream_of_eventing(), orders] {
        eventually("the stream is created", SOON, || async {
            context.create_stream(config.clone()).await.map(|_| true)
        })
        .await;
    }
    let config = pull::Config { durable_name: Some("reader".to_owned()), ..pull::Config::default() };
    let consumer = eventually("the consumer is created", SOON, || async {
        context.create_consumer_on_stream(config.clone(), STREAM).await.map(Seen::Done)
    })
    .await;
    for _ in 0..10 {
        context.publish(EVENT, "event".into()).await.unwrap().await.unwrap();
    }
    let mut messages = consumer.messages().await.unwrap().take(2);
    while let Some(message) = messages.next().await {
        message.unwrap().double_ack().await.unwrap();
    }
    let payload = random(ORDER);
    for _ in 0..ORDERS {
        context.publish("orders", payload.clone().into()).await.unwrap().await.unwrap();
    }
}

/// Returns for both streams the messages, the last sequence and the replicas, and the messages that the consumer has to
/// deliver.
async fn contents(context: &Context) -> (Vec<(u64, u64, usize)>, u64) {
    let mut streams = Vec::new();
    for name in [STREAM, "orders"] {
        let mut stream = context.get_stream(name).await.unwrap();
        let info = stream.info().await.unwrap();
        streams.push((info.state.messages, info.state.last_sequence, info.config.num_replicas));
    }
    let stream = context.get_stream(STREAM).await.unwrap();
    let mut consumer = stream.get_consumer::<pull::Config>("reader").await.unwrap();
    let info = consumer.info().await.unwrap();
    (streams, info.num_pending + info.num_ack_pending as u64)
}

fn random(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

/// Returns the replicas of the Deployments of Eventing.
async fn replicas(world: &World<'_>) -> String {
    let args = ["get", "deployment", "-n", "kyma-system", "-o", "jsonpath={.items[*].spec.replicas}"];
    world.kubectl(&[&args[..], &EVENTING].concat()).await.unwrap()
}

/// Restores a stream with three replicas into a standalone server.
async fn single_server_restores_with_one_replica(user: &mut User) {
    let server = NatsServer::start(NatsOptions::default()).await.unwrap();
    let nats = format!("nats --server {}", server.url());
    let rejection = user.fails(&format!("{nats} account restore ./backup")).await;
    assert!(rejection.contains("10074"), "{rejection}");
    let info = user.types(&format!("{nats} stream restore ./backup/sap --replicas 1 --no-progress")).await;
    assert!(info.contains("Messages: 8"), "{info}");
}

/// Backs up a server with a stream in memory.
async fn memory_stream_is_named(user: &mut User) {
    let server = NatsServer::start(NatsOptions::default()).await.unwrap();
    let nats = format!("nats --server {}", server.url());
    user.types(&format!("{nats} stream add cache --subjects cache --storage memory --defaults")).await;
    let backup = format!("{nats} account backup ./memory --force --critical-warnings");
    if NatsVersion::selected().unwrap() == NatsVersion::V2_15_3 {
        user.types(&backup).await;
        return;
    }
    let failure = user.fails(&backup).await;
    assert!(failure.contains("cache: memory streams do not support snapshots"), "{failure}");
    user.types(&format!("{nats} stream rm cache --force")).await;
    let failure = user.fails(&format!("{nats} account restore ./memory")).await;
    assert!(failure.contains("expected backup.json"), "{failure}");
    user.types("rmdir ./memory/cache").await;
}
