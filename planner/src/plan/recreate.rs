//! A StatefulSet whose immutable fields differ: it is deleted without its Pods, and created again.
//!
//! The current and the update revision of a new StatefulSet are the same, so that its partition keeps no earlier
//! template. Therefore it is recreated only when every Pod has the update revision. Until then the rolling update
//! continues with the immutable fields as they are.

use super::{
    Action, Operation, OperationKind, OperationStep, PlanInput, Stage,
    slots::{Slot, Slots},
};
use crate::actual::StatefulSetState;

/// Recreates the StatefulSet if its immutable fields differ. `slots` is `None` where the watch caches disagree, or the
/// template is about to change.
pub(super) fn recreate(input: &PlanInput<'_>, set: &StatefulSetState, slots: Option<&Slots<'_>>) -> Stage {
    let Some(slots) = slots.filter(|_| input.desired.recreate_stateful_set) else { return Stage::Idle };
    // Without a StatefulSet, a PVC that is terminating keeps it from being created: nothing would start its server again.
    if input.actual.pvcs.iter().any(|pvc| pvc.terminating && pvc.ordinal < set.replicas) {
        return Stage::Idle;
    }
    // A missing Pod may be what the wrong field causes: with `OrderedReady` it waits for the others.
    let is_updated = |slot: Slot<'_>| !matches!(slot, Slot::Outdated(_));
    if !slots.is_complete || slots.leaving().is_some() || !slots.iter().all(|(_, slot)| is_updated(slot)) {
        return Stage::Idle;
    }
    let is_growth = set.volume_size < input.desired.volume_size;
    let kind = if is_growth { OperationKind::ExpandVolumes } else { OperationKind::Repair };
    let operation = Operation::new(kind, OperationStep::RecreateStatefulSet);
    Stage::Act(Action::RecreateStatefulSet { uid: set.uid.clone() }, operation)
}
