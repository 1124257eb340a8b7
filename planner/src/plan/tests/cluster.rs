//! A cluster as a value: desired and actual state, and the state of the servers.

use std::{collections::BTreeSet, sync::Arc};

use super::super::{Action, Desired, History, Observation, Plan, PlanInput, Variant, confirm, plan};
use crate::{
    actual::{ActualState, ConfigKey, LiveConfig, PodState, PvcState, ReplicaCounts, ServerMode, StatefulSetState},
    health::Assessment,
    snapshot::{JetStreamSnapshot, StoreUsage, StreamReplica},
    testing::{at, healthy_cluster, name, stream},
    time::Time,
    version::Version,
};

pub(super) const MEMORY: u64 = 1 << 20;
/// Size of the volumes, and of the file store on them, in bytes.
pub(super) const VOLUME: u64 = 1 << 30;
pub(super) const STORE: u64 = 870 << 20;
pub(super) const NOW: Time = at(60);

/// Desired and actual state, and the servers, which are polled twice.
pub(super) struct Cluster {
    pub(super) desired: Desired,
    pub(super) actual: ActualState,
    pub(super) servers: JetStreamSnapshot,
    pub(super) history: History,
}

pub(super) fn template(variant: Variant, memory_store: u64) -> String {
    format!("{variant:?} {memory_store}")
}

/// Builds the answers of healthy servers, with stores that have room.
fn servers(size: u32) -> JetStreamSnapshot {
    healthy_cluster(size).with(|snapshot| {
        for server in snapshot.answers_mut() {
            server.version = Version::of_image("nats:2.14.10");
            server.file = StoreUsage { used: 10, reserved: 0, limit: 100 };
            server.memory = StoreUsage { used: 0, reserved: 0, limit: MEMORY };
        }
    })
}

fn pod(ordinal: u32) -> PodState {
    PodState {
        name: name(ordinal),
        uid: format!("uid-{ordinal}"),
        ordinal: Some(ordinal),
        revision: Some("new".to_owned()),
        version: Version::of_image("nats:2.14.10"),
        started: true,
        running: true,
        ready: true,
        ..PodState::default()
    }
}

/// Builds a healthy cluster at rest with so many servers.
pub(super) fn cluster(replicas: u32) -> Cluster {
    let kind = ServerMode::of(replicas);
    let set = StatefulSetState {
        uid: "set".to_owned(),
        resource_version: Some("7".to_owned()),
        replicas,
        partition: replicas,
        template_hash: Some(template(Variant::main(kind), MEMORY)),
        config_key: ConfigKey::Main,
        memory_store: Some(MEMORY),
        file_store: Some(STORE),
        volume_size: Some(VOLUME),
        is_observed: true,
        current_revision: Some("new".to_owned()),
        update_revision: Some("new".to_owned()),
        counts: ReplicaCounts { present: replicas, updated: replicas, ready: replicas },
    };
    let routes = if kind == ServerMode::Clustered { replicas } else { 0 };
    let pvc = |ordinal| PvcState {
        ordinal,
        uid: format!("pvc-{ordinal}"),
        requested: VOLUME,
        capacity: Some(VOLUME),
        ..PvcState::default()
    };
    Cluster {
        desired: Desired {
            replicas,
            version: Version::of_image("nats:2.14.10"),
            memory_store: MEMORY,
            volume_size: Some(VOLUME),
            force_rollout: false,
            recreate_stateful_set: false,
        },
        actual: ActualState {
            name: "n".to_owned(),
            namespace: "kyma-system".to_owned(),
            stateful_set: Some(set),
            pods: (0..replicas).map(pod).collect(),
            pvcs: (0..replicas).map(pvc).collect(),
            config: Some(LiveConfig { main_routes: Some(routes), clustered_routes: None, file_store: Some(STORE) }),
            members: Some(replicas),
            servers_started: Some(true),
        },
        servers: servers(replicas),
        history: History::default(),
    }
}

