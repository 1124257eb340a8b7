//! Model of the kubelets, the node lifecycle controller and the Pod garbage collector.

use nats_manager_planner::actual::ConfigKey;

use super::{
    Kubernetes,
    objects::{Actor, ConfigMap, Image, Node, Pod},
};
use crate::{
    nats::{
        Nats,
        process::{ServerConfig, Start},
    },
    random::Random,
    servers::{SERVERS, ServerId},
};

/// Seconds after which Pods of a lost node are not ready (measured).
const NOT_READY: u64 = 19;
/// Seconds after which Pods of a lost node are terminating (measured).
const EVICTED: u64 = 48;
/// Seconds after which the liveness probe restarts a disabled server.
const LIVENESS: u64 = 150;
/// Longest delay between restarts of a container that exits, in seconds.
const LARGEST_BACKOFF: u64 = 60;

/// The state that a kubelet reads and changes.
#[derive(Debug)]
pub struct Host<'a> {
    /// State of the apiserver and of the nodes.
    pub kubernetes: &'a mut Kubernetes,
    /// State of the servers.
    pub nats: &'a mut Nats,
    /// Actor that took each server away.
    pub away: &'a [Option<Actor>; SERVERS],
    /// Second until which a configuration that a fault has overwritten is excused.
    pub overwritten_until: u64,
    /// Present second of the run.
    pub now: u64,
}

/// Simulates a second on every node.
pub fn tick(host: &mut Host<'_>, random: &mut Random) {
    for ordinal in 0..SERVERS {
        let node = host.kubernetes.nodes[ordinal];
        let Some(mut pod) = host.kubernetes.pods[ordinal].take() else {
            recover(host, ordinal, node);
            continue;
        };
        let before = state(&pod);
        let is_there = match node {
            Node::Up => host.run(&mut pod, random),
            Node::Lost { since, until } => {
                host.lose(&mut pod, since);
                recover(host, ordinal, Node::Lost { since, until });
                true
            }
            Node::Gone { since } => host.strand(&mut pod, since),
        };
        host.kubernetes.pods_version += u64::from(before != state(&pod) || !is_there);
        host.kubernetes.pods[ordinal] = Some(pod).filter(|_| is_there);
    }
}

fn recover(host: &mut Host<'_>, ordinal: ServerId, node: Node) {
    match node {
        Node::Lost { until, .. } if host.now >= until => host.kubernetes.nodes[ordinal] = Node::Up,
        // The scheduler takes another node once the volume is a new one.
        Node::Gone { .. } if !host.nats.stores[ordinal].gone => host.kubernetes.nodes[ordinal] = Node::Up,
        _ => {}
    }
}

fn state(pod: &Pod) -> (bool, bool, bool, Option<u64>, Option<&'static str>, bool) {
    (pod.started, pod.running, pod.ready, pod.terminating, pod.broken, pod.stranded)
}

