//! Complete rotation with a simulated clock: a leader, two replicas of which one reads the Secret with a delay, and
//! clients that trust the bundle of a minute ago and perform real TLS handshakes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod tls;
mod world;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use nats_manager_certs::{
    CaStore, DnsNames, Resolver, RotationStep,
    authority::{AUTHORITY_LIFETIME, LEAF_LIFETIME},
    plan,
    renewal::renew_at,
    secret,
};
use world::{History, SERVER, World, stored};

fn january() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

#[test]
fn handshakes_succeed_for_two_years() {
    let mut world = World::start(january());
    world.run_until(january() + AUTHORITY_LIFETIME + AUTHORITY_LIFETIME);
    let rotation = ["Prepared", "Published", "Switched", "Dropped"];
    assert_eq!(world.changes[2..], [rotation, rotation].concat());
    // One leaf every 4.7 days, and one at each change of the CA.
    for replica in &world.replicas {
        assert!((150..170).contains(&replica.issued), "{}", replica.issued);
    }
}

#[test]
fn unwritable_configurations_stop_only_the_rotation() {
    let mut world = World::start(january());
    let due = renew_at(stored(&world.data()).current.authority.validity());
    world.is_publishing = false;
    world.run_until(due + LEAF_LIFETIME * 4);
    assert_eq!(world.changes[2..], ["Prepared"]);
    world.is_publishing = true;
    world.run_until(world.now + LEAF_LIFETIME * 2);
    assert_eq!(world.changes[2..], ["Prepared", "Published", "Switched", "Dropped"]);
}

#[test]
fn damaged_secret_is_repaired_without_failed_handshakes() {
    for damage in ["tls.key", "tls.crt", "next.key", "ca.crt", "all"] {
        let mut world = World::start(january());
        world.now += SignedDuration::from_hours(40);
        let mut data = world.data();
        match damage {
            "all" => data.clear(),
            key => drop(data.insert(key.into(), b"nonsense".to_vec())),
        }
        // The leader repairs the Secret first: a replica keeps its leaf while it cannot decode the Secret.
        let published = world.bundles.at(world.now).cloned().unwrap();
        let RotationStep::Write { store, .. } = plan(&data, &published, world.now).unwrap() else {
            panic!("{damage}");
        };
        world.write(secret::encode(&store));
        world.run_until(world.now + LEAF_LIFETIME * 2);
        assert_eq!(stored(&world.data()).bundle().certificates().len(), 1, "{damage}");
    }
}

#[test]
fn older_secret_that_is_put_back_fails_no_handshake() {
    let mut world = World::start(january());
    let older = world.data();
    let due = renew_at(stored(&older).current.authority.validity());
    world.run_until(due + LEAF_LIFETIME * 2);
    assert_eq!(world.changes[2..], ["Prepared", "Published", "Switched", "Dropped"]);
    let former = stored(&world.data()).current.authority.certificate().clone();
    world.write(older);
    world.run_until(world.now + LEAF_LIFETIME * 3);
    assert!(world.changes[6..].starts_with(&["Trusted".to_owned()]), "{:?}", world.changes);
    assert!(!stored(&world.data()).bundle().contains(&former));
}

#[test]
fn handshakes_succeed_soon_after_a_year_of_sleep() {
    let mut world = World::start(january());
    world.now += AUTHORITY_LIFETIME + SignedDuration::from_hours(1);
    // The second replica reads the Secret with a delay of five minutes.
    for _ in 0..45 {
        world.tick(SignedDuration::from_secs(10));
    }
    world.all_accept();
    world.all_handshake();
    world.run_until(world.now + LEAF_LIFETIME * 2);
}

#[test]
fn handshakes_succeed_after_clock_is_set_back_a_year() {
    let mut world = World::start(january());
    let set_back = world.now - AUTHORITY_LIFETIME;
    let (data, bundle) = (world.data(), world.bundles.at(world.now).cloned().unwrap());
    world.now = set_back;
    world.secrets = History(vec![(Timestamp::MIN, data)]);
    world.bundles = History(vec![(Timestamp::MIN, bundle)]);
    for _ in 0..45 {
        world.tick(SignedDuration::from_secs(10));
    }
    world.all_handshake();
    world.run_until(world.now + LEAF_LIFETIME * 2);
}

#[test]
fn handshake_before_first_leaf_fails_with_error() {
    let resolver = Arc::new(Resolver::new());
    assert_eq!(resolver.not_after(), None);
    let now = january();
    let store = CaStore::first(now).unwrap();
    let error = tls::handshake(&resolver, &store.bundle(), SERVER, now).unwrap_err();
    assert!(error.contains("no server certificate chain resolved"), "{error}");
    let names = DnsNames { dns: vec![SERVER.into()], addresses: vec![] };
    resolver.swap(store.current.authority.issue(&names, now).unwrap());
    assert_eq!(resolver.not_after(), Some(now + LEAF_LIFETIME));
    tls::handshake(&resolver, &store.bundle(), SERVER, now).unwrap();
    let error = tls::handshake(&resolver, &store.bundle(), "other.ns.svc", now).unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
}
