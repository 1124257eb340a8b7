//! The world: the environment of the manager, a second at a time.

use crate::{
    kubernetes::{
        Kubernetes, VolumeChange,
        controller::{self, Deletion},
        kubelet::{self, Host},
        objects::{Actor, ApiError},
        volumes,
    },
    ledger::Ledger,
    nats::Nats,
    random::{Purpose, Random},
    servers::{Group, SERVERS, ServerId},
};

/// Faults of the apiserver, the controllers and the manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Error of the apiserver, the percentage of writes that fail, and the second at which it ends.
    pub api: Option<(ApiError, u64, u64)>,
    /// Second until which each write takes a second.
    pub slow_until: u64,
    /// Number of further writes after which the manager is killed.
    pub kill_after: Option<u32>,
    /// Second until which no manager runs.
    pub down_until: u64,
    /// Second until which the StatefulSet controller is stopped.
    pub controller_until: u64,
    /// Second until which a configuration that the predecessor has overwritten is excused.
    pub overwritten_until: u64,
}

/// Environment of the manager.
#[derive(Clone, Debug)]
pub struct World {
    /// Present second of the run.
    pub now: u64,
    /// The seed of all delays.
    pub seed: u64,
    /// State of Kubernetes.
    pub kubernetes: Kubernetes,
    /// State of the NATS servers and streams.
    pub nats: Nats,
    /// Faults in progress.
    pub faults: Faults,
    /// Records of the run.
    pub ledger: Ledger,
}

impl World {
    /// Builds a world at second 0.
    pub fn new(seed: u64, kubernetes: Kubernetes, nats: Nats) -> Self {
        Self { now: 0, seed, kubernetes, nats, faults: Faults::default(), ledger: Ledger::default() }
    }

    /// Builds the generator of this second for a purpose.
    pub fn random(&self, purpose: Purpose) -> Random {
        Random::new(self.seed, self.now, purpose)
    }

    /// Begins the next second. Returns the Pods that the StatefulSet controller deletes.
    pub fn begin(&mut self) -> Vec<Deletion> {
        self.now += 1;
        let is_late = self.now < self.faults.controller_until || !self.random(Purpose::Controller).chance(60);
        if is_late { Vec::new() } else { controller::sync(&mut self.kubernetes, self.now) }
    }

    /// Runs a second of everything but the StatefulSet controller and the manager.
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
        volumes::tick(&mut self.kubernetes, self.now, &mut random);
        self.sync_volumes();
        let mut random = self.random(Purpose::Nats);
        self.nats.tick(self.now, &mut random);
        self.return_servers();
    }

    /// Applies created and deleted PVCs to the servers' stores.
    pub fn sync_volumes(&mut self) {
        for change in std::mem::take(&mut self.kubernetes.volumes) {
            match change {
                VolumeChange::Created(server, limit) => {
                    self.nats.stores[server].limit = limit;
                    self.nats.stores[server].gone = false;
                }
                VolumeChange::Grown(server, limit) => self.nats.stores[server].limit = limit,
                VolumeChange::Deleted(server) => {
                    let by = std::mem::replace(&mut self.ledger.pvc_deleted[server], Actor::Other);
                    self.nats.destroy(server, by, self.now);
                }
            }
        }
    }

    /// Removes servers from the record of those that are away: they are back, or no longer part of the cluster.
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
                // The full volume prevents its start, not the manager.
                self.ledger.away[server] = Some(Actor::Other);
            }
        }
    }

    /// Returns the StatefulSet's replicas; 0 without a StatefulSet.
    pub fn replicas(&self) -> ServerId {
        self.kubernetes.set.map_or(0, |set| usize::try_from(set.replicas).unwrap_or(0))
    }

    /// Returns the servers that a fault has hit so recently that a poll may not show it yet.
    pub fn unnoticed(&self) -> Group {
        // No plan is made from an old status of the StatefulSet.
        let is_stale = self.now < self.faults.controller_until + 10;
        let notice = if is_stale { 5 * crate::nats::NOTICE } else { crate::nats::NOTICE };
        let since = self.now.saturating_sub(notice);
        (0..SERVERS)
            .filter(|server| self.nats.disturbed[*server] > 0 && self.nats.disturbed[*server] >= since)
            .collect()
    }
}
