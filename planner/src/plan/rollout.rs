//! Rolling updates: one server at a time, each only while JetStream is healthy without it.
//!
//! The StatefulSet's partition is the gate: Pods below it keep their revision (a recreated Pod gets the *current*
//! revision), Pods from it on get the update revision, from the highest down (`stateful_set_control.go`, Kubernetes
//! 1.34). At rest the gate is closed, so that no change of the template restarts a server by itself, whatever its
//! source. The gate is closed only after the controller has made the update revision the current one. Before that a
//! recreated Pod would get the old revision.
//!
//! Outdated Pods that cannot run are replaced without waiting for JetStream, since the new template may repair them. If
//! such a Pod has a low ordinal, the StatefulSet controller replaces the servers above it first. The gate is therefore
//! opened that far only by force, or where no server serves and none can be expected to: there is no new Pod that could
//! complete a majority, and the new template has not failed.

use std::time::Duration;

use super::{
    Action, Operation, OperationKind, OperationStep, PlanInput, PodRef, Stage,
    slots::{Slot, Slots},
};
use crate::{
    actual::{PodState, StatefulSetState},
    snapshot::RaftGroup,
    time::Time,
};

/// The gate of a rolling update.
#[derive(Debug)]
pub(super) struct Gate {
    /// The partition without a disruptive action.
    pub(super) partition: u32,
    /// The next step of the rolling update.
    pub(super) stage: Stage,
}

/// Time after which a forced rolling update no longer waits for a Pod that stops or starts, and no rolling update
/// expects a quorum from a new Pod. The grace period is 150 s.
pub(super) const PATIENCE: Duration = Duration::from_mins(3);

const NO_ANSWER_YET: &str = "no server has answered at its monitoring port (8222) yet";

/// Returns the obstacle to stopping a server that JetStream has; `None` if there is none. Servers in `tolerated` may be
/// away too.
pub(super) fn health_obstacle(input: &PlanInput<'_>, server: &str, tolerated: &[String]) -> Option<String> {
    match input.observation {
        super::Observation::Pending => Some(NO_ANSWER_YET.to_owned()),
        super::Observation::Seen(assessment) => {
            let without: Vec<&str> = tolerated.iter().map(String::as_str).chain([server]).collect();
            assessment.obstacle_without(&without).or_else(|| {
                (!assessment.keeps_quorum_without(server))
                    .then(|| format!("a stream or the meta group would lose its quorum without {server}"))
            })
        }
        // Without polls only the readiness of Pods is known.
        _ => None,
    }
}

struct Rollout<'a> {
    input: &'a PlanInput<'a>,
    set: &'a StatefulSetState,
    slots: &'a Slots<'a>,
}

/// Returns the gate for a StatefulSet whose template is the desired one.
pub(super) fn gate<'a>(input: &'a PlanInput<'a>, set: &'a StatefulSetState, slots: &'a Slots<'a>) -> Gate {
    let rollout = Rollout { input, set, slots };
    match slots.last_outdated() {
        None => rollout.finish(),
        Some(_) if input.desired.force_rollout => rollout.force(),
        Some(last) => rollout.proceed(last),
    }
}

/// Replaces Pods that cannot run while the update revision is blocked: see [`Rollout::fall_back`].
pub(super) fn fall_back<'a>(input: &'a PlanInput<'a>, set: &'a StatefulSetState, slots: &'a Slots<'a>) -> Stage {
    Rollout { input, set, slots }.fall_back(set.replicas).unwrap_or(Stage::Idle)
}

impl<'a> Rollout<'a> {
    fn partition(&self) -> u32 {
        self.set.partition.min(self.set.replicas)
    }

    fn name(&self, ordinal: u32) -> String {
        self.input.actual.server(ordinal)
    }

