//! Model of Kubernetes: objects, the StatefulSet controller, kubelets and watch caches.

pub mod cache;
pub mod controller;
pub mod kubelet;
pub mod objects;
pub mod volumes;

use objects::{Actor, ApiError, ConfigMap, Exposure, Node, Pod, Pvc, Resource, Rules, StatefulSet};

use crate::servers::{SERVERS, ServerId};
use volumes::Driver;

/// State of the apiserver and of the nodes.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    /// The rule set of the StatefulSet controller.
    pub rules: Rules,
    /// The NATS custom resource.
    pub resource: Resource,
    /// The StatefulSet; `None` if it does not exist.
    pub set: Option<StatefulSet>,
    /// The ConfigMap; `None` if it does not exist.
    pub config: Option<ConfigMap>,
    /// Pods by ordinal.
    pub pods: [Option<Pod>; SERVERS],
    /// Number of changes of Pods, for the watch caches.
    pub pods_version: u64,
    /// PVCs by ordinal.
    pub pvcs: [Option<Pvc>; SERVERS],
    /// Number of changes of PVCs, for the watch caches.
    pub pvcs_version: u64,
    /// Nodes by ordinal.
    pub nodes: [Node; SERVERS],
    /// Second until which no Pod can be created.
    pub quota_until: u64,
    /// PVCs that were created or deleted, to be applied to the servers' stores.
    pub volumes: Vec<VolumeChange>,
    /// A user has set the StatefulSet's replicas or partition once.
    pub is_changed_by_hand: bool,
    /// Behaviour of the volume driver.
    pub driver: Driver,
    counter: u64,
}

/// Creation or deletion of a PVC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeChange {
    /// A new, empty volume of this size in bytes.
    Created(ServerId, u64),
    /// The volume has grown to this size in bytes.
    Grown(ServerId, u64),
    /// The volume was deleted.
    Deleted(ServerId),
}

impl Kubernetes {
    /// Builds a namespace with nothing but the NATS resource.
    pub fn new(rules: Rules, resource: Resource) -> Self {
        Self {
            rules,
            resource,
            set: None,
            config: None,
            pods: [const { None }; SERVERS],
            pods_version: 0,
            pvcs: [None; SERVERS],
            pvcs_version: 0,
            nodes: [Node::Up; SERVERS],
            quota_until: 0,
            volumes: Vec::new(),
            is_changed_by_hand: false,
            driver: Driver::default(),
            counter: 1,
        }
    }

    /// Generates a new resourceVersion or uid.
    pub fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Changes the StatefulSet's spec, and records which Pods the controller will delete because of it.
    pub fn update_set(&mut self, by: Actor, now: u64, change: impl FnOnce(&mut StatefulSet)) {
        let version = self.count();
        let Some(set) = &mut self.set else { return };
        let before = *set;
        change(set);
        if before == *set {
            return;
        }
        set.version = version;
        let spec = |set: &StatefulSet| (set.replicas, set.partition, set.on_delete, set.template);
        set.generation += u64::from(spec(&before) != spec(set));
        for pod in self.pods.iter_mut().flatten() {
            let is_new = (set.condemns(pod) && !before.condemns(pod)) || !before.exposes(pod);
            if !set.exposes(pod) {
                pod.exposure = None;
            } else if is_new || pod.exposure.is_none() {
                pod.exposure = Some(Exposure { by, since: now });
            }
        }
    }

    /// Sets the deletion timestamp of a Pod.
    pub fn terminate(&mut self, ordinal: ServerId, now: u64) {
        if let Some(pod) = self.pods[ordinal].as_mut().filter(|pod| pod.terminating.is_none()) {
            pod.terminating = Some(now);
            self.pods_version += 1;
        }
    }

    /// Deletes a Pod if its uid is `uid`.
    pub fn delete_pod(&mut self, ordinal: ServerId, uid: &str, now: u64) -> Result<(), ApiError> {
        match &self.pods[ordinal] {
            None => Err(ApiError::NotFound),
            Some(pod) if pod.uid.to_string() != uid => Err(ApiError::Conflict),
            Some(_) => {
                self.terminate(ordinal, now);
                Ok(())
            }
        }
    }

    /// Deletes a PVC if its uid is `uid`, or in any case without `uid`.
    pub fn delete_pvc(&mut self, ordinal: ServerId, uid: Option<&str>) -> Result<(), ApiError> {
        let pvc = self.pvcs[ordinal].as_mut().ok_or(ApiError::NotFound)?;
        if uid.is_some_and(|uid| pvc.uid.to_string() != uid) {
            return Err(ApiError::Conflict);
        }
        pvc.terminating = true;
        self.pvcs_version += 1;
        Ok(())
    }

    /// Raises the size that a PVC requests if its uid is `uid`. A size that is not larger changes nothing.
    pub fn expand_pvc(&mut self, ordinal: ServerId, uid: &str, size: u64) -> Result<(), ApiError> {
        let pvc = self.pvcs[ordinal].as_mut().ok_or(ApiError::NotFound)?;
        if pvc.uid.to_string() != uid {
            return Err(ApiError::Conflict);
        }
        pvc.requested = pvc.requested.max(size);
        self.pvcs_version += 1;
        Ok(())
    }

    /// Removes terminating PVCs that no Pod uses.
    pub fn release_pvcs(&mut self) {
        for ordinal in 0..SERVERS {
            if self.pods[ordinal].is_none() && self.pvcs[ordinal].is_some_and(|pvc| pvc.terminating) {
                self.pvcs[ordinal] = None;
                self.pvcs_version += 1;
                self.volumes.push(VolumeChange::Deleted(ordinal));
            }
        }
    }
}

impl StatefulSet {
    /// Returns whether the controller will delete this Pod.
    pub fn exposes(&self, pod: &Pod) -> bool {
        let ordinal = u32::try_from(pod.ordinal).unwrap_or(u32::MAX);
        let is_outdated = pod.template != self.template;
        self.condemns(pod) || (is_outdated && !self.on_delete && ordinal >= self.partition)
    }

    fn condemns(&self, pod: &Pod) -> bool {
        u32::try_from(pod.ordinal).is_ok_and(|ordinal| ordinal >= self.replicas)
    }
}
