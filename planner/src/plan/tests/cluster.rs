//! A cluster as a value: desired and actual state, and the state of the servers.

use std::{collections::BTreeSet, sync::Arc};

use super::super::{Action, Desired, History, Observation, Plan, PlanInput, Variant, confirm, plan};
use crate::{
    actual::{ActualState, ConfigKey, LiveConfig, PodState, PvcState, ReplicaCounts, ServerMode, StatefulSetState},
    health::Assessment,
    snapshot::{
        DEFAULT_ACCOUNT, Healthz, JetStreamSnapshot, Peer, PeerId, RaftGroup, ServerSnapshot, StoreUsage, StreamId,
        StreamReplica, Unreachable,
    },
    time::Time,
    version::Version,
};

const MEMORY: u64 = 1 << 20;
pub(super) const NOW: Time = Time::from_millis(60_000);

/// Desired and actual state, and the servers, which are polled twice.
pub(super) struct Cluster {
    pub(super) desired: Desired,
    pub(super) actual: ActualState,
    pub(super) servers: Vec<ServerSnapshot>,
    unreachable: Vec<usize>,
    pub(super) history: History,
}

pub(super) fn name(ordinal: u32) -> String {
    format!("n-{ordinal}")
}

fn template(variant: Variant, memory_store: u64) -> String {
    format!("{variant:?} {memory_store}")
}

/// Builds the group that a member reports. The first server leads.
fn group(own: u32, servers: u32) -> RaftGroup {
    let peer = |ordinal| Peer { name: name(ordinal), id: PeerId::of(&name(ordinal)), current: true, ..Peer::default() };
    let peers = (0..servers).filter(|ordinal| *ordinal != own).map(peer).collect();
    RaftGroup { leader: Some(name(0)), size: Some(servers), peers }
}

fn server(own: u32, servers: u32) -> ServerSnapshot {
    ServerSnapshot {
        id: format!("id-{own}"),
        version: Version::of_image("nats:2.14.10"),
        healthz: Healthz::Ok,
        file: StoreUsage { used: 10, reserved: 0, limit: 100 },
        memory: StoreUsage { used: 0, reserved: 0, limit: MEMORY },
        meta: (servers > 1).then(|| group(own, servers)),
        ..ServerSnapshot::default()
    }
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
        resource_version: Some("7".to_owned()),
        replicas,
        partition: replicas,
        template_hash: Some(template(Variant::main(kind), MEMORY)),
        config_key: ConfigKey::Main,
        memory_store: Some(MEMORY),
        is_observed: true,
        current_revision: Some("new".to_owned()),
        update_revision: Some("new".to_owned()),
        counts: ReplicaCounts { present: replicas, updated: replicas, ready: replicas },
    };
    let routes = if kind == ServerMode::Clustered { replicas } else { 0 };
    let pvc = |ordinal| PvcState { ordinal, uid: format!("pvc-{ordinal}"), size: 1 << 30, terminating: false };
    Cluster {
        desired: Desired {
            replicas,
            version: Version::of_image("nats:2.14.10"),
            memory_store: MEMORY,
            force_rollout: false,
        },
        actual: ActualState {
            name: "n".to_owned(),
            stateful_set: Some(set),
            pods: (0..replicas).map(pod).collect(),
            pvcs: (0..replicas).map(pvc).collect(),
            config: Some(LiveConfig { main_routes: Some(routes), clustered_routes: None }),
            members: Some(replicas),
            servers_started: Some(true),
        },
        servers: (0..replicas).map(|ordinal| server(ordinal, replicas)).collect(),
        unreachable: Vec::new(),
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
        self.unreachable.push(ordinal);
        for server in &mut self.servers {
            let peers = server.meta.iter_mut().flat_map(|meta| &mut meta.peers);
            peers.filter(|peer| peer.name == format!("n-{ordinal}")).for_each(|peer| peer.current = false);
        }
    }

    /// Makes a server's Pod unable to run as it is.
    pub(super) fn break_pod(&mut self, ordinal: usize) {
        self.lose(ordinal);
        self.actual.pods[ordinal].broken = Some("the image cannot be pulled".to_owned());
    }

    /// Adds a stream with a replica on each of these servers. The first one leads.
    pub(super) fn add_stream(&mut self, stream: &str, on: &[u32]) {
        for own in on {
            let others = on.iter().filter(|other| *other != own);
            let peer = |other: &u32| Peer {
                name: name(*other),
                id: PeerId::of(&name(*other)),
                current: true,
                ..Peer::default()
            };
            self.servers[*own as usize].streams.push(StreamReplica {
                stream: StreamId::new(DEFAULT_ACCOUNT, stream),
                replicas: u32::try_from(on.len()).unwrap(),
                last_seq: 5,
                bytes: 5,
                group: Some(RaftGroup { leader: Some(name(on[0])), size: None, peers: others.map(peer).collect() }),
                ..StreamReplica::default()
            });
        }
    }

    fn snapshot(&self, at: Time) -> Arc<JetStreamSnapshot> {
        let answer = |ordinal: usize, server: &ServerSnapshot| {
            let is_lost = self.unreachable.contains(&ordinal);
            if is_lost { Err(Unreachable("no route".to_owned())) } else { Ok(server.clone()) }
        };
        let servers = self.servers.iter().enumerate();
        let servers = servers.map(|(ordinal, server)| (format!("n-{ordinal}"), answer(ordinal, server))).collect();
        Arc::new(JetStreamSnapshot { taken_at: at, servers })
    }

    pub(super) fn plan(&self) -> Plan {
        self.with_streams(None, plan)
    }

    /// Confirms a plan in the present state of the cluster. `streams` are the names of all streams.
    pub(super) fn confirm(&self, first: &Plan, streams: &[&str]) -> Plan {
        let streams = Ok(streams.iter().map(|&name| name.to_owned()).collect());
        self.with_streams(Some(&streams), |input| confirm(first, input))
    }

    fn with_streams(
        &self,
        streams: Option<&Result<BTreeSet<String>, String>>,
        make: impl FnOnce(&PlanInput<'_>) -> Plan,
    ) -> Plan {
        let first = Assessment::next(None, self.snapshot(Time::from_millis(0)), &self.actual);
        let second = Assessment::next(Some(&first), self.snapshot(Time::from_millis(3000)), &self.actual);
        make(&PlanInput {
            now: NOW,
            desired: &self.desired,
            template: &template,
            actual: &self.actual,
            observation: &Observation::Seen(&second),
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
        Action::DeletePvcs { pvcs } => format!("delete PVC {}", pvcs[0].ordinal),
        Action::Reload { servers } => format!("reload {}", servers.len()),
    })
}
