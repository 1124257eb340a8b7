//! An installation under a clock that the test turns: what was stored and published when, a leader
//! that is another each round, and two replicas, one of which sees the Secret five minutes late.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use nats_manager_certs::{
    CaStore, DnsNames, Resolver, RotationStep, Serve, StoreChange, TrustBundle, plan,
    secret::{self, Data},
};

use crate::tls;

/// The name by which clients call.
pub(crate) const SERVER: &str = "webhook.ns.svc";

/// How far behind the apiserver's view of the published bundle is.
const CLIENT_LAG: SignedDuration = SignedDuration::from_secs(60);

/// What was when: the last entry not after a time is what somebody saw then.
pub(crate) struct History<T>(pub(crate) Vec<(Timestamp, T)>);

impl<T> History<T> {
    pub(crate) fn at(&self, time: Timestamp) -> Option<&T> {
        self.0.iter().rev().find(|(since, _)| *since <= time).map(|(_, value)| value)
    }
}

pub(crate) struct Replica {
    pub(crate) lag: SignedDuration,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) issued: usize,
}

impl Replica {
    pub(crate) fn new(lag_seconds: i64) -> Self {
        let lag = SignedDuration::from_secs(lag_seconds);
        Self { lag, resolver: Arc::new(Resolver::new()), issued: 0 }
    }

    pub(crate) fn look(&mut self, secrets: &History<Data>, now: Timestamp) {
        let Some(store) = secrets.at(now - self.lag).map(stored) else { return };
        if let Serve::Issue(_) = Serve::decide(&store, self.resolver.leaf().as_deref(), now) {
            let names = DnsNames { dns: vec![SERVER.into()], addresses: vec![] };
            // Who sees an old Secret may find its CA ended; the next look mends that.
            let Ok(leaf) = store.current.authority.issue(&names, now) else { return };
            assert!(leaf.validity().not_after <= store.current.authority.validity().not_after);
            self.resolver.swap(leaf);
            self.issued += 1;
        }
    }
}

pub(crate) fn stored(data: &Data) -> CaStore {
    secret::decode(data).unwrap().unwrap()
}

/// The installation: what was stored and published when, and who serves.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) secrets: History<Data>,
    pub(crate) bundles: History<TrustBundle>,
    pub(crate) replicas: [Replica; 2],
    pub(crate) changes: Vec<String>,
    /// Set while the configurations cannot be written.
    pub(crate) publishing: bool,
}

impl World {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            secrets: History(Vec::new()),
            bundles: History(Vec::new()),
            replicas: [Replica::new(0), Replica::new(300)],
            changes: Vec::new(),
            publishing: true,
        }
    }

    pub(crate) fn data(&self) -> Data {
        self.secrets.at(self.now).cloned().unwrap_or_default()
    }

    pub(crate) fn write(&mut self, data: Data) {
        self.secrets.0.push((self.now, data));
    }

    /// One round of the leader, which is another each time: it knows only what is stored.
    pub(crate) fn lead(&mut self) -> bool {
        let published = self.bundles.at(self.now).cloned().unwrap_or_default();
        match plan(&self.data(), &published, self.now).unwrap() {
            RotationStep::Write { store, change } => {
                self.write(secret::encode(&store));
                self.changes.push(name(&change));
                true
            }
            RotationStep::Wait { .. } => {
                let wanted = stored(&self.data()).bundle();
                let stale = self.publishing && wanted != published;
                if stale {
                    self.bundles.0.push((self.now, wanted));
                }
                stale
            }
        }
    }

    pub(crate) fn tick(&mut self, step: SignedDuration) -> bool {
        self.now += step;
        let busy = self.lead();
        for replica in &mut self.replicas {
            replica.look(&self.secrets, self.now);
        }
        busy
    }

    /// Every replica's leaf, to a client that sees the bundle of a minute ago.
    pub(crate) fn all_accept(&self) {
        let bundle = self.bundles.at(self.now - CLIENT_LAG).expect("published");
        for (replica, number) in self.replicas.iter().zip(1..) {
            let leaf = replica.resolver.leaf().expect("served");
            let verdict = bundle.verify(&leaf, self.now);
            assert!(verdict.is_ok(), "replica {number} at {}: {verdict:?} {:?}", self.now, self.changes);
        }
    }

    pub(crate) fn all_handshake(&self) {
        let bundle = self.bundles.at(self.now - CLIENT_LAG).expect("published");
        for replica in &self.replicas {
            tls::handshake(&replica.resolver, bundle, SERVER, self.now).unwrap();
        }
    }

    /// Runs until `end` in rounds of 10 seconds while something happens, of 3 hours in between.
    pub(crate) fn run_until(&mut self, end: Timestamp) {
        let mut busy_until = self.now;
        while self.now < end {
            let fine = self.now < busy_until;
            let step = if fine { SignedDuration::from_secs(10) } else { SignedDuration::from_hours(3) };
            let issued = self.replicas.each_ref().map(|replica| replica.issued);
            let busy = self.tick(step);
            self.all_accept();
            if busy || issued != self.replicas.each_ref().map(|replica| replica.issued) {
                self.all_handshake();
            }
            if busy {
                busy_until = self.now + SignedDuration::from_mins(15);
            }
        }
    }

    /// The first minutes, until both replicas serve and a client has seen the bundle.
    pub(crate) fn start(now: Timestamp) -> Self {
        let mut world = Self::new(now);
        for _ in 0..60 {
            world.tick(SignedDuration::from_secs(10));
        }
        assert_eq!(world.changes, ["First", "Published"]);
        world
    }
}

pub(crate) fn name(change: &StoreChange) -> String {
    let all = format!("{change:?}");
    all.split('(').next().unwrap_or_default().to_owned()
}
