//! Values in, plans out: one state of Kubernetes and of the servers, one plan. Sequences and faults are stories of the
//! simulation.

use std::sync::Arc;

use super::{
    BlockedReason as Why,
    OperationKind::{Deployment, FormCluster, RollingUpdate, ScaleDown, ScaleUp},
    *,
};
use crate::{
    actual::{ActualState, ConfigKey, Counts, Kind, LiveConfig, PodState, PvcState, StatefulSetState},
    health::Assessment,
    snapshot::{
        DEFAULT_ACCOUNT, Healthz, JetStreamSnapshot, Peer, PeerId, RaftGroup, ServerSnapshot, StoreUsage, StreamId,
        StreamReplica, Unreachable,
    },
    time::Time,
    version::Version,
};

const MEMORY: u64 = 1 << 20;
const NOW: Time = Time::from_millis(60_000);

/// A cluster, as it is polled twice, and what the spec asks for.
struct Cluster {
    desired: Desired,
    actual: ActualState,
    servers: Vec<ServerSnapshot>,
    unreachable: Vec<usize>,
    history: History,
}

fn name(ordinal: u32) -> String {
    format!("n-{ordinal}")
}

fn template(variant: Variant, memory_store: u64) -> String {
    format!("{variant:?} {memory_store}")
}

/// What a member of a group with these servers reports; the first one leads.
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

/// A healthy cluster at rest with so many servers.
fn cluster(replicas: u32) -> Cluster {
    let kind = Kind::of(replicas);
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
        counts: Counts { present: replicas, updated: replicas, ready: replicas },
    };
    let routes = if kind == Kind::Clustered { replicas } else { 0 };
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
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn set(&mut self) -> &mut StatefulSetState {
        self.actual.stateful_set.as_mut().unwrap()
    }

    /// Every Pod is of the revision before.
    fn outdate(&mut self) {
        self.set().current_revision = Some("old".to_owned());
        self.set().counts.updated = 0;
        self.actual.pods.iter_mut().for_each(|pod| pod.revision = Some("old".to_owned()));
    }

    /// The server's Pod is not ready, and nobody reaches it.
    fn lose(&mut self, ordinal: usize) {
        self.actual.pods[ordinal].ready = false;
        self.actual.pods[ordinal].running = false;
        self.set().counts.ready -= 1;
        self.unreachable.push(ordinal);
        for server in &mut self.servers {
            let peers = server.meta.iter_mut().flat_map(|meta| &mut meta.peers);
            peers.filter(|peer| peer.name == format!("n-{ordinal}")).for_each(|peer| peer.current = false);
        }
    }

    /// The server's Pod cannot run as it is.
    fn break_pod(&mut self, ordinal: usize) {
        self.lose(ordinal);
        self.actual.pods[ordinal].broken = Some("the image cannot be pulled".to_owned());
    }

    /// A stream with a replica on each of these servers; the first one leads.
    fn add_stream(&mut self, stream: &str, on: &[u32]) {
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

    fn plan(&self) -> Plan {
        let first = Assessment::next(None, self.snapshot(Time::from_millis(0)), &self.actual);
        let second = Assessment::next(Some(&first), self.snapshot(Time::from_millis(3000)), &self.actual);
        plan(&Input {
            now: NOW,
            desired: &self.desired,
            template: &template,
            actual: &self.actual,
            observation: &Observation::Seen(&second),
            streams: None,
            has_default_account_only: true,
            late_reloads: &[],
            history: &self.history,
        })
    }
}

