//! The plan: the target state of the resources, and at most one action.
//!
//! A plan follows from the difference between actual and desired state, not from records of earlier plans. The stages
//! have a precedence: repair that unblocks others, then cleanup (peers and PVCs of removed servers), then the rolling
//! update, then the replacement of servers, then a change of the size. The first stage that acts or waits is the only one
//! that takes effect. A blocked stage does not keep the next one from acting.

mod action;
mod change_mode;
mod confirm;
mod decide;
mod existing;
mod expand_volumes;
mod file_store;
mod form_cluster;
mod fresh;
mod input;
mod memory_store;
mod never_started;
mod outcome;
mod pvcs;
mod recreate;
mod remove_peers;
mod repair;
mod replace_server;
mod rollout;
mod room;
mod scale_down;
mod scale_up;
mod slots;
mod text;
mod versions;

#[cfg(test)]
mod tests;

pub use action::{Action, PeerRef, PodRef, PvcRef, ServerRef};
pub use confirm::confirm;
pub use decide::plan;
pub use input::{Desired, History, Observation, PlanInput, Variant};
pub use outcome::{Blocked, BlockedReason, Operation, OperationKind, OperationStep, Plan};
pub use replace_server::REPLACE_SERVER;

/// The result of one stage of a plan.
#[derive(Clone, Debug)]
enum Stage {
    /// The stage has nothing to do.
    Idle,
    /// The watch caches disagree: no decision is made until they agree.
    Inconsistent,
    /// A change is not carried out, and the next stage may act.
    Blocked(Blocked),
    /// The names of all streams are needed first.
    NeedsStreams(Operation),
    /// A change is in progress and waits.
    Busy(Operation),
    /// The next action of a change.
    Act(Action, Operation),
}
