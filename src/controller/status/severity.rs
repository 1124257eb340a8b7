//! Issues by their reason in the status, the worst first, and when each is worth a message.

use std::time::Duration;

use nats_manager_api::Reason;
use nats_manager_planner::health::IssueKind;

/// What lasts so long is reported. What is shorter passes by itself.
pub(super) const LASTING: Duration = Duration::from_secs(30);
/// A server that restarts needs longer.
const RESTARTING: Duration = Duration::from_mins(1);
/// What lasts so long is reported whatever else is in progress.
pub(super) const WHATEVER_IS_IN_PROGRESS: Duration = Duration::from_mins(2);

/// Every reason for which JetStream is not healthy, the worst first.
const ORDER: [Reason; 18] = [
    Reason::QuorumLost,
    Reason::ServerStuck,
    Reason::ServerDisabled,
    Reason::ServerNotReady,
    Reason::ServerUnreachable,
    Reason::WriteError,
    Reason::StreamsMissing,
    Reason::NoStreamLeader,
    Reason::ConflictingLeaders,
    Reason::NoMetaLeader,
    Reason::ServerMissing,
    Reason::UnknownServer,
    Reason::ServerUnhealthy,
    Reason::ServerStarting,
    Reason::ServerOutOfSync,
    Reason::UnderReplicated,
    Reason::ReplicaOutOfSync,
    Reason::StreamMoving,
];

/// Returns the place of a reason in the order; those that are no issue of servers or streams come last.
pub(super) fn rank(reason: Reason) -> usize {
    ORDER.iter().position(|other| *other == reason).unwrap_or(ORDER.len())
}

/// Returns the reason of an issue.
pub(super) fn reason(issue: &IssueKind) -> Reason {
    match issue {
        IssueKind::NoMetaLeader => Reason::NoMetaLeader,
        IssueKind::Unreachable { .. } => Reason::ServerUnreachable,
        IssueKind::Disabled { .. } => Reason::ServerDisabled,
        IssueKind::Starting { .. } => Reason::ServerStarting,
        IssueKind::NotInMetaGroup { .. } => Reason::ServerMissing,
        IssueKind::MetaOutOfSync { .. } => Reason::ServerOutOfSync,
        IssueKind::UnexpectedPeer { .. } => Reason::UnknownServer,
        IssueKind::Unhealthy { .. } => Reason::ServerUnhealthy,
        IssueKind::NoStreamLeader { .. } => Reason::NoStreamLeader,
        IssueKind::ConflictingLeaders { .. } => Reason::ConflictingLeaders,
        IssueKind::UnderReplicated { .. } => Reason::UnderReplicated,
        IssueKind::Moving { .. } => Reason::StreamMoving,
        IssueKind::OutOfSync { .. } => Reason::ReplicaOutOfSync,
        IssueKind::WriteError { .. } => Reason::WriteError,
    }
}

/// When issues are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportDelay {
    /// At once.
    None,
    /// When they have lasted, with nothing in progress.
    AtRest,
    /// When they have lasted whatever is in progress: it may be their cause.
    InProgress,
}

impl ReportDelay {
    /// Returns how long an issue with this reason has to last.
    pub(super) fn with(self, reason: Reason) -> Duration {
        match (self, reason) {
            (Self::None, _) => Duration::ZERO,
            // Without a quorum nothing is in progress.
            (_, Reason::QuorumLost) => LASTING,
            (Self::InProgress, _) | (_, Reason::StreamMoving) => WHATEVER_IS_IN_PROGRESS,
            (Self::AtRest, Reason::ServerNotReady | Reason::ServerUnhealthy | Reason::ServerStarting) => RESTARTING,
            (Self::AtRest, _) => LASTING,
        }
    }
}
