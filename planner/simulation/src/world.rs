//! The world: everything around the manager, a second at a time.

use crate::{
    kubernetes::{
        Kubernetes, VolumeChange,
        controller::{self, Deletion},
        kubelet::{self, Host},
        objects::{Actor, ApiError},
    },
    ledger::Ledger,
    nats::Nats,
    random::{Purpose, Random},
    servers::{Group, SERVERS, ServerId},
};

/// Faults of the apiserver and of the manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// An error of the apiserver, in percent of all writes, until a time.
    pub api: Option<(ApiError, u64, u64)>,
    /// Until when writes take a second each.
    pub slow_until: u64,
    /// After how many more writes the manager is killed.
    pub kill_after: Option<u32>,
    /// Until when no manager runs.
    pub down_until: u64,
    /// Until when the StatefulSet controller does nothing.
    pub controller_until: u64,
    /// Until when a configuration that the predecessor has overwritten is excused.
    pub overwritten_until: u64,
}

/// Everything around the manager.
#[derive(Clone, Debug)]
pub struct World {
    /// The present second.
    pub now: u64,
    /// The seed of all delays.
    pub seed: u64,
    /// Kubernetes.
    pub kubernetes: Kubernetes,
    /// NATS.
    pub nats: Nats,
    /// Faults in progress.
    pub faults: Faults,
    /// What was done and what was violated.
    pub ledger: Ledger,
}

impl World {
    /// Builds a world.
    pub fn new(seed: u64, kubernetes: Kubernetes, nats: Nats) -> Self {
        Self { now: 0, seed, kubernetes, nats, faults: Faults::default(), ledger: Ledger::default() }
    }

    /// Returns the random numbers of this second for a purpose.
    pub fn random(&self, purpose: Purpose) -> Random {
        Random::new(self.seed, self.now, purpose)
    }

    /// Begins the next second. Returns the Pods that the StatefulSet controller deletes.
    pub fn begin(&mut self) -> Vec<Deletion> {
        self.now += 1;
        let is_late = self.now < self.faults.controller_until || !self.random(Purpose::Controller).chance(60);
        if is_late { Vec::new() } else { controller::sync(&mut self.kubernetes, self.now) }
    }

    /// Lets everything but the StatefulSet controller and the manager go on.
    pub fn tick(&mut self) {
        let mut random = self.random(Purpose::Kubelet);
        let mut host = Host {
            kubernetes: &mut self.kubernetes,
            nats: &mut self.nats,
            away: &self.ledger.away,
            overwritten_until: self.faults.overwritten_until,
            now: self.now,
        };
        kubelet::tick(&mut host, &mut random);
        self.kubernetes.release_pvcs();
        self.sync_volumes();
        let mut random = self.random(Purpose::Nats);
        self.nats.tick(self.now, &mut random);
        self.return_servers();
    }

    /// Empties stores of PVCs that are gone.
    pub fn sync_volumes(&mut self) {
        for change in std::mem::take(&mut self.kubernetes.volumes) {
            match change {
                VolumeChange::Created(server, limit) => {
                    self.nats.stores[server].limit = limit;
                    self.nats.stores[server].gone = false;
                }
                VolumeChange::Deleted(server) => {
                    let by = std::mem::replace(&mut self.ledger.pvc_deleted[server], Actor::Other);
                    self.nats.destroy(server, by, self.now);
                }
            }
        }
    }

    /// Servers that are back, or that are no longer servers, are not away.
    fn return_servers(&mut self) {
        let replicas = self.replicas();
        let peers = self.nats.peers();
        for server in 0..SERVERS {
            if self.ledger.away[server].is_none() {
                continue;
            }
            let pod = self.kubernetes.pods[server].as_ref();
            let is_back =
                self.nats.up.contains(server) && pod.is_some_and(|pod| pod.ready && pod.terminating.is_none());
            let is_gone = pod.is_none() && server >= replicas && !peers.contains(server);
            if is_back || is_gone {
                self.ledger.away[server] = None;
            } else if self.nats.stores[server].full && pod.is_some_and(|pod| pod.terminating.is_none()) {
                // Its volume keeps it from coming back, and not the manager.
                self.ledger.away[server] = Some(Actor::Other);
            }
        }
    }

    /// Returns the StatefulSet's replicas.
    pub fn replicas(&self) -> ServerId {
        self.kubernetes.set.map_or(0, |set| usize::try_from(set.replicas).unwrap_or(0))
    }

    /// Returns the servers that a fault has hit so recently that no poll shows it for sure.
    pub fn unnoticed(&self) -> Group {
        // While the StatefulSet's status is old, no plan is made from it.
        let is_stale = self.now < self.faults.controller_until + 10;
        let notice = if is_stale { 5 * crate::nats::NOTICE } else { crate::nats::NOTICE };
        let since = self.now.saturating_sub(notice);
        (0..SERVERS)
            .filter(|server| self.nats.disturbed[*server] > 0 && self.nats.disturbed[*server] >= since)
            .collect()
    }
}
