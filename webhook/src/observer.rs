//! Events of the admission server, for metrics.

use std::time::Duration;

/// Kind of webhook, each with a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WebhookKind {
    /// Webhook that fills in defaults.
    Mutate,
    /// Webhook that checks the rules.
    Validate,
    /// Webhook that warns of a deletion that will be blocked.
    Delete,
}

/// Outcome of a request to a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReviewOutcome {
    /// Request that was allowed without a change.
    Allowed,
    /// Request that was allowed with defaults filled in.
    Patched,
    /// Request that breaks a rule or is malformed.
    Rejected,
    /// Request out of the webhook's scope, allowed without a check.
    Ignored,
    /// Body without an admission review, answered with an HTTP error.
    Unreadable,
    /// Fault of the server itself, answered with an HTTP error.
    Failed,
}

/// Reason for which a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// Handshake that exceeded [`ServerOptions::handshake`](crate::ServerOptions::handshake).
    Timeout,
    /// Client that closed the connection during the handshake.
    Closed,
    /// Client that does not trust the certificate: its CA bundle or the expected name differs.
    Untrusted,
    /// Server without a certificate to present yet.
    NoCertificate,
    /// Client without a certificate of a CA that is required of clients.
    ClientCertificate,
    /// Client that does not speak TLS, or no version that the server supports.
    Protocol,
}

/// Receiver of the server's events. A client waits during each call, so implementations must not block.
pub trait Observer: Send + Sync + 'static {
    /// Records the outcome of a request to a webhook. `took` starts when the body is complete.
    fn reviewed(&self, webhook: WebhookKind, outcome: ReviewOutcome, took: Duration);

    /// Records a TLS handshake that failed.
    fn handshake_rejected(&self, reason: Rejection);
}

impl WebhookKind {
    /// Every kind of webhook, for routes and metrics.
    pub const ALL: [Self; 3] = [Self::Mutate, Self::Validate, Self::Delete];

    /// Returns the value of the metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
            Self::Delete => "delete",
        }
    }

    /// Returns the HTTP path of the webhook.
    pub fn path(self) -> &'static str {
        match self {
            Self::Mutate => "/mutate",
            Self::Validate => "/validate",
            Self::Delete => "/delete",
        }
    }
}

impl ReviewOutcome {
    /// Every outcome, for series that start at zero.
    pub const ALL: [Self; 6] =
        [Self::Allowed, Self::Patched, Self::Rejected, Self::Ignored, Self::Unreadable, Self::Failed];

    /// Returns the value of the metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Patched => "patched",
            Self::Rejected => "rejected",
            Self::Ignored => "ignored",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
        }
    }
}

impl Rejection {
    /// Every reason, for series that start at zero.
    pub const ALL: [Self; 6] =
        [Self::Timeout, Self::Closed, Self::Untrusted, Self::NoCertificate, Self::ClientCertificate, Self::Protocol];

    /// Returns the value of the metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Untrusted => "untrusted",
            Self::NoCertificate => "no_certificate",
            Self::ClientCertificate => "client_certificate",
            Self::Protocol => "protocol",
        }
    }
}
