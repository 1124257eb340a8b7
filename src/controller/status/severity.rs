//! Severity of issues by their reason in the status, and the time after which each is reported.

use std::time::Duration;

use nats_manager_api::Reason;
use nats_manager_planner::health::IssueKind;

/// Time after which an issue is reported. Shorter ones end by themselves.
pub(super) const LASTING: Duration = Duration::from_secs(30);
/// Time after which an issue is reported that a restart of a server may cause.
const RESTARTING: Duration = Duration::from_mins(1);
/// Time after which an issue is reported while a change is in progress.
pub(super) const LASTING_IN_PROGRESS: Duration = Duration::from_mins(2);

/// Reasons for which JetStream is not healthy, the worst first.
const BY_SEVERITY: [Reason; 18] = [
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

/// Returns the position of a reason in the order of severity. Reasons that are no issue of servers or streams come
/// last.
pub(super) fn rank(reason: Reason) -> usize {
    BY_SEVERITY.iter().position(|other| *other == reason).unwrap_or(BY_SEVERITY.len())
}

/// Returns the reason that an issue has in the status.
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

/// Delay before issues are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportDelay {
    None,
    /// Delay while nothing is in progress.
    AtRest,
    /// Longer delay while a change is in progress, which may be the cause.
    InProgress,
}

impl ReportDelay {
    /// Returns the time that an issue with this reason has to last.
    pub(super) fn duration(self, reason: Reason) -> Duration {
        match (self, reason) {
            (Self::None, _) => Duration::ZERO,
            // Without a quorum nothing is in progress.
            (_, Reason::QuorumLost) => LASTING,
            (Self::InProgress, _) | (_, Reason::StreamMoving) => LASTING_IN_PROGRESS,
            (Self::AtRest, Reason::ServerNotReady | Reason::ServerUnhealthy | Reason::ServerStarting) => RESTARTING,
            (Self::AtRest, _) => LASTING,
        }
    }
}
