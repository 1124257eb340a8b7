//! Watch caches of the manager: each kind of object lags on its own.

use nats_manager_planner::{
    Time,
    actual::{ActualState, LiveConfig, PodState, PvcState, ReplicaCounts, StatefulSetState, VolumeExpansion},
};

use super::{
    Kubernetes,
    objects::{ConfigMap, Pod, Pvc, Resource, StatefulSet},
};
use crate::{
    random::Random,
    servers::{NAME, Names},
};

/// Kinds of objects that the manager watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The StatefulSet.
    StatefulSet = 0,
    /// The servers' Pods.
    Pods = 1,
    /// The servers' PVCs.
    Pvcs = 2,
    /// The ConfigMap.
    Config = 3,
    /// The NATS custom resource.
    Resource = 4,
}

/// Number of watched kinds.
pub const KINDS: usize = 5;

/// Watch caches of the manager.
#[derive(Clone, Debug)]
pub struct Caches {
    /// Actual state, as the input of the planner.
    pub actual: ActualState,
    /// Cached StatefulSet.
    pub set: Option<StatefulSet>,
    /// Cached ConfigMap.
    pub config: Option<ConfigMap>,
    /// Cached NATS resource.
    pub resource: Resource,
    /// Second until which each watch receives no events.
    pub stalled: [u64; KINDS],
    pods_version: u64,
    pvcs_version: u64,
}

/// Converts a second of the run to a time of the planner.
pub fn time(now: u64) -> Time {
    const EPOCH: i64 = 1_700_000_000_000;
    Time::from_millis(EPOCH + i64::try_from(now).unwrap_or(i64::MAX / 2000) * 1000)
}

impl Caches {
    /// Builds caches with all present objects: a manager waits for them at its start.
    pub fn new(kubernetes: &Kubernetes, names: &Names) -> Self {
        let mut caches = Self {
            actual: ActualState { name: NAME.to_owned(), ..ActualState::default() },
            set: None,
            config: None,
            resource: kubernetes.resource.clone(),
            stalled: [0; KINDS],
            pods_version: u64::MAX,
            pvcs_version: u64::MAX,
        };
        caches.take_set(kubernetes.set);
        caches.take_config(kubernetes.config);
        caches.take_resource(&kubernetes.resource);
        caches.take_pods(kubernetes, names);
        caches.take_pvcs(kubernetes);
        caches
    }

    /// Delivers watch events. Returns whether a cache changed.
    pub fn tick(&mut self, kubernetes: &Kubernetes, names: &Names, now: u64, random: &mut Random) -> bool {
        let mut is_changed = false;
        let stalled = self.stalled;
        let mut delivers = |kind: Watch| now >= stalled[kind as usize] && random.chance(80);
        if delivers(Watch::StatefulSet) && self.set != kubernetes.set {
            self.take_set(kubernetes.set);
            is_changed = true;
        }
        if delivers(Watch::Pods) && self.pods_version != kubernetes.pods_version {
            self.take_pods(kubernetes, names);
            is_changed = true;
        }
        if delivers(Watch::Pvcs) && self.pvcs_version != kubernetes.pvcs_version {
            self.take_pvcs(kubernetes);
            is_changed = true;
        }
        if delivers(Watch::Config) && self.config != kubernetes.config {
            self.take_config(kubernetes.config);
            is_changed = true;
        }
        if delivers(Watch::Resource) && self.resource.version != kubernetes.resource.version {
            self.take_resource(&kubernetes.resource);
            is_changed = true;
        }
        is_changed
    }

    /// Stores a StatefulSet from a watch event or from the answer to an own write.
    pub fn take_set(&mut self, set: Option<StatefulSet>) {
        self.set = set;
        self.actual.stateful_set = set.map(|set| StatefulSetState {
            uid: "stateful-set".to_owned(),
            resource_version: Some(set.version.to_string()),
            replicas: set.replicas,
            partition: if set.on_delete { set.replicas } else { set.partition },
            template_hash: set.applied.map(|template| template.hash()),
            config_key: set.template.key,
            memory_store: Some(set.memory),
            file_store: Some(set.file),
            volume_size: Some(set.volume),
            is_observed: set.status.observed >= set.generation,
            current_revision: (set.status.observed > 0).then(|| set.status.current.revision()),
            update_revision: (set.status.observed > 0).then(|| set.status.update.revision()),
            counts: ReplicaCounts { present: set.status.present, updated: set.status.updated, ready: set.status.ready },
        });
    }

    /// Stores a ConfigMap from a watch event or from the answer to an own write.
    pub fn take_config(&mut self, config: Option<ConfigMap>) {
        self.config = config;
        self.actual.config = config.map(|config| LiveConfig {
            main_routes: config.main,
            clustered_routes: config.clustered,
            file_store: Some(config.file),
        });
    }

    /// Stores a NATS resource from a watch event or from the answer to an own write.
    pub fn take_resource(&mut self, resource: &Resource) {
        self.resource.clone_from(resource);
        self.actual.members = resource.members;
        self.actual.servers_started = Some(resource.servers_started);
    }

    fn take_pods(&mut self, kubernetes: &Kubernetes, names: &Names) {
        self.pods_version = kubernetes.pods_version;
        self.actual.pods = kubernetes.pods.iter().flatten().map(|pod| pod_state(pod, names)).collect();
    }

    fn take_pvcs(&mut self, kubernetes: &Kubernetes) {
        self.pvcs_version = kubernetes.pvcs_version;
        let pvcs = kubernetes.pvcs.iter().enumerate().filter_map(|(ordinal, pvc)| {
            let pvc = pvc.as_ref()?;
            let ordinal = u32::try_from(ordinal).ok()?;
            Some(PvcState {
                ordinal,
                uid: pvc.uid.to_string(),
                resource_version: None,
                requested: pvc.requested,
                capacity: Some(pvc.capacity),
                expansion: expansion(pvc),
                terminating: pvc.terminating,
                kept_by: None,
                replacement: pvc.replacement,
            })
        });
        self.actual.pvcs = pvcs.collect();
    }
}

fn expansion(pvc: &Pvc) -> VolumeExpansion {
    match pvc.pending_since {
        Some(since) => VolumeExpansion::FileSystemPending { since: time(since) },
        None if pvc.is_failed => VolumeExpansion::Failed { cause: Some("out of space".to_owned()) },
        None => VolumeExpansion::Unreported,
    }
}

fn pod_state(pod: &Pod, names: &Names) -> PodState {
    PodState {
        name: names.server[pod.ordinal].clone(),
        uid: pod.uid.to_string(),
        ordinal: u32::try_from(pod.ordinal).ok(),
        created: Some(time(pod.created)),
        node: (!pod.stranded).then(|| format!("node-{}", pod.ordinal)),
        revision: Some(pod.template.revision()),
        version: Some(pod.template.nats),
        started: pod.started,
        running: pod.running,
        ready: pod.ready,
        ready_changed: Some(time(pod.ready_changed)),
        terminating: pod.terminating.map(time),
        broken: pod.broken.map(str::to_owned),
        stranded: pod.stranded,
    }
}