/// The action in a few words.
fn action(plan: &Plan) -> Option<String> {
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

/// What is planned: replicas, partition, action, change in progress, why a change is blocked.
type Expected = (u32, u32, Option<&'static str>, Option<OperationKind>, Option<Why>);

fn check(cases: impl IntoIterator<Item = (&'static str, Cluster, Expected)>) {
    for (case, cluster, expected) in cases {
        let plan = cluster.plan();
        let reasons: Vec<_> = plan.blocked.iter().map(|blocked| blocked.reason).collect();
        let operation = plan.operation.as_ref().map(|operation| operation.kind);
        let planned = (plan.replicas, plan.partition, action(&plan), operation, reasons);
        let (replicas, partition, action, operation, blocked) = expected;
        assert_eq!(
            planned,
            (replicas, partition, action.map(str::to_owned), operation, Vec::from_iter(blocked)),
            "{case}: {plan:#?}"
        );
    }
}

#[test]
fn servers_restart_one_by_one() {
    check([
        ("at rest", cluster(3), (3, 3, None, None, None)),
        ("alone at rest", cluster(1), (1, 1, None, None, None)),
        (
            "nothing exists",
            cluster(3).with(|cluster| cluster.actual = ActualState { name: "n".to_owned(), ..ActualState::default() }),
            (3, 3, None, Some(Deployment), None),
        ),
        (
            "a new template closes the partition first",
            cluster(3).with(|cluster| {
                cluster.set().template_hash = Some("another".to_owned());
                cluster.set().partition = 0;
            }),
            (3, 3, None, Some(RollingUpdate), None),
        ),
        ("outdated", cluster(3).with(Cluster::outdate), (3, 3, Some("open 2"), Some(RollingUpdate), None)),
        (
            "outdated, and another server is away",
            cluster(3).with(|cluster| {
                cluster.outdate();
                cluster.lose(0);
            }),
            (3, 3, None, Some(RollingUpdate), None),
        ),
        (
            "outdated, and a Pod with a low ordinal cannot run: a majority remains without the next one",
            cluster(5).with(|cluster| {
                cluster.outdate();
                cluster.break_pod(1);
            }),
            (5, 5, Some("open 4"), Some(RollingUpdate), None),
        ),
        (
            "outdated, and a Pod with a low ordinal cannot run: no majority remains without the next one",
            cluster(3).with(|cluster| {
                cluster.outdate();
                cluster.break_pod(0);
            }),
            (3, 3, None, Some(RollingUpdate), None),
        ),
        (
            "outdated, and no Pod can run",
            cluster(3).with(|cluster| {
                cluster.outdate();
                (0..3).for_each(|ordinal| cluster.break_pod(ordinal));
            }),
            (3, 0, None, Some(RollingUpdate), None),
        ),
        (
            "outdated, by force, and a PVC would go with its Pod",
            cluster(3).with(|cluster| {
                cluster.outdate();
                cluster.desired.force_rollout = true;
                cluster.actual.pvcs[1].terminating = true;
            }),
            (3, 2, None, Some(RollingUpdate), None),
        ),
        (
            "outdated, by force, and only what loses its PVC is left",
            cluster(3).with(|cluster| {
                cluster.outdate();
                cluster.desired.force_rollout = true;
                cluster.actual.pvcs[2].terminating = true;
            }),
            (3, 3, None, Some(RollingUpdate), None),
        ),
        (
            "outdated, and to become fewer: the rolling update goes first",
            cluster(5).with(|cluster| {
                cluster.outdate();
                cluster.desired.replicas = 3;
            }),
            (5, 5, Some("open 4"), Some(RollingUpdate), None),
        ),
    ]);
}

#[test]
fn size_changes_in_order() {
    let scaled = |to| move |cluster: &mut Cluster| cluster.desired.replicas = to;
    check([
        ("fewer, empty", cluster(5).with(scaled(3)), (5, 5, Some("stop to 4"), Some(ScaleDown), None)),
        (
            "fewer, with a replica on the last one",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[0, 1, 4]);
                cluster.desired.replicas = 3;
            }),
            (5, 5, Some("evacuate n-4 of 1"), Some(ScaleDown), None),
        ),
        (
            "fewer, and the last one leads a stream",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[4, 0, 1]);
                cluster.desired.replicas = 3;
            }),
            (5, 5, Some("evacuate n-4 of 0"), Some(ScaleDown), None),
        ),
        (
            "fewer, and its leader was asked to step down a moment ago",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[4, 0, 1]);
                cluster.history.stepped_down.insert(StreamId::new(DEFAULT_ACCOUNT, "orders"), (NOW, 1));
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleDown), None),
        ),
        (
            "fewer, and a stream has fewer replicas than it asks for",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[0, 1]);
                cluster.servers[..2].iter_mut().for_each(|server| server.streams[0].replicas = 3);
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleDown), None),
        ),
        (
            "fewer, and a replica has less than its leader had",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[0, 1, 2]);
                cluster.servers[1].streams[0].last_seq = 4;
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleDown), None),
        ),
        (
            "fewer, without room on the others",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[0, 1, 4]);
                cluster.servers.iter_mut().for_each(|server| server.file.used = 79);
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleDown), None),
        ),
        (
            "fewer, with a stream that asks for all",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[0, 1, 2, 3, 4]);
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, None, Some(Why::ScalingBlocked)),
        ),
        (
            "fewer, with the only replica of a stream on the last one",
            cluster(5).with(|cluster| {
                cluster.add_stream("orders", &[4]);
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, None, Some(Why::ScalingBlocked)),
        ),
        (
            "fewer, and a server is away",
            cluster(5).with(|cluster| {
                cluster.lose(1);
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleDown), None),
        ),
        (
            "fewer, and a foreign server leads the meta group",
            cluster(5).with(|cluster| {
                for server in &mut cluster.servers {
                    let meta = server.meta.as_mut().unwrap();
                    *meta = RaftGroup { leader: Some("other-0".to_owned()), size: Some(6), peers: Vec::new() };
                }
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleDown), Some(Why::UnknownServer)),
        ),
        ("more", cluster(3).with(scaled(5)), (5, 3, None, Some(ScaleUp), None)),
        (
            "a cluster never becomes one server",
            cluster(3).with(scaled(1)),
            (3, 3, None, None, Some(Why::ScalingBlocked)),
        ),
        ("one becomes three", cluster(1).with(scaled(3)), (3, 1, None, Some(FormCluster), None)),
        (
            "one with a stream stays one",
            cluster(1).with(|cluster| {
                cluster.add_stream("orders", &[0]);
                cluster.servers[0].streams[0].group = None;
                cluster.desired.replicas = 3;
            }),
            (1, 1, None, None, Some(Why::ScalingBlocked)),
        ),
        (
            "scaled to fewer by hand: the members come back",
            cluster(5).with(|cluster| {
                cluster.set().replicas = 3;
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(ScaleUp), None),
        ),
    ]);
}

