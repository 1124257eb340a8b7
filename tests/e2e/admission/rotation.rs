//! Rotation of certificates and rolling restart of replicas under load, without lost reviews.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nats_manager_certs::{
    Announced, Authority, CaStore,
    authority::{AUTHORITY_LIFETIME, BACKDATED},
    secret,
};
use nats_manager_harness::{Seen, eventually};
use serde_json::json;

use super::{
    certificates::{put_secret, secret_data},
    load::{Load, PER_SECOND},
    pair::Pair,
    tls::served,
};
use crate::world::World;

/// Reviews that each part sends at least. A busy machine does not reach [`PER_SECOND`].
const LEAST: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ca_rotation_and_rolling_restart_lose_no_review() {
    let world = World::new().await;
    // The CA reaches two thirds of its lifetime in 25 s. The load has started by then.
    let until_due = SignedDuration::from_secs(25);
    let age = (AUTHORITY_LIFETIME + BACKDATED) * 2 / 3 - BACKDATED - until_due;
    let old = Authority::generate(Timestamp::now().checked_sub(age).unwrap()).unwrap();
    let store = CaStore::signed_by(Announced { authority: old.clone(), published_at: None });
    put_secret(&world, &secret::encode(&store)).await;
    let mut pair = Pair::start(&world).await;
    world.webhook_is_active().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let old_pem = old.certificate().to_pem();
    let mut leaves = Vec::new();
    for replica in &pair.replicas {
        leaves.push(served(replica.port, old_pem.as_bytes()).await.unwrap());
    }

    let load = Load::start(&world, PER_SECOND).await;
    let new = eventually("another CA signs", Duration::from_secs(150), || async {
        let data = secret_data(&world).await;
        let store = secret::decode(&data).map_err(|error| error.to_string())?.ok_or("empty")?;
        if store.current.authority == old {
            return Ok::<_, String>(Seen::NotYet(format!("next: {:?}", store.next)));
        }
        assert!(store.bundle().contains(old.certificate()), "certificates of the old CA are in use");
        Ok(Seen::Done(store.current.authority.certificate().to_pem()))
    })
    .await;
    for (replica, before) in pair.replicas.iter().zip(&leaves) {
        let leaf = eventually("its leaf is of the new CA", Duration::from_secs(10), || async {
            served(replica.port, new.as_bytes()).await.map(Some)
        })
        .await;
        assert_ne!(leaf, *before);
    }
    // Both replicas get new connections meanwhile.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let tally = load.end(&world, "rotation of CA and leaves").await;
    assert!(tally.sent >= LEAST, "{tally}");

    let load = Load::start(&world, PER_SECOND).await;
    for _ in 0..2 {
        let first = pair.replicas.remove(0);
        let ended = tokio::spawn(first.manager.terminate());
        pair.add(&world);
        pair.is_ready().await;
        assert_eq!(ended.await.unwrap().unwrap(), Some(0));
    }
    let tally = load.end(&world, "rolling restart").await;
    assert!(tally.sent >= LEAST, "{tally}");
}
