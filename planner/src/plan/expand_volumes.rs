//! Growth of the volumes: the PVCs request the larger size, and the volume driver and the kubelets do the rest.
//!
//! The steps follow from the PVCs alone, so that they continue wherever a manager was stopped: request the size, wait
//! for volume and file system, then recreate the StatefulSet, whose template new PVCs are made from (`recreate`), and
//! raise the limit of the file store (`file_store`). A PVC that a user has grown by hand needs no request.

use std::time::Duration;

use super::{
    Action, Blocked, BlockedReason, Operation, OperationKind, OperationStep, PlanInput, PvcRef, Stage,
    existing::Servers, rollout, slots::Slots,
};
use crate::actual::{PvcState, StatefulSetState, VolumeExpansion};

/// Pause between two requests for a PVC that the apiserver rejected (a quota, the StorageClass).
const REQUEST_PAUSE: Duration = Duration::from_mins(1);
/// Time in which a kubelet expands a file system online. After that, the volume needs another mount. The kubelet
/// compares the sizes every second or so (`desired_state_of_wold_populator.go`, Kubernetes 1.34).
const ONLINE: Duration = Duration::from_mins(2);

/// Pause between two restarts of the same server for its file system: clocks may differ.
const RESTART_PAUSE: Duration = Duration::from_mins(10);
/// Time after which a driver that reports nothing at all counts as missing.
const SILENT: Duration = Duration::from_mins(15);

/// The growth of the volumes.
pub(super) struct Expansion {
    /// Requests that are due. They disturb no server.
    pub(super) request: Stage,
    /// The restart of a server whose file system grows only when it is mounted. Other changes may wait for it.
    pub(super) restart: Stage,
    /// The wait for a volume. No other change waits for it.
    pub(super) progress: Stage,
    /// PVCs that cannot be expanded.
    pub(super) blocked: Option<Blocked>,
    /// Every volume has at least the desired size.
    pub(super) is_complete: bool,
}

/// Plans the growth of the volumes that are smaller than desired. `slots` is `None` where the watch caches disagree, or
/// the template is about to change: then no server is restarted.
pub(super) fn expand<'a>(
    input: &'a PlanInput<'a>,
    servers: &Servers<'a>,
    set: &'a StatefulSetState,
    slots: Option<&'a Slots<'a>>,
) -> Expansion {
    let growth = input.desired.volume_size.map(|size| Growth {
        input,
        set,
        slots,
        size,
        small: bound(input, servers).filter(|(pvc, capacity)| pvc.requested.min(*capacity) < size).collect(),
    });
    match growth.filter(|growth| !growth.small.is_empty()) {
        None => Expansion {
            request: Stage::Idle,
            restart: Stage::Idle,
            progress: Stage::Idle,
            blocked: None,
            is_complete: true,
        },
        Some(growth) => Expansion {
            request: growth.request(),
            restart: growth.restarts(),
            progress: growth.progress(),
            blocked: growth.blocked(),
            is_complete: false,
        },
    }
}

/// Iterates over the servers' PVCs that have a volume, each with the volume's size in bytes. Others cannot be expanded
/// (`persistent_volume_claim_resize` of the apiserver).
fn bound<'a>(input: &PlanInput<'a>, servers: &Servers<'_>) -> impl Iterator<Item = (&'a PvcState, u64)> {
    let (replicas, actual) = (servers.replicas, input.actual);
    let kept = actual.pvcs.iter().filter(move |pvc| pvc.ordinal < replicas && !pvc.terminating);
    kept.filter_map(|pvc| Some((pvc, pvc.capacity?)))
}

struct Growth<'a> {
    input: &'a PlanInput<'a>,
    set: &'a StatefulSetState,
    slots: Option<&'a Slots<'a>>,
    /// The desired size in bytes.
    size: u64,
    /// The PVCs below that size, each with the size of its volume, by ordinal.
    small: Vec<(&'a PvcState, u64)>,
}

