//! Health of JetStream: what is wrong, per server, meta group and stream, each with the time since which it holds.

mod issue;

use std::sync::Arc;

pub use issue::{Issue, IssueKind, summary};

use crate::snapshot::JetStreamSnapshot;

/// A snapshot and what follows from it and the ones before.
#[derive(Clone, Debug, Default)]
pub struct Assessment {
    /// The last poll.
    pub snapshot: Arc<JetStreamSnapshot>,
    /// What is wrong, in a fixed order.
    pub issues: Vec<Issue>,
    /// Streams whose replicas are not proven to be complete yet: they were seen for the first time.
    pub is_settled: bool,
}