#[test]
fn what_is_left_behind_is_taken_into_account() {
    let ghost = |cluster: &mut Cluster| {
        for server in &mut cluster.servers {
            let ghost = Peer { name: name(3), id: PeerId::of(&name(3)), offline: true, ..Peer::default() };
            let meta = server.meta.as_mut().unwrap();
            meta.size = Some(4);
            meta.peers.push(ghost);
        }
    };
    check([
        ("a peer is left over", cluster(3).with(ghost), (3, 3, Some("remove n-3"), Some(ScaleDown), None)),
        (
            "a PVC is left over",
            cluster(3).with(|cluster| {
                let pvc = PvcState { ordinal: 4, uid: "pvc-4".to_owned(), size: 1 << 30, terminating: false };
                cluster.actual.pvcs.push(pvc);
            }),
            (3, 3, Some("delete PVC 4"), Some(ScaleDown), None),
        ),
        (
            "the StatefulSet is gone: the recorded members come back, not what the spec asks for",
            cluster(5).with(|cluster| {
                cluster.actual.stateful_set = None;
                cluster.actual.pods.clear();
                cluster.desired.replicas = 3;
            }),
            (5, 5, None, Some(Deployment), None),
        ),
        (
            "PVCs of the deleted resource are terminating",
            cluster(3).with(|cluster| {
                cluster.actual.stateful_set = None;
                cluster.actual.pvcs[1].terminating = true;
            }),
            (3, 3, None, None, Some(Why::PvcTerminating)),
        ),
        (
            "2.15 from below 2.14.7",
            cluster(3).with(|cluster| {
                cluster.desired.version = Version::of_image("nats:2.15.3");
                cluster.servers.iter_mut().for_each(|server| server.version = Version::of_image("nats:2.14.2"));
            }),
            (3, 3, None, None, Some(Why::VersionBlocked)),
        ),
        (
            "the memory store holds more than it is to have",
            cluster(3).with(|cluster| {
                cluster.desired.memory_store = 0;
                cluster.servers[1].memory.used = 1;
            }),
            (3, 3, None, None, Some(Why::MemoryStoreBlocked)),
        ),
    ]);
}
