//! Admission server of NATS Manager: reviews of NATS resources in, defaults or a decision out.
//!
//! | module | responsibility |
//! |---|---|
//! | `envelope` | uid, operation and objects of a review |
//! | `object`, `spec`, `json` | the NATS resource inside, parsed within bounds |
//! | `stored_spec` | the spec before an update, parsed as far as it changes |
//! | `defaulting` | defaults that the schema cannot express |
//! | `deletion` | warning of a deletion that is blocked |
//! | `validation`, `status` | checks of the rules, and rejections as the apiserver writes them |
//! | `review`, `answer` | one review, from bytes to bytes |
//! | `router`, `body` | the webhooks over HTTP, within limits |
//! | [`server`] | the webhooks over TLS, with a drain |
//!
//! [`FactSource`] supplies the facts about the cluster. The server sends no request to others while a client waits.

#![deny(missing_docs)]

mod answer;
mod body;
mod defaulting;
mod deletion;
mod envelope;
mod facts;
mod json;
mod object;
mod observer;
mod review;
mod router;
#[cfg(test)]
#[path = "../tests/samples/mod.rs"]
mod samples;
mod scale;
pub mod server;
mod spec;
mod status;
mod stored_spec;
mod text;
mod validation;

pub use body::LARGEST_BODY;
pub use facts::FactSource;
pub use observer::{Observer, Rejection, ReviewOutcome, WebhookKind};
pub use router::{RequestTimeouts, router};
pub use server::{ServeError, ServerOptions, TlsIdentity, serve, serve_plain, tls_config};
