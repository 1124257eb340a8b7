//! Health of each server, apart from its streams.

use super::IssueKind;
use crate::snapshot::{Healthz, JetStreamSnapshot, ServerSnapshot};

/// Text of `/healthz` for a replica that is no longer written to (measured with NATS 2.14.2).
const WRITE_ERROR: &str = "write error";

/// Adds the issues of each expected server, and sorts all issues.
pub(super) fn assess(
    snapshot: &JetStreamSnapshot,
    expected: &[String],
    is_clustered: bool,
    issues: &mut Vec<IssueKind>,
) {
    let is_led = !issues.contains(&IssueKind::NoMetaLeader);
    for server in expected {
        let own = match snapshot.answer(server) {
            None => Some(IssueKind::Unreachable { server: server.clone() }),
            Some(answer) if answer.disabled => Some(IssueKind::Disabled { server: server.clone() }),
            // A missing meta leader is one issue, not one per server.
            Some(answer) if is_clustered && is_led && !has_meta_leader(answer) => {
                Some(IssueKind::Starting { server: server.clone() })
            }
            Some(answer) => unhealthy(server, answer, issues, is_led),
        };
        issues.extend(own);
    }
    issues.sort();
    issues.dedup();
}

fn has_meta_leader(answer: &ServerSnapshot) -> bool {
    answer.meta.as_ref().is_some_and(|meta| meta.leader.is_some())
}

/// Returns the issue of a failing `/healthz`, unless another issue names its cause already.
fn unhealthy(server: &str, answer: &ServerSnapshot, issues: &[IssueKind], is_led: bool) -> Option<IssueKind> {
    let text = match &answer.healthz {
        Healthz::Ok => return None,
        Healthz::Failing(text) => text.as_str(),
        Healthz::Unknown => "no usable answer to /healthz",
    };
    if text.contains(WRITE_ERROR) {
        return Some(IssueKind::WriteError { server: server.to_owned() });
    }
    let is_named = !is_led || issues.iter().any(|issue| issue.server() == Some(server) || issue.names_stream_in(text));
    (!is_named).then(|| IssueKind::Unhealthy { server: server.to_owned(), text: text.to_owned() })
}
