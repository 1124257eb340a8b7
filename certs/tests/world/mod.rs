//! Installation with a simulated clock: the history of stored and published data, a leader that changes each round, and
//! two replicas, one of which reads the Secret with a delay of five minutes.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use nats_manager_certs::{
    CaStore, DnsNames, Resolver, RotationStep, Serve, StoreChange, TrustBundle, may_replace, plan,
    secret::{self, Data},
};

use crate::tls;

/// Name of the server that clients call.
pub(crate) const SERVER: &str = "webhook.ns.svc";

/// Delay with which the apiserver reads the published bundle.
const CLIENT_DELAY: SignedDuration = SignedDuration::from_secs(60);

/// Values by time. The last entry that is not after a time is the value at that time.
pub(crate) struct History<T>(pub(crate) Vec<(Timestamp, T)>);

impl<T> History<T> {
    pub(crate) fn at(&self, time: Timestamp) -> Option<&T> {
        self.0.iter().rev().find(|(since, _)| *since <= time).map(|(_, value)| value)
    }
}

pub(crate) struct Replica {
    pub(crate) delay: SignedDuration,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) issued: usize,
}

impl Replica {
    pub(crate) fn new(delay_seconds: i64) -> Self {
        let delay = SignedDuration::from_secs(delay_seconds);
        Self { delay, resolver: Arc::new(Resolver::new()), issued: 0 }
    }

    pub(crate) fn poll(&mut self, secrets: &History<Data>, bundles: &History<TrustBundle>, now: Timestamp) {
        let Some(store) = secrets.at(now - self.delay).map(stored) else { return };
        if let Serve::Issue(_) = Serve::decide(&store, self.resolver.leaf().as_deref(), now) {
            let names = DnsNames { dns: vec![SERVER.into()], addresses: vec![] };
            // The CA of an old Secret may have expired, which the next poll resolves.
            let Ok(leaf) = store.current.authority.issue(&names, now) else { return };
            let published = bundles.at(now).cloned().unwrap_or_default();
            let propagated = bundles.at(now - CLIENT_DELAY).cloned().unwrap_or_default();
            let propagated = TrustBundle::common(&[published.clone(), propagated]);
            if !may_replace(self.resolver.leaf().as_deref(), &leaf, &published, &propagated, now) {
                return;
            }
            assert!(leaf.validity().not_after <= store.current.authority.validity().not_after);
            self.resolver.swap(leaf);
            self.issued += 1;
        }
    }
}

pub(crate) fn stored(data: &Data) -> CaStore {
    secret::decode(data).unwrap().unwrap()
}

/// Installation: the stored and published data by time, and the replicas that serve.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) secrets: History<Data>,
    pub(crate) bundles: History<TrustBundle>,
    pub(crate) replicas: [Replica; 2],
    pub(crate) changes: Vec<String>,
    /// True while the configurations can be written.
    pub(crate) is_publishing: bool,
}

impl World {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            secrets: History(Vec::new()),
            bundles: History(Vec::new()),
            replicas: [Replica::new(0), Replica::new(300)],
            changes: Vec::new(),
            is_publishing: true,
        }
    }

    pub(crate) fn data(&self) -> Data {
        self.secrets.at(self.now).cloned().unwrap_or_default()
    }

    pub(crate) fn write(&mut self, data: Data) {
        self.secrets.0.push((self.now, data));
    }

    /// Runs one round of the leader, which changes each round and uses only stored data. Returns whether it wrote.
    pub(crate) fn lead(&mut self) -> bool {
        let published = self.bundles.at(self.now).cloned().unwrap_or_default();
        match plan(&self.data(), &published, self.now).unwrap() {
            RotationStep::Write { store, change } => {
                self.write(secret::encode(&store));
                self.changes.push(change_name(&change));
                true
            }
            RotationStep::Wait { .. } => {
                let desired = stored(&self.data()).bundle_at(self.now);
                let is_stale = self.is_publishing && desired != published;
                if is_stale {
                    self.bundles.0.push((self.now, desired));
                }
                is_stale
            }
        }
    }

    pub(crate) fn tick(&mut self, step: SignedDuration) -> bool {
        self.now += step;
        let busy = self.lead();
        for replica in &mut self.replicas {
            replica.poll(&self.secrets, &self.bundles, self.now);
        }
        busy
    }

    /// Asserts that a client with the bundle of a minute ago accepts the leaf of each replica.
    pub(crate) fn all_accept(&self) {
        let bundle = self.bundles.at(self.now - CLIENT_DELAY).expect("published");
        for (replica, number) in self.replicas.iter().zip(1..) {
            let leaf = replica.resolver.leaf().expect("served");
            let result = bundle.verify(&leaf, self.now);
            assert!(result.is_ok(), "replica {number} at {}: {result:?} {:?}", self.now, self.changes);
        }
    }

    pub(crate) fn all_handshake(&self) {
        let bundle = self.bundles.at(self.now - CLIENT_DELAY).expect("published");
        for replica in &self.replicas {
            tls::handshake(&replica.resolver, bundle, SERVER, self.now).unwrap();
        }
    }

    /// Runs until `end`, in rounds of 10 seconds while changes occur, and of 3 hours otherwise.
    pub(crate) fn run_until(&mut self, end: Timestamp) {
        let mut busy_until = self.now;
        while self.now < end {
            let is_busy = self.now < busy_until;
            let step = if is_busy { SignedDuration::from_secs(10) } else { SignedDuration::from_hours(3) };
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

    /// Starts an installation, and runs it until both replicas serve and clients have read the bundle.
    pub(crate) fn start(now: Timestamp) -> Self {
        let mut world = Self::new(now);
        for _ in 0..60 {
            world.tick(SignedDuration::from_secs(10));
        }
        assert_eq!(world.changes, ["First", "Published"]);
        world
    }
}

pub(crate) fn change_name(change: &StoreChange) -> String {
    let all = format!("{change:?}");
    all.split('(').next().unwrap_or_default().to_owned()
}
