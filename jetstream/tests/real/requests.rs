//! All requests, carried out by real servers.

use std::{collections::BTreeMap, time::Duration};

use async_nats::jetstream::{self, consumer::pull, stream};
use nats_manager_harness::eventually;
use nats_manager_jetstream::{
    AccountInventory, Admin, AdminError, MonitoringEndpoint, Poller, config_digests, inventory, step_down, stream_names,
};
use nats_manager_planner::{
    Time,
    plan::PeerRef,
    snapshot::{Healthz, JetStreamSnapshot, PeerId, StreamId},
};

use crate::servers::{COUNT, Cluster, credentials, name};

const PATIENCE: Duration = Duration::from_secs(30);

async fn poll(poller: &Poller, targets: &[MonitoringEndpoint]) -> JetStreamSnapshot {
    poller.poll(targets, Time::default()).await
}

/// Returns the servers that have a replica of a stream, and its leader.
fn replicas_of(snapshot: &JetStreamSnapshot, stream: &str) -> (Vec<String>, Option<String>) {
    let replicas: Vec<_> = snapshot.replicas().filter(|(_, replica)| replica.stream.name == stream).collect();
    let leads = |name: &&str, leader: Option<&String>| leader.is_some_and(|leader| leader == name);
    let leader = replicas
        .iter()
        .find(|(name, replica)| leads(name, replica.group.as_ref().and_then(|group| group.leader.as_ref())));
    let leader = leader.map(|(name, _)| (*name).to_owned());
    (replicas.iter().map(|(name, _)| (*name).to_owned()).collect(), leader)
}

async fn create_streams(cluster: &Cluster) {
    let client = async_nats::connect(cluster.url(0)).await.unwrap();
    let context = jetstream::new(client);
    for (name, replicas) in [("sap", 3), ("orders", 1)] {
        let config = stream::Config { name: name.to_owned(), num_replicas: replicas, ..stream::Config::default() };
        let stream = context.create_stream(config).await.unwrap();
        if name == "sap" {
            stream.create_consumer(pull::Config::default()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn requests_are_carried_out() {
    let mut cluster = Cluster::start().await;
    let (targets, poller) = (cluster.targets(), Poller::default());
    let address = cluster.url(0);
    assert_eq!(inventory(&address).await.unwrap(), AccountInventory::default());
    create_streams(&cluster).await;

    let names = ["orders", "sap"].map(str::to_owned);
    assert_eq!(stream_names(&address).await.unwrap(), names.clone().into());
    let expected = AccountInventory { streams: 2, names: names.into(), customer_stream: true, consumer: true };
    assert_eq!(inventory(&address).await.unwrap(), expected);
    snapshot_shows_all(&poll(&poller, &targets).await);
    let digests = config_digests(&targets).await;
    assert!(digests.values().all(|digest| digest.as_ref().unwrap().starts_with("sha256:")), "{digests:?}");

    let sap = StreamId::new("$G", "sap");
    let (_, leader) = replicas_of(&poll(&poller, &targets).await, "sap");
    step_down(&address, std::slice::from_ref(&sap)).await.unwrap();
    eventually("another replica leads", PATIENCE, async || {
        let now = replicas_of(&poll(&poller, &targets).await, "sap").1;
        now.is_some() && now != leader
    })
    .await;
    let error = step_down(&address, &[StreamId::new("$G", "none"), sap]).await.unwrap_err().to_string();
    assert!(error.starts_with("failed to step down the leader of stream none: stream not found"), "{error}");

    let admin = Admin::connect(&address, Some(&credentials())).await.unwrap();
    let (at, _) = replicas_of(&poll(&poller, &targets).await, "orders");
    admin.move_stream(&StreamId::new("$G", "orders"), &at[0]).await.unwrap();
    eventually("the stream has moved", PATIENCE, async || {
        let (now, _) = replicas_of(&poll(&poller, &targets).await, "orders");
        now.len() == 1 && now != at
    })
    .await;
    let error = admin.move_stream(&StreamId::new("$G", "none"), "n-0").await.unwrap_err().to_string();
    assert_eq!(error, "failed to move stream none off n-0: stream not found (10059)");

    let id = poll(&poller, &targets).await.answer("n-1").unwrap().id.clone();
    admin.reload(&id).await.unwrap();
    assert!(matches!(Admin::connect(&address, None).await, Err(AdminError::NoCredentials)));

    peer_is_removed_by_id(&mut cluster, &poller).await;
}

fn snapshot_shows_all(snapshot: &JetStreamSnapshot) {
    assert_eq!(snapshot.answers().count(), COUNT, "{snapshot:?}");
    let (leader, meta) = snapshot.meta_group().unwrap();
    let ids: BTreeMap<&str, &PeerId> = meta.peers.iter().map(|peer| (peer.name.as_str(), &peer.id)).collect();
    let expected: Vec<String> = (0..COUNT).map(name).filter(|name| name != leader).collect();
    let expected: Vec<_> = expected.iter().map(|name| (name.as_str(), PeerId::of(name))).collect();
    assert_eq!(ids.into_iter().map(|(name, id)| (name, id.clone())).collect::<Vec<_>>(), expected);
    for (name, server) in snapshot.answers() {
        assert_eq!(server.healthz, Healthz::Ok, "{name}");
        assert!(server.version.is_some() && server.file.limit > 0, "{server:?}");
    }
    assert_eq!(replicas_of(snapshot, "sap").0.len(), 3);
    assert_eq!(replicas_of(snapshot, "orders").0.len(), 1);
}

/// Removes a stopped peer whose name the other servers dropped when they restarted.
async fn peer_is_removed_by_id(cluster: &mut Cluster, poller: &Poller) {
    let targets = cluster.targets();
    let [first, second, third] = &mut cluster.servers[..] else { unreachable!("three servers") };
    third.stop().await.unwrap();
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    let (one, two) = tokio::join!(first.start_again(), second.start_again());
    one.and(two).unwrap();
    let unnamed = eventually("the meta group has a leader and all peers", PATIENCE, async || {
        let snapshot = poll(poller, &targets).await;
        let (_, meta) = snapshot.meta_group()?;
        meta.peers.iter().find(|peer| peer.is("n-2")).cloned()
    })
    .await;
    assert_eq!(unnamed.name, "Server name unknown at this time (peerID: L2hpLS7X)");
    assert_eq!((unnamed.current, &unnamed.id), (false, &PeerId::of("n-2")));

    let admin = Admin::connect(&cluster.url(0), Some(&credentials())).await.unwrap();
    let peer = PeerRef { name: unnamed.name, id: unnamed.id };
    admin.remove_peer(&peer).await.unwrap();
    eventually("the peer is gone", PATIENCE, async || {
        let snapshot = poll(poller, &targets).await;
        snapshot.meta_group().is_some_and(|(_, meta)| !meta.peers.iter().any(|peer| peer.is("n-2")))
    })
    .await;
    admin.remove_peer(&peer).await.expect("a peer that is not a member counts as removed");
    let snapshot = poll(poller, &targets).await;
    let cause = snapshot.servers["n-2"].as_ref().unwrap_err().to_string();
    assert!(cause.starts_with("cannot connect to the monitoring port: Connection refused"), "{cause}");
}
