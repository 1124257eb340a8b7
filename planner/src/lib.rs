//! Plans the next change of NATS servers and their data.
//!
//! Pure functions of values: no Kubernetes client, no HTTP, no clock (time is an argument). The entry point is
//! [`plan::plan`].
#![deny(missing_docs)]

pub mod actual;
pub mod health;
pub mod plan;
pub mod snapshot;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod time;
mod version;

pub use time::Time;
pub use version::Version;
