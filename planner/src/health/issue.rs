//! Health issues of JetStream, as values.

use crate::{snapshot::StreamId, time::Time};

/// A health issue. Its text stays the same while the issue lasts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum IssueKind {
    /// No server leads the meta group: nothing can be created, and a majority may be missing.
    #[error("JetStream has no meta leader")]
    NoMetaLeader,
    /// A server gave no usable answer.
    #[error("{server} is unreachable")]
    Unreachable {
        /// Name of the server.
        server: String,
    },
    /// A server switched JetStream off by itself.
    #[error("{server} has disabled JetStream, mostly because its volume was full")]
    Disabled {
        /// Name of the server.
        server: String,
    },
    /// A server reports no meta leader while others do: it may not have all its streams yet.
    #[error("{server} is starting and has no contact with a meta leader yet")]
    Starting {
        /// Name of the server.
        server: String,
    },
    /// The meta group does not list a server that runs.
    #[error("{server} is not in the meta group")]
    NotInMetaGroup {
        /// Name of the server.
        server: String,
    },
    /// The meta leader reports a server as out of sync, or offline.
    #[error("{server} is not in sync with the meta leader")]
    MetaOutOfSync {
        /// Name of the server.
        server: String,
    },
    /// The meta group lists a peer that is not an expected server: one that was removed, or one of another cluster.
    #[error("{server} is in the meta group and is not an expected server")]
    UnexpectedPeer {
        /// The peer's name, as the meta leader reports it.
        server: String,
    },
    /// The full `/healthz` of a server is not 200, for a cause that no other issue names.
    #[error("{server} reports: {text}")]
    Unhealthy {
        /// Name of the server.
        server: String,
        /// The error text of `/healthz`.
        text: String,
    },
    /// A stream has no leader.
    #[error("stream {stream} has no leader")]
    NoStreamLeader {
        /// Identity of the stream.
        stream: StreamId,
    },
    /// More than one server reports itself as the leader of a stream.
    #[error("stream {stream} has more than one leader")]
    ConflictingLeaders {
        /// Identity of the stream.
        stream: StreamId,
    },
    /// A stream has fewer replicas than it is configured for.
    #[error("stream {stream} is under-replicated")]
    UnderReplicated {
        /// Identity of the stream.
        stream: StreamId,
    },
    /// A stream has more replicas than it is configured for: one moves.
    #[error("stream {stream} is moving")]
    Moving {
        /// Identity of the stream.
        stream: StreamId,
    },
    /// A replica does not have all messages of the leader.
    #[error("replica of stream {stream} on {server} is not in sync")]
    OutOfSync {
        /// Identity of the stream.
        stream: StreamId,
        /// Name of the replica's server.
        server: String,
    },
    /// A server has stopped writing to a stream. Only a restart ends it (measured with NATS 2.14.2).
    #[error("replica of a stream on {server} has a write error")]
    WriteError {
        /// Name of the server.
        server: String,
    },
}

/// An issue and the time since which it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The health issue.
    pub kind: IssueKind,
    /// Time of the first poll in an unbroken row that showed it.
    pub since: Time,
}

impl IssueKind {
    /// Returns the server that the issue is about; `None` for the meta group and for streams.
    pub fn server(&self) -> Option<&str> {
        match self {
            Self::Unreachable { server }
            | Self::Disabled { server }
            | Self::Starting { server }
            | Self::NotInMetaGroup { server }
            | Self::MetaOutOfSync { server }
            | Self::UnexpectedPeer { server }
            | Self::Unhealthy { server, .. }
            | Self::OutOfSync { server, .. }
            | Self::WriteError { server } => Some(server),
            Self::NoMetaLeader
            | Self::NoStreamLeader { .. }
            | Self::ConflictingLeaders { .. }
            | Self::UnderReplicated { .. }
            | Self::Moving { .. } => None,
        }
    }

    /// Returns whether a text of `/healthz` names the stream that the issue is about.
    pub(super) fn names_stream_in(&self, text: &str) -> bool {
        self.stream().is_some_and(|stream| text.contains(&format!("> {}'", stream.name)))
    }

    /// Returns the stream that the issue is about; `None` for the meta group and for servers.
    pub fn stream(&self) -> Option<&StreamId> {
        match self {
            Self::NoStreamLeader { stream }
            | Self::ConflictingLeaders { stream }
            | Self::UnderReplicated { stream }
            | Self::Moving { stream }
            | Self::OutOfSync { stream, .. } => Some(stream),
            _ => None,
        }
    }
}

/// Number of issues in a summary. The others are left out without a count, which would change.
const NAMED: usize = 3;

/// Joins the first issues to one text; `None` without issues.
pub fn summary<'a>(issues: impl IntoIterator<Item = &'a IssueKind>) -> Option<String> {
    let all: Vec<&IssueKind> = issues.into_iter().collect();
    let named: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if all.len() > NAMED { "; and more" } else { "" };
    (!all.is_empty()).then(|| format!("{}{more}", named.join("; ")))
}
