//! The plan: what the resources are to be now, and at most one action.
//!
//! What to do follows from the difference between actual and desired state, not from notes about what was begun. The
//! stages have a precedence: repair that unblocks others, then what was begun (peers and PVCs of servers that left),
//! then the rolling update, then a change of the size. The first stage that acts or waits is the only one; a blocked
//! one lets the next have its turn.

mod action;
mod change_kind;
mod confirm;
mod decide;
mod existing;
mod form_cluster;
mod input;
mod memory_store;
mod outcome;
mod peers;
mod pvcs;
mod repair;
mod rollout;
mod room;
mod scale_down;
mod scale_up;
mod slots;
mod text;
mod vacant;
mod versions;

#[cfg(test)]
mod tests;

pub use action::{Action, PeerRef, PodRef, PvcRef, ServerRef};
pub use confirm::confirm;
pub use decide::plan;
pub use input::{Desired, History, Observation, PlanInput, Variant};
pub use outcome::{Blocked, BlockedReason, Operation, OperationKind, OperationStep, Plan};

/// What one stage of the plan asks for.
#[derive(Clone, Debug)]
enum Stage {
    /// Nothing to do.
    Idle,
    /// The watch caches disagree: nothing is decided until they agree.
    Unsettled,
    /// A change is not carried out; the next stage has its turn.
    Blocked(Blocked),
    /// The names of all streams are needed first.
    NeedsStreams(Operation),
    /// A change is in progress and waits.
    Busy(Operation),
    /// The next action of a change.
    Act(Action, Operation),
}