    /// Returns the gate when every existing Pod has the update revision. Missing Pods have to get it too, whatever the
    /// current revision is.
    fn finish(&self) -> Gate {
        if self.slots.is_complete {
            return Gate { partition: self.set.replicas, stage: Stage::Idle };
        }
        let operation = Operation::new(OperationKind::RollingUpdate, OperationStep::Wait);
        let stage = self.first_away().map_or(Stage::Busy(operation.clone()), |(server, cause)| {
            Stage::Busy(operation.at(server).waiting_for(cause))
        });
        Gate { partition: 0, stage }
    }

    fn proceed(&self, last: u32) -> Gate {
        let unrunnable = self.unrunnable();
        let partition = self.partition();
        if let Some(lowest) = self.opened(&unrunnable) {
            let partition = lowest.min(partition);
            return Gate { partition, stage: self.replace_opened(&unrunnable, partition) };
        }
        if let Some(stage) = self.fall_back(partition) {
            return Gate { partition, stage };
        }
        if self.slots.serving() == 0 && matches!(self.input.observation, super::Observation::Starting) {
            let (outdated, partition): (Vec<_>, _) = (self.outdated().collect(), self.lowest_partition());
            return Gate { partition, stage: self.replace_opened(&outdated, partition) };
        }
        if partition <= last {
            let partition = self.tightened_partition(last);
            let stage = self.restart_opened(last).filter(|_| partition == last).unwrap_or_else(|| self.wait());
            return Gate { partition, stage };
        }
        self.next()
    }

    /// Replaces Pods below the partition that cannot run, and whose revision is neither the current nor the update
    /// revision. They are recreated at the current revision, which ran before.
    fn fall_back(&self, partition: u32) -> Option<Stage> {
        let below: Vec<(u32, &PodState)> = self
            .outdated()
            .filter(|(ordinal, pod)| {
                *ordinal < partition
                    && !pod.running
                    && pod.broken.is_some()
                    && !pod.stranded
                    && pod.revision != self.set.current_revision
                    && self.terminating_pvc(*ordinal).is_none()
            })
            .collect();
        (!below.is_empty()).then(|| self.replace(&below))
    }

    /// Restarts the server that the partition permits if the StatefulSet controller does not: from Kubernetes 1.37 on
    /// the controller waits for unavailable Pods, even below the partition where only the new template repairs them.
    fn restart_opened(&self, last: u32) -> Option<Stage> {
        let (_, slot) = self.slots.iter().find(|(ordinal, _)| *ordinal == last)?;
        let is_waiting = self.slots.iter().any(|(ordinal, slot)| ordinal != last && slot.is_unrunnable());
        let pod = slot.pod().filter(|pod| is_waiting && pod.terminating.is_none())?;
        let operation = Operation::new(OperationKind::RollingUpdate, OperationStep::Restart).at(&pod.name);
        if let Some(cause) = self.obstacle(last, slot) {
            return Some(Stage::Busy(operation.waiting_for(cause)));
        }
        let reason = "it is outdated, and the StatefulSet controller waits for a Pod that cannot run".to_owned();
        let action = Action::RestartServer { server: pod.name.clone(), uid: pod.uid.clone(), reason };
        Some(Stage::Act(action, operation))
    }

    /// Returns the gate while the partition permits no outdated Pod: opens it for the next one, unless there is an
    /// obstacle.
    fn next(&self) -> Gate {
        let partition = self.partition();
        let next = self.slots.iter().rev().find(|(_, slot)| !matches!(slot, Slot::Updated(_)));
        let Some((next, slot)) = next.filter(|(next, _)| *next < partition) else {
            return Gate { partition, stage: self.wait() };
        };
        let server = self.name(next);
        let restart = Operation::new(OperationKind::RollingUpdate, OperationStep::Restart).at(&server);
        match self.obstacle(next, slot) {
            Some(cause) => {
                let partition = next.saturating_add(1).min(partition);
                Gate { partition, stage: Stage::Busy(restart.waiting_for(cause)) }
            }
            // The server is away already, so its restart with the new template stops nothing.
            None if slot.is_away() => Gate { partition: next, stage: self.wait() },
            None => Gate { partition, stage: Stage::Act(Action::OpenPartition { partition: next, server }, restart) },
        }
    }

