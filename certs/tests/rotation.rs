//! A whole rotation under a clock that the test turns: a leader, two replicas that see the Secret
//! late, and clients that trust what was published a minute ago and do real TLS handshakes.

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
fn two_years_without_a_refused_handshake() {
    let mut world = World::start(january());
    world.run_until(january() + AUTHORITY_LIFETIME + AUTHORITY_LIFETIME);
    let rotation = ["Prepared", "Published", "Switched", "Dropped"];
    assert_eq!(world.changes[2..], [rotation, rotation].concat());
    // A leaf each 4.7 days, and one at each change of the CA.
    for replica in &world.replicas {
        assert!((150..170).contains(&replica.issued), "{}", replica.issued);
    }
}

#[test]
fn configurations_that_cannot_be_written_stop_the_rotation_not_the_service() {
    let mut world = World::start(january());
    let due = renew_at(stored(&world.data()).current.authority.validity());
    world.publishing = false;
    world.run_until(due + LEAF_LIFETIME * 4);
    assert_eq!(world.changes[2..], ["Prepared"]);
    world.publishing = true;
    world.run_until(world.now + LEAF_LIFETIME * 2);
    assert_eq!(world.changes[2..], ["Prepared", "Published", "Switched", "Dropped"]);
}

#[test]
fn a_damaged_or_emptied_secret_goes_unnoticed_by_clients() {
    for damage in ["tls.key", "tls.crt", "next.key", "ca.crt", "all"] {
        let mut world = World::start(january());
        world.now += SignedDuration::from_hours(40);
        let mut data = world.data();
        match damage {
            "all" => data.clear(),
            key => drop(data.insert(key.into(), b"nonsense".to_vec())),
        }
        // The leader is the first to see it: a replica keeps its leaf over what it cannot read.
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
fn after_a_year_of_sleep_all_is_well_within_a_minute_or_two() {
    let mut world = World::start(january());
    world.now += AUTHORITY_LIFETIME + SignedDuration::from_hours(1);
    // The second replica is five minutes behind, which here is how long it sleeps on.
    for _ in 0..45 {
        world.tick(SignedDuration::from_secs(10));
    }
    world.all_accept();
    world.all_handshake();
    world.run_until(world.now + LEAF_LIFETIME * 2);
}

#[test]
fn a_clock_set_back_a_year_is_survived() {
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
fn a_handshake_before_the_first_leaf_fails_cleanly() {
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
