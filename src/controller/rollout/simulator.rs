//! Whole rolls, played to their end against the rules of Kubernetes' StatefulSet controller, with
//! everybody acting in any order and caches that are behind.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::*;

/// What becomes of a pod of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    Broken,
    /// The apiserver refuses it.
    Refused,
}

/// Name, which is the revision too, and kind.
type Template = (&'static str, Kind);

const A: Template = ("a", Kind::Good);
const B: Template = ("b", Kind::Good);
const C: Template = ("c", Kind::Good);
const BAD: Template = ("bad", Kind::Broken);
const REFUSED: Template = ("refused", Kind::Refused);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    Stopping,
}

#[derive(Clone, Copy, Debug)]
struct SimPod {
    template: Template,
    state: State,
    born: u64,
    /// When its copies have caught up.
    current_at: u64,
}

/// Which Kubernetes: up to 1.34 it takes pods by their ordinal; with `maxUnavailable` those that are
/// unavailable come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kubernetes {
    ByOrdinal,
    UnavailableFirst,
}

struct World {
    kubernetes: Kubernetes,
    replicas: u32,
    partition: u32,
    template: Template,
    hash: &'static str,
    generation: i64,
    observed: i64,
    current: Template,
    update: Template,
    /// Of pods: all, updated, ready.
    counts: (i32, i32, i32),
    pods: BTreeMap<u32, SimPod>,
    /// JetStream was never reached.
    is_unseen: bool,
    /// Of the StatefulSet; writes are only taken for the newest.
    version: u64,
    now: u64,
    /// How often each pod was taken away, and whether that was safe.
    taken: BTreeMap<u32, u32>,
    unsafe_takes: Vec<String>,
    random: u64,
    /// What the manager sees.
    seen: (StatefulSet, Vec<ServerPod>),
}

impl World {
    fn new(kubernetes: Kubernetes, replicas: u32, template: Template, seed: u64) -> Self {
        let mut world = Self {
            kubernetes,
            replicas,
            partition: 0,
            template,
            hash: template.0,
            generation: 1,
            observed: 0,
            current: template,
            update: template,
            counts: (0, 0, 0),
            pods: BTreeMap::new(),
            is_unseen: false,
            version: 0,
            now: 0,
            taken: BTreeMap::new(),
            unsafe_takes: Vec::new(),
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            seen: (StatefulSet::default(), Vec::new()),
        };
        for _ in 0..200 {
            world.controller();
            world.kubelet();
        }
        world.now = 100;
        world.seen = (world.stateful_set(), world.server_pods());
        world
    }

    fn dice(&mut self, sides: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % sides
    }

    fn ready(&self) -> u32 {
        self.pods.values().map(|pod| u32::from(pod.state == State::Ready)).sum()
    }

    fn is_whole(&self) -> bool {
        self.pods.len() == self.replicas as usize && self.pods.values().all(|pod| self.is_current(pod))
    }

    fn is_current(&self, pod: &SimPod) -> bool {
        pod.state == State::Ready && pod.current_at <= self.now
    }

    fn take(&mut self, ordinal: u32, by: &str) {
        let others = (0..self.replicas).filter(|other| *other != ordinal);
        let are_whole =
            others.map(|other| self.pods.get(&other)).all(|pod| pod.is_some_and(|pod| self.is_current(pod)));
        let partition = self.partition;
        let Some(pod) = self.pods.get_mut(&ordinal) else { return };
        if pod.state == State::Ready && !are_whole {
            self.unsafe_takes.push(format!("{ordinal} by {by} at {} with partition {partition}", self.now));
        }
        pod.state = State::Stopping;
        *self.taken.entry(ordinal).or_default() += 1;
    }