impl Cluster {
    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) fn set(&mut self) -> &mut StatefulSetState {
        self.actual.stateful_set.as_mut().unwrap()
    }

    /// Sets every Pod to the revision before.
    pub(super) fn outdate(&mut self) {
        self.set().current_revision = Some("old".to_owned());
        self.set().counts.updated = 0;
        self.actual.pods.iter_mut().for_each(|pod| pod.revision = Some("old".to_owned()));
    }

    /// Makes a server unreachable and its Pod not ready.
    pub(super) fn lose(&mut self, ordinal: usize) {
        self.actual.pods[ordinal].ready = false;
        self.actual.pods[ordinal].running = false;
        self.set().counts.ready -= 1;
        let lost = self.actual.pods[ordinal].name.as_str();
        self.servers.lose(&[lost]);
        for server in self.servers.answers_mut() {
            let peers = server.meta.iter_mut().flat_map(|meta| &mut meta.peers);
            peers.filter(|peer| peer.name == lost).for_each(|peer| peer.current = false);
        }
    }

    /// Makes a server's Pod unable to run as it is.
    pub(super) fn break_pod(&mut self, ordinal: usize) {
        self.lose(ordinal);
        self.actual.pods[ordinal].broken = Some("the image cannot be pulled".to_owned());
    }

    /// Adds a stream with a replica on each of these servers. The first one leads.
    pub(super) fn add_stream(&mut self, name: &str, on: &[u32]) {
        self.servers.add_stream(&StreamReplica { last_seq: 5, bytes: 5, ..stream(name) }, on);
    }

    pub(super) fn plan(&self) -> Plan {
        self.with_streams(None, plan)
    }

    /// Plans with the names of all streams.
    pub(super) fn plan_with_streams(&self, streams: &[&str]) -> Plan {
        let streams = Ok(streams.iter().map(|&name| name.to_owned()).collect());
        self.with_streams(Some(&streams), plan)
    }

    /// Confirms a plan in the present state of the cluster. `streams` are the names of all streams.
    pub(super) fn confirm(&self, first: &Plan, streams: &[&str]) -> Plan {
        let streams = Ok(streams.iter().map(|&name| name.to_owned()).collect());
        self.with_streams(Some(&streams), |input| confirm(first, input))
    }

    /// Plans without an assessment of the servers.
    pub(super) fn plan_without_polls(&self, observation: &Observation<'_>) -> Plan {
        self.with_observation(observation, None, plan)
    }

    fn with_streams(
        &self,
        streams: Option<&Result<BTreeSet<String>, String>>,
        make: impl FnOnce(&PlanInput<'_>) -> Plan,
    ) -> Plan {
        let poll = |second| Arc::new(self.servers.clone().at(second));
        let first = Assessment::next(None, poll(0), &self.actual);
        let second = Assessment::next(Some(&first), poll(3), &self.actual);
        self.with_observation(&Observation::Seen(&second), streams, make)
    }

    fn with_observation(
        &self,
        observation: &Observation<'_>,
        streams: Option<&Result<BTreeSet<String>, String>>,
        make: impl FnOnce(&PlanInput<'_>) -> Plan,
    ) -> Plan {
        make(&PlanInput {
            now: NOW,
            desired: &self.desired,
            template: &template,
            actual: &self.actual,
            observation,
            streams,
            has_default_account_only: true,
            late_reloads: &[],
            history: &self.history,
        })
    }
}

/// Formats the action in a few words.
pub(super) fn action(plan: &Plan) -> Option<String> {
    Some(match plan.action.as_ref()? {
        Action::Evacuate { server, moves, .. } => format!("evacuate {server} of {}", moves.len()),
        Action::OpenPartition { partition, .. } => format!("open {partition}"),
        Action::StopServers { replicas, .. } => format!("stop to {replicas}"),
        Action::JoinCluster { server, .. } => format!("join {server}"),
        Action::RestartServer { server, .. } => format!("restart {server}"),
        Action::ReplacePods { pods } => format!("replace {}", pods.len()),
        Action::RemovePeers { peers } => format!("remove {}", peers[0].name),
        Action::ReplaceServer { server, .. } => format!("replace server {server}"),
        Action::DeletePvcs { pvcs } => format!("delete PVC {}", pvcs[0].ordinal),
        Action::ExpandPvcs { pvcs, size } => format!("expand {} to {} GiB", pvcs.len(), size >> 30),
        Action::Reload { servers } => format!("reload {}", servers.len()),
        Action::RecreateStatefulSet { uid } => format!("recreate {uid}"),
    })
}
