//! Decides what to do next with NATS servers and their data.
//!
//! Functions of values: no Kubernetes client, no HTTP, no clock (time is an argument).
#![deny(missing_docs)]

pub mod actual;
pub mod health;
pub mod plan;
pub mod snapshot;
mod time;
mod version;

pub use time::Time;
pub use version::Version;
