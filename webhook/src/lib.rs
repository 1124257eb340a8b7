//! The admission server: reviews of NATS resources in, defaults or a verdict out.
//!
//! | module | question it answers |
//! |---|---|
//! | `envelope` | what is asked, and with which uid does the answer go back? |
//! | `object`, `json` | what does the resource inside say, whatever was sent? |
//! | `defaulting` | what is missing that the schema cannot fill in? |
//! | `deletion` | will a deletion wait? |
//! | `validation`, `status` | may it be, and how does the apiserver put a refusal? |
//! | `review`, `answer` | one review, from bytes to bytes |
//! | `router`, `body` | the same over HTTP, within limits |
//! | [`server`] | the same over TLS, with a drain |
//!
//! How facts about the cluster are gathered is not known here: they come from [`FactSource`]. Nothing
//! is asked of anybody else while a client waits.

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
pub mod server;
mod status;
mod text;
mod validation;

pub use body::LARGEST_BODY;
pub use facts::FactSource;
pub use observer::{Observer, Rejection, ReviewOutcome, WebhookKind};
pub use router::{RequestTimeouts, router};
pub use server::{ServeError, ServerOptions, serve, tls_config};