    /// Returns the obstacle to stopping this server now; `None` if it may stop.
    fn obstacle(&self, next: u32, slot: Slot<'_>) -> Option<String> {
        let server = self.name(next);
        let serving = self.slots.serving() - usize::from(slot.is_serving());
        let has_majority = serving > self.slots.count() / 2;
        if matches!(slot, Slot::Missing) && !has_majority {
            return None;
        }
        // A Pod that cannot run is repaired by the new template only. It is tolerated while the others have a majority.
        let is_tolerated = |slot: &Slot<'_>| has_majority && slot.is_unrunnable();
        let others = || self.slots.iter().filter(|(ordinal, _)| *ordinal != next);
        let away = others()
            .filter(|(_, slot)| !is_tolerated(slot))
            .find_map(|(ordinal, slot)| slot.obstacle(&self.name(ordinal)));
        if let Some(away) = away.or_else(|| self.slots.leaving()).or_else(|| self.terminating_pvc(next)) {
            return Some(away);
        }
        match slot {
            Slot::Outdated(pod) if pod.terminating.is_some() || (pod.running && !pod.ready) => {
                if let Some(own) = slot.obstacle(&server) {
                    return Some(own);
                }
            }
            // A Pod that cannot run is repaired by the new template only. A server that starts may vote already.
            Slot::Outdated(pod) if pod.ready || pod.broken.is_none() => {}
            // The Pod may exist again already, at its old revision.
            Slot::Missing => {}
            _ => return None,
        }
        let tolerated: Vec<String> =
            others().filter(|(_, slot)| is_tolerated(slot)).map(|(ordinal, _)| self.name(ordinal)).collect();
        health_obstacle(self.input, &server, &tolerated)
    }

    /// Returns the obstacle of a terminating PVC, which would be deleted with its Pod; `None` if there is none.
    fn terminating_pvc(&self, ordinal: u32) -> Option<String> {
        let pvc = self.input.actual.pvc(ordinal).filter(|pvc| pvc.terminating)?;
        let server = self.name(pvc.ordinal);
        Some(format!("{}, and would be deleted with its Pod", pvc.terminating_message(&server)))
    }

    /// Returns the lowest partition that deletes no outdated Pod whose PVC would be deleted with it.
    fn lowest_partition(&self) -> u32 {
        let kept = self.outdated().filter(|(ordinal, _)| self.terminating_pvc(*ordinal).is_some());
        kept.map(|(ordinal, _)| ordinal.saturating_add(1)).max().unwrap_or(0)
    }

    /// Returns the highest partition that lets no more outdated Pods restart than necessary. Pods that the StatefulSet
    /// controller has deleted, or is about to delete, must not be recreated outdated.
    fn tightened_partition(&self, last: u32) -> u32 {
        let opened = || self.slots.iter().filter(|(ordinal, _)| *ordinal >= self.partition());
        let must_wait = opened().any(|(_, slot)| matches!(slot, Slot::Updated(pod) if !pod.is_serving()))
            || self.slots.iter().any(|(ordinal, slot)| {
                if ordinal == last {
                    self.terminating_pvc(last).is_some() || (slot.is_serving() && self.obstacle(last, slot).is_some())
                } else {
                    !slot.is_serving() && !slot.is_unrunnable()
                }
            });
        let target = if must_wait { last.saturating_add(1) } else { last };
        // Only Pods above every outdated one count as in flight: a lower partition would let that one restart, too.
        let present = opened().filter(|(_, slot)| matches!(slot, Slot::Outdated(_)) && !slot.is_away());
        let highest = present.map(|(ordinal, _)| ordinal).max();
        let is_above = |ordinal: u32| highest.is_none_or(|highest| ordinal > highest);
        let in_flight =
            opened().find(|(ordinal, slot)| slot.is_away() && is_above(*ordinal)).map(|(ordinal, _)| ordinal);
        in_flight.map_or(target, |in_flight| in_flight.min(target))
    }

