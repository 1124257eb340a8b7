//! Three real NATS servers that form a cluster.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod consumers;
mod proxy;
mod requests;
mod servers;