    /// A sync of the StatefulSet controller.
    fn controller(&mut self) {
        self.update = self.template;
        for ordinal in 0..self.replicas {
            let template = if ordinal < self.partition { self.current } else { self.update };
            if template.1 != Kind::Refused {
                let born = self.now;
                self.pods.entry(ordinal).or_insert(SimPod { template, state: State::Starting, born, current_at: 0 });
            }
        }
        let condemned: Vec<u32> = self.pods.keys().copied().filter(|ordinal| *ordinal >= self.replicas).collect();
        for ordinal in condemned {
            self.pods.get_mut(&ordinal).unwrap().state = State::Stopping;
        }
        let updated = |pod: &&SimPod| pod.template == self.update && pod.state != State::Stopping;
        let updated = self.pods.values().filter(updated).count();
        let before = (self.counts, self.observed, self.current, self.update);
        let all = (self.pods.len(), updated, self.ready());
        self.counts = (i32::try_from(all.0).unwrap(), i32::try_from(all.1).unwrap(), i32::try_from(all.2).unwrap());
        self.observed = self.generation;
        self.roll();
        let all = self.replicas as usize;
        if updated == all && self.ready() == self.replicas && self.pods.len() == all {
            self.current = self.update;
        }
        self.version += u64::from(before != (self.counts, self.observed, self.current, self.update));
    }

    fn roll(&mut self) {
        let is_outdated = |pod: &SimPod| pod.template != self.update && pod.state != State::Stopping;
        let through = || self.pods.range(self.partition..self.replicas).rev();
        let mut takes = Vec::new();
        match self.kubernetes {
            Kubernetes::ByOrdinal => {
                for ordinal in (self.partition..self.replicas).rev() {
                    match self.pods.get(&ordinal) {
                        Some(pod) if is_outdated(pod) => {
                            takes.push(ordinal);
                            break;
                        }
                        Some(pod) if pod.state == State::Ready => {}
                        _ => break,
                    }
                }
            }
            Kubernetes::UnavailableFirst => {
                let unavailable = self.replicas - self.ready();
                let old = |pod: &SimPod| is_outdated(pod) && pod.state != State::Ready;
                takes.extend(through().filter(|(_, pod)| old(pod)).map(|(ordinal, _)| *ordinal));
                let sound = through().filter(|(_, pod)| is_outdated(pod) && !old(pod)).map(|(ordinal, _)| *ordinal);
                takes.extend(sound.take(usize::from(unavailable == 0)));
            }
        }
        for ordinal in takes {
            self.take(ordinal, "Kubernetes");
        }
    }

    /// A pod gets on. A server starts only together with a majority.
    fn kubelet(&mut self) {
        let place = usize::try_from(self.dice(u64::from(self.replicas) + 1)).unwrap();
        let Some(ordinal) = self.pods.keys().copied().nth(place) else { return };
        let alive = |pod: &&SimPod| pod.template.1 == Kind::Good && pod.state != State::Stopping;
        let majority = self.pods.values().filter(alive).count() > self.replicas as usize / 2;
        let pod = self.pods.get_mut(&ordinal).unwrap();
        match pod.state {
            State::Stopping => _ = self.pods.remove(&ordinal),
            State::Starting if pod.template.1 == Kind::Good && majority => {
                pod.state = State::Ready;
                pod.current_at = self.now + 5;
            }
            State::Starting | State::Ready => {}
        }
    }

