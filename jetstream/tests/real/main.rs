//! Tests with a cluster of three real NATS servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod consumers;
mod proxy;
mod requests;
mod servers;