impl Host<'_> {
    fn set_ready(&self, pod: &mut Pod, ready: bool) {
        if pod.ready != ready {
            (pod.ready, pod.ready_changed) = (ready, self.now);
        }
    }

    fn stop(&mut self, pod: &mut Pod, by: Actor, is_graceful: bool) {
        self.nats.stop(pod.ordinal, by, is_graceful, self.now);
        pod.running = false;
        self.set_ready(pod, false);
    }

    /// Simulates a Pod on a working node. Returns whether the Pod still exists.
    fn run(&mut self, pod: &mut Pod, random: &mut Random) -> bool {
        if let Some(since) = pod.terminating {
            if self.now > since {
                let by = self.away[pod.ordinal].unwrap_or(Actor::Other);
                self.stop(pod, by, true);
            }
            return self.now < since + 4 || random.chance(50);
        }
        if pod.stranded {
            pod.stranded = false;
            pod.broken = None;
        }
        self.mount(pod, random);
        if self.nats.processes[pod.ordinal].is_none() {
            if pod.running || pod.ready {
                pod.running = false;
                self.set_ready(pod, false);
            }
            self.start(pod);
            return true;
        }
        if !pod.running && self.nats.is_healthy(pod.ordinal, self.now) && random.chance(40) {
            pod.running = true;
            pod.broken = None;
        } else if pod.running && !pod.ready {
            self.set_ready(pod, true);
        }
        let disabled = self.nats.processes[pod.ordinal].and_then(|process| process.disabled);
        if disabled.is_some_and(|since| self.now > since + LIVENESS) {
            self.stop(pod, Actor::Other, false);
            self.back_off(pod, None);
        }
        true
    }

    /// Updates the mounted ConfigMap up to 70 s after a change. The reloader then signals the server.
    fn mount(&mut self, pod: &mut Pod, random: &mut Random) {
        let live = self.kubernetes.config;
        if pod.mounted == live {
            return pod.mount_at = None;
        }
        match pod.mount_at {
            None => pod.mount_at = Some(self.now + random.between(5, 70)),
            Some(at) if self.now >= at => {
                pod.mounted = live;
                pod.mount_at = None;
                if let Some(config) = live.and_then(|config| server_config(pod, &config)) {
                    self.nats.reload(pod.ordinal, config, self.now);
                }
            }
            Some(_) => {}
        }
    }

    fn start(&mut self, pod: &mut Pod) {
        if self.now < pod.start_at {
            return;
        }
        if pod.template.image == Image::Missing {
            pod.broken = Some("container nats cannot pull its image");
            return;
        }
        if pod.mounted.is_none() {
            // A missing ConfigMap is mounted as soon as it is created.
            pod.mounted = self.kubernetes.config;
        }
        let Some(config) = pod.mounted else { return };
        pod.started = true;
        let is_excused = self.now < self.overwritten_until;
        let start = server_config(pod, &config).filter(|_| pod.template.image == Image::Good);
        // Servers that a user added, or for which a user lowered the partition, get the update revision whatever the
        // planner does. Without answers the planner has no versions.
        let is_updated = self.kubernetes.set.is_some_and(|set| set.template == pod.template);
        let is_opened_by_hand = self.kubernetes.is_changed_by_hand;
        let checks_version = is_updated && !is_opened_by_hand && self.now > self.nats.blocked_ports.1 + 60;
        let version = pod.template.nats;
        let start = start.map(|config| Start { version, config, is_excused, checks_version });
        if start.is_some_and(|start| self.nats.start(pod.ordinal, start, self.now)) {
            pod.broken = None;
        } else {
            self.back_off(pod, Some("container nats keeps crashing"));
        }
    }

    fn back_off(&mut self, pod: &mut Pod, broken: Option<&'static str>) {
        pod.crashes += 1;
        let delay = (5_u64 << pod.crashes.min(6)).min(LARGEST_BACKOFF);
        pod.start_at = self.now + delay;
        if broken.is_some() && pod.crashes > 1 {
            pod.broken = broken;
        }
    }

    /// Simulates a Pod on a node that does not answer.
    fn lose(&mut self, pod: &mut Pod, since: u64) {
        if self.nats.processes[pod.ordinal].is_some() {
            self.nats.stop(pod.ordinal, Actor::Other, false, self.now);
            pod.start_at = self.now;
        }
        if pod.created > since {
            pod.broken = Some("no node takes it: the node of its volume is unreachable");
            pod.stranded = true;
            return;
        }
        if self.now >= since + NOT_READY {
            self.set_ready(pod, false);
        }
        if self.now >= since + EVICTED && pod.terminating.is_none() {
            pod.terminating = Some(self.now);
        }
    }

    /// Simulates a Pod whose node and volume are gone. Returns whether the Pod still exists.
    fn strand(&mut self, pod: &mut Pod, since: u64) -> bool {
        if self.nats.processes[pod.ordinal].is_some() {
            self.nats.stop(pod.ordinal, Actor::Other, false, self.now);
        }
        if pod.terminating.is_some() {
            return false;
        }
        if pod.created <= since {
            pod.running = false;
            self.set_ready(pod, false);
            return self.now < since + NOT_READY;
        }
        if !self.nats.stores[pod.ordinal].gone {
            self.kubernetes.nodes[pod.ordinal] = Node::Up;
            return true;
        }
        pod.broken = Some("no node takes it: volume node affinity conflict");
        pod.stranded = true;
        true
    }
}

/// Returns the configuration that the Pod's server reads; `None` if its key is missing.
pub(crate) fn server_config(pod: &Pod, config: &ConfigMap) -> Option<ServerConfig> {
    let routes = match pod.template.key {
        ConfigKey::Main => config.main,
        ConfigKey::Clustered => config.clustered,
    };
    routes.map(|routes| ServerConfig { routes, memory: config.memory, file: config.file })
}