    fn stateful_set(&self) -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": {"name": "n", "resourceVersion": self.version.to_string(), "generation": self.generation, "annotations": {naming::TEMPLATE_HASH: self.hash}},
            "spec": {
                "replicas": self.replicas, "selector": {}, "serviceName": "n", "template": {},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": self.partition}},
            },
            "status": {
                "replicas": self.counts.0, "updatedReplicas": self.counts.1, "readyReplicas": self.counts.2, "observedGeneration": self.observed,
                "currentRevision": self.current.0, "updateRevision": self.update.0,
            },
        }))
        .unwrap()
    }

    fn server_pods(&self) -> Vec<ServerPod> {
        let pod = |(ordinal, pod): (&u32, &SimPod)| ServerPod {
            name: format!("n-{ordinal}"),
            ordinal: Some(*ordinal),
            uid: Some(pod.born.to_string()),
            node: Some("node".to_owned()),
            revision: Some(pod.template.0.to_owned()),
            ready: pod.state == State::Ready,
            running: pod.state == State::Ready,
            terminating: (pod.state == State::Stopping).then_some(Timestamp::UNIX_EPOCH),
            broken: (pod.template.1 == Kind::Broken).then(|| "container nats: ErrImagePull (no)".to_owned()),
            ..ServerPod::default()
        };
        self.pods.iter().map(pod).collect()
    }

    /// A reconcile.
    fn manager(&mut self, (size, template): (u32, Template)) -> Gate {
        let mut wanted = self.stateful_set();
        wanted.metadata.annotations.as_mut().unwrap().insert(naming::TEMPLATE_HASH.to_owned(), template.0.to_owned());
        wanted.spec.as_mut().unwrap().replicas = Some(i32::try_from(size).unwrap());
        let lacking = || Sight::Lacking("a copy is behind".to_owned());
        let sight = match () {
            () if self.is_unseen => Sight::Unguarded,
            () if self.is_whole() => Sight::Whole,
            () => lacking(),
        };
        let (live, pods) = &self.seen;
        let gate = decide(Some(live), &wanted, pods, &sight);
        let before = (picture::partition(live), template_hash(live).cloned(), picture::replicas(live));
        let victims = pods.iter().filter(|pod| gate.replace.contains(&pod.name));
        let victims: Vec<_> = victims.map(|pod| (pod.ordinal.unwrap(), pod.uid.clone().unwrap())).collect();
        let is_taken = gate.decided_on.as_ref().is_none_or(|version| *version == self.version.to_string());
        if !is_taken {
            return gate;
        }
        if before != (gate.partition, Some(template.0.to_owned()), size) {
            self.version += 1;
            (self.partition, self.template, self.hash, self.replicas) = (gate.partition, template, template.0, size);
            self.generation += 1;
            self.seen.0 = self.stateful_set();
        }
        for (ordinal, uid) in victims {
            if self.pods.get(&ordinal).is_some_and(|pod| pod.born.to_string() == uid && pod.state != State::Stopping) {
                self.take(ordinal, "us");
            }
        }
        gate
    }

    /// A reconcile that finds the template as it was noted.
    fn manage_as_noted(&mut self) {
        let (template, size) = (self.template, self.replicas);
        self.manager((size, A));
        (self.template, self.hash) = (template, A.0);
    }

    /// Everybody acts, in any order.
    fn step(&mut self, wanted: (u32, Template)) {
        self.now += 1;
        match self.dice(6) {
            0 => self.controller(),
            1 | 2 => self.kubelet(),
            3 => self.seen.0 = self.stateful_set(),
            4 => self.seen.1 = self.server_pods(),
            _ => _ = self.manager(wanted),
        }
    }

    fn is_at(&self, (size, template): (u32, Template)) -> bool {
        self.partition == 0
            && self.replicas == size
            && self.template == template
            && self.ready() == size
            && self.pods.len() == size as usize
            && self.pods.values().all(|pod| pod.template == template)
    }

    fn runs_until(&mut self, wanted: (u32, Template), what: &str) {
        for _ in 0..20_000 {
            if self.is_at(wanted) {
                return;
            }
            self.step(wanted);
        }
        let (_, pods) = &self.seen;
        panic!("{what} does not end: partition {}, {pods:?}", self.partition);
    }
}

fn worlds(template: Template, test: impl Fn(World, &str)) {
    for kubernetes in [Kubernetes::ByOrdinal, Kubernetes::UnavailableFirst] {
        for size in [1, 3, 5] {
            for seed in 1..40 {
                test(World::new(kubernetes, size, template, seed), &format!("{kubernetes:?} {size} {seed}"));
            }
        }
    }
}

fn most_restarts(world: &World) -> u32 {
    world.taken.values().copied().max().unwrap_or(0)
}

