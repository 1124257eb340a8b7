//! Who is told what the admission server does: for metrics.

use std::time::Duration;

/// One of the webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WebhookKind {
    /// Fills in defaults.
    Mutate,
    /// Checks the rules.
    Validate,
    /// Warns of a deletion that will wait.
    Delete,
}

/// How a request to a webhook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReviewOutcome {
    /// Allowed as it is.
    Allowed,
    /// Allowed with defaults filled in.
    Patched,
    /// Refused.
    Refused,
    /// Allowed without a look: nothing that this webhook has a say in.
    Ignored,
    /// No admission review, so an HTTP error.
    Unreadable,
    /// A fault of the server's own, so an HTTP error.
    Failed,
}

/// Why a TLS handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// It took too long.
    Timeout,
    /// The client went away.
    Closed,
    /// The client does not trust the certificate: its bundle or the name is another.
    Untrusted,
    /// There is no certificate to present yet.
    NoCertificate,
    /// The client does not speak TLS, or none that the server speaks.
    Protocol,
}

/// What happens in the admission server. Called while a client waits: it must not block.
pub trait Observer: Send + Sync + 'static {
    /// A request to a webhook was answered; `took` counts from when it was there as a whole.
    fn reviewed(&self, webhook: WebhookKind, verdict: ReviewOutcome, took: Duration);

    /// A TLS handshake failed.
    fn handshake_rejected(&self, reason: Rejection);
}

impl WebhookKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mutate, Self::Validate, Self::Delete];

    /// The name, as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
            Self::Delete => "delete",
        }
    }

    /// The path at which it is served.
    pub fn path(self) -> &'static str {
        match self {
            Self::Mutate => "/mutate",
            Self::Validate => "/validate",
            Self::Delete => "/delete",
        }
    }
}

impl ReviewOutcome {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Allowed, Self::Patched, Self::Refused, Self::Ignored, Self::Unreadable, Self::Failed];

    /// The name, as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Patched => "patched",
            Self::Refused => "refused",
            Self::Ignored => "ignored",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
        }
    }
}

impl Rejection {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Timeout, Self::Closed, Self::Untrusted, Self::NoCertificate, Self::Protocol];

    /// The name, as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Untrusted => "untrusted",
            Self::NoCertificate => "no_certificate",
            Self::Protocol => "protocol",
        }
    }
}