impl Growth<'_> {
    fn operation(&self, step: OperationStep, pvc: &PvcState) -> Operation {
        Operation::new(OperationKind::ExpandVolumes, step).at(self.input.actual.server(pvc.ordinal))
    }

    /// Requests the size for all PVCs at once.
    fn request(&self) -> Stage {
        let is_due = |pvc: &PvcState| {
            let requested = self.input.history.expanded.get(&pvc.uid);
            pvc.requested < self.size && requested.is_none_or(|at| self.input.now.since(*at) >= REQUEST_PAUSE)
        };
        let due: Vec<&PvcState> = self.small.iter().map(|(pvc, _)| *pvc).filter(|pvc| is_due(pvc)).collect();
        let Some(first) = due.first() else { return Stage::Idle };
        // The operation of a repeated request is that of the time in between.
        let operation = match self.waiting() {
            Some(waiting) if due.iter().any(|pvc| self.input.history.expanded.contains_key(&pvc.uid)) => waiting,
            _ => self.operation(OperationStep::ExpandPvc, first),
        };
        let pvcs = due.iter().map(|pvc| PvcRef { ordinal: pvc.ordinal, uid: pvc.uid.clone() }).collect();
        Stage::Act(Action::ExpandPvcs { pvcs, size: self.size }, operation)
    }

    /// Restarts the server with the highest ordinal whose file system only that makes grow.
    fn restarts(&self) -> Stage {
        self.small.iter().rev().find_map(|(pvc, _)| self.restart(pvc)).unwrap_or(Stage::Idle)
    }

    /// Waits for the first PVC that did not fail, or else for the first one.
    fn progress(&self) -> Stage {
        self.waiting().map_or(Stage::Idle, Stage::Busy)
    }

    fn waiting(&self) -> Option<Operation> {
        let is_failed = |pvc: &PvcState| matches!(pvc.expansion, VolumeExpansion::Failed { .. });
        let mut all = self.small.iter().map(|(pvc, _)| *pvc);
        let pvc = all.clone().find(|pvc| !is_failed(pvc)).or_else(|| all.next())?;
        let name = self.input.actual.pvc_name(pvc.ordinal);
        let cause = match pvc.expansion {
            VolumeExpansion::FileSystemPending { .. } => format!("the file system of PVC {name} to grow"),
            _ => format!("the volume of PVC {name} to grow"),
        };
        Some(self.operation(OperationStep::ExpandPvc, pvc).waiting_for(cause))
    }

    /// Returns the restart of the server of a PVC whose file system did not grow online, or what the restart waits for.
    /// `None` if it needs none.
    fn restart(&self, pvc: &PvcState) -> Option<Stage> {
        let (input, now) = (self.input, self.input.now);
        let VolumeExpansion::FileSystemPending { since } = pvc.expansion else { return None };
        let pod = input.actual.pod(pvc.ordinal).filter(|pod| pod.terminating.is_none())?;
        // A Pod that is newer has mounted the volume since.
        let is_mounted_since = pod.created.is_none_or(|created| created > since);
        let restarted = input.history.restarted.get(&pod.name);
        let was_restarted = restarted.is_some_and(|at| now.since(*at) < RESTART_PAUSE);
        if now.since(since) < ONLINE || is_mounted_since || was_restarted {
            return None;
        }
        let operation = self.operation(OperationStep::Restart, pvc);
        if let Some(cause) = self.obstacle(&pod.name, pvc.ordinal) {
            return Some(Stage::Busy(operation.waiting_for(cause)));
        }
        let reason = "the file system of its volume grows only when it is mounted again".to_owned();
        let action = Action::RestartServer { server: pod.name.clone(), uid: pod.uid.clone(), reason };
        Some(Stage::Act(action, operation))
    }

    /// Returns the obstacle to restarting a server now; `None` if it may restart.
    fn obstacle(&self, server: &str, ordinal: u32) -> Option<String> {
        let Some(slots) = self.slots else { return Some("the watch caches to agree".to_owned()) };
        slots
            .obstacle_beside(ordinal, self.set.partition, self.input.actual)
            .or_else(|| rollout::health_obstacle(self.input, server, &[]))
    }

    fn blocked(&self) -> Option<Blocked> {
        let is_silent = |pvc: &PvcState| {
            let since = self.input.history.expanded.get(&pvc.uid);
            pvc.expansion == VolumeExpansion::Unreported
                && since.is_some_and(|since| self.input.now.since(*since) >= SILENT)
        };
        let (pvc, cause) = self.small.iter().find_map(|(pvc, _)| match &pvc.expansion {
            VolumeExpansion::Failed { cause } => {
                Some((*pvc, cause.as_deref().unwrap_or("the volume driver reports no cause")))
            }
            _ if is_silent(pvc) => Some((*pvc, "no volume driver has begun it")),
            _ => None,
        })?;
        let actual = self.input.actual;
        let name = actual.pvc_name(pvc.ordinal);
        let message = format!(
            "the volume of PVC {name} cannot be expanded: {cause}. It is tried again until the cause is gone. To see \
             the PVC: kubectl describe pvc -n {} {name}",
            actual.namespace
        );
        Some(Blocked::new(BlockedReason::VolumeExpansionBlocked, message))
    }
}