#[test]
fn every_roll_ends_restarts_each_once_and_is_safe() {
    worlds(A, |mut world, what| {
        world.runs_until((world.replicas, B), what);
        assert_eq!(world.unsafe_takes, [""; 0], "{what}");
        assert_eq!((most_restarts(&world), world.taken.len()), (1, world.replicas as usize), "{what}");
    });
}

#[test]
fn a_template_that_changes_again_is_as_safe() {
    worlds(A, |mut world, what| {
        let size = world.replicas;
        for next in [B, C, A, B] {
            for _ in 0..world.dice(150) {
                world.step((size, next));
            }
        }
        world.runs_until((size, B), what);
        assert_eq!(world.unsafe_takes, [""; 0], "{what}");
        assert!(most_restarts(&world) <= 4, "{what}");
    });
}

#[test]
fn a_broken_template_stops_at_one_server_and_both_ways_out_end() {
    for repair in [A, C] {
        worlds(A, |mut world, what| {
            let size = world.replicas;
            for _ in 0..500 {
                world.step((size, BAD));
            }
            assert_eq!(world.taken.len(), 1, "{what}");
            world.runs_until((size, repair), what);
            assert_eq!(world.unsafe_takes, [""; 0], "{what}");
        });
    }
}

#[test]
fn a_cluster_that_never_started_is_repaired() {
    for bad in [BAD, REFUSED] {
        for is_unseen in [false, true] {
            worlds(bad, |mut world, what| {
                world.is_unseen = is_unseen;
                world.runs_until((world.replicas, B), what);
            });
        }
    }
}

/// Somebody changes the template: the hash that we noted stays, the revision does not.
fn restart_by_hand(world: &mut World, is_prompt: bool, what: &str) {
    let size = world.replicas;
    world.template = B;
    world.generation += 1;
    world.version += 1;
    for _ in 0..20_000 {
        if world.partition == 0 && world.ready() == size && world.pods.values().all(|pod| pod.template == B) {
            return;
        }
        world.now += 1;
        match world.dice(6) {
            0 => world.controller(),
            1 | 2 => world.kubelet(),
            3 => world.seen.0 = world.stateful_set(),
            4 => world.seen.1 = world.server_pods(),
            _ => world.manage_as_noted(),
        }
        if is_prompt {
            world.seen = (world.stateful_set(), world.server_pods());
            world.manage_as_noted();
        }
    }
    panic!("{what} does not end");
}

#[test]
fn a_restart_by_hand_is_gated_from_the_second_server_on() {
    worlds(A, |mut world, what| {
        restart_by_hand(&mut world, true, what);
        assert_eq!((most_restarts(&world), &world.unsafe_takes), (1, &Vec::new()), "{what}");
    });
    worlds(A, |mut world, what| {
        restart_by_hand(&mut world, false, what);
        // Where both caches are far behind, one can be held back that is on its way already.
        assert!(most_restarts(&world) <= 2, "{what}: {:?}", world.taken);
    });
}

#[test]
fn more_servers_come_with_the_new_template() {
    worlds(A, |mut world, what| {
        if world.replicas == 1 {
            return;
        }
        let before = world.replicas;
        world.runs_until((before + 2, B), what);
        assert!(world.taken.keys().all(|ordinal| *ordinal < before), "{what}: {:?}", world.taken);
        assert_eq!(world.unsafe_takes, [""; 0], "{what}");
    });
}

#[test]
fn evicted_pods_do_not_confuse_it() {
    worlds(A, |mut world, what| {
        let size = world.replicas;
        for _ in 0..10 {
            for _ in 0..30 {
                world.step((size, B));
            }
            let evicted = u32::try_from(world.dice(u64::from(size))).unwrap();
            if world.is_whole() {
                world.pods.get_mut(&evicted).unwrap().state = State::Stopping;
            }
        }
        world.runs_until((size, B), what);
        assert!(most_restarts(&world) <= 2, "{what}: {:?}", world.taken);
    });
}