    fn wait(&self) -> Stage {
        let operation = Operation::new(OperationKind::RollingUpdate, OperationStep::Restart);
        Stage::Busy(match self.first_away() {
            Some((server, cause)) => operation.at(server).waiting_for(cause),
            None => operation,
        })
    }

    fn first_away(&self) -> Option<(String, String)> {
        self.slots.iter().find_map(|(ordinal, slot)| {
            let server = self.name(ordinal);
            let cause = slot.obstacle(&server)?;
            Some((server, cause))
        })
    }

    fn outdated(&self) -> impl Iterator<Item = (u32, &'a PodState)> {
        self.slots.iter().filter_map(|(ordinal, slot)| match slot {
            Slot::Outdated(pod) if pod.terminating.is_none() => Some((ordinal, pod)),
            _ => None,
        })
    }

    /// Returns the outdated Pods that cannot run as they are. A Pod that cannot be scheduled for another reason than
    /// missing resources is not repaired by another template, so servers above it are not restarted for it.
    fn unrunnable(&self) -> Vec<(u32, &'a PodState)> {
        let sound = self.slots.iter().rev().find(|(_, slot)| matches!(slot, Slot::Outdated(_)) && slot.is_serving());
        let last_sound = sound.map(|(ordinal, _)| ordinal);
        let is_unrunnable = |ordinal: u32, slot: Slot<'_>| {
            slot.is_unrunnable()
                && (!slot.pod().is_some_and(|pod| pod.stranded) || last_sound.is_none_or(|sound| ordinal > sound))
        };
        let all = self.slots.iter().filter(|(ordinal, slot)| is_unrunnable(*ordinal, *slot));
        all.filter_map(|(ordinal, slot)| Some((ordinal, slot.pod()?))).collect()
    }

    /// Returns the lowest ordinal of Pods that cannot run to which the partition may be opened. Servers that serve, or may
    /// serve a moment later, are stopped for them only where no quorum can be expected without a repair.
    fn opened(&self, unrunnable: &[(u32, &PodState)]) -> Option<u32> {
        let stops = |(other, slot): (u32, Slot<'_>), ordinal: u32| {
            other > ordinal && matches!(slot, Slot::Outdated(_)) && !slot.is_away() && !slot.is_unrunnable()
        };
        let lowest = self.lowest_partition();
        let ordinals = || unrunnable.iter().map(|(ordinal, _)| *ordinal).filter(|ordinal| *ordinal >= lowest);
        let harmless = ordinals().filter(|ordinal| !self.slots.iter().any(|slot| stops(slot, *ordinal))).min();
        let may_stop = || self.nothing_serves() && !self.is_update_broken() && !self.may_regain_quorum();
        harmless.or_else(|| ordinals().min().filter(|_| may_stop()))
    }

    /// Returns whether a Pod that has a node cannot run with the new template. Most likely no other Pod can either.
    fn is_update_broken(&self) -> bool {
        let is_broken = |pod: &PodState| !pod.running && !pod.stranded && pod.broken.is_some();
        self.slots.iter().any(|(_, slot)| matches!(slot, Slot::Updated(pod) if is_broken(pod)))
    }

    /// Returns whether a server that has just been created, or is about to be created with the new template, may complete
    /// a majority of servers.
    fn may_regain_quorum(&self) -> bool {
        let is_replaced = |(ordinal, slot): (u32, Slot<'_>)| {
            let is_stuck = slot.pod().is_some_and(|pod| !self.is_recent(pod.terminating));
            ordinal >= self.partition() && slot.is_away() && !is_stuck
        };
        let starts = |pod: &&PodState| pod.terminating.is_none() && (pod.running || pod.broken.is_none());
        let replaced = self.slots.iter().filter(|slot| is_replaced(*slot)).count();
        let starting: Vec<&PodState> = self.slots.iter().filter_map(|(_, slot)| slot.pod()).filter(starts).collect();
        starting.len() + replaced > self.slots.count() / 2
            && (replaced > 0 || starting.into_iter().any(|pod| self.is_recent(pod.created)))
    }

    /// Returns whether a time is known and less than [`PATIENCE`] ago.
    fn is_recent(&self, time: Option<Time>) -> bool {
        time.is_some_and(|time| self.input.now.since(time) < PATIENCE)
    }

    /// Returns whether no server serves. A server that is not ready yet may be part of a quorum.
    fn nothing_serves(&self) -> bool {
        let is_led = self.input.assessment().is_some_and(|assessment| {
            let leads = |server: &str, group: &RaftGroup| group.leader.as_deref() == Some(server);
            let mut replicas = assessment.snapshot.replicas();
            assessment.snapshot.meta_group().is_some()
                || replicas.any(|(server, replica)| replica.group.as_ref().is_some_and(|group| leads(server, group)))
        });
        self.slots.serving() == 0 && !is_led
    }

    /// Replaces the Pods that the partition permits already. The StatefulSet controller may not replace them, since it
    /// waits for the updated ones above to be ready.
    fn replace_opened(&self, pods: &[(u32, &'a PodState)], partition: u32) -> Stage {
        let partition = self.partition().max(partition);
        let opened: Vec<_> = pods.iter().filter(|(ordinal, _)| *ordinal >= partition).copied().collect();
        self.replace(&opened)
    }

    fn replace(&self, pods: &[(u32, &PodState)]) -> Stage {
        let replaceable: Vec<PodRef> = pods
            .iter()
            .filter(|(ordinal, _)| self.terminating_pvc(*ordinal).is_none())
            .map(|(_, pod)| PodRef { name: pod.name.clone(), uid: pod.uid.clone() })
            .collect();
        let operation = Operation::new(OperationKind::RollingUpdate, OperationStep::Restart);
        match replaceable.first() {
            Some(first) => {
                let operation = operation.at(&first.name);
                Stage::Act(Action::ReplacePods { pods: replaceable }, operation)
            }
            None => self.wait(),
        }
    }

    /// Continues whatever JetStream reports, one server at a time. The StatefulSet controller waits for a Pod that is
    /// never ready, so the next one is deleted here.
    fn force(&self) -> Gate {
        // Force is no consent to the loss of a PVC.
        let partition = self.lowest_partition();
        if self.partition() != partition {
            return Gate { partition, stage: self.wait() };
        }
        let unrunnable: Vec<_> = self.unrunnable().into_iter().filter(|(ordinal, _)| *ordinal >= partition).collect();
        if !unrunnable.is_empty() {
            return Gate { partition, stage: self.replace_opened(&unrunnable, partition) };
        }
        let in_flight = self.slots.iter().any(|(_, slot)| match slot {
            Slot::Missing => false,
            Slot::Outdated(pod) => self.is_recent(pod.terminating),
            Slot::Updated(pod) => {
                self.is_recent(pod.terminating)
                    || (!pod.ready && pod.broken.is_none() && self.is_recent(pod.ready_changed))
            }
        });
        let next: Vec<_> = self.outdated().filter(|(ordinal, _)| *ordinal >= partition).last().into_iter().collect();
        let kept = partition.checked_sub(1);
        let stage = match kept.and_then(|ordinal| Some((ordinal, self.terminating_pvc(ordinal)?))) {
            _ if in_flight => self.wait(),
            Some((ordinal, cause)) if next.is_empty() => {
                let operation = Operation::new(OperationKind::RollingUpdate, OperationStep::Restart);
                Stage::Busy(operation.at(self.name(ordinal)).waiting_for(cause))
            }
            _ => self.replace_opened(&next, partition),
        };
        Gate { partition, stage }
    }
}
