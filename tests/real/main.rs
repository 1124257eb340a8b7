//! The manager with real NATS pods: real kubelets, containers, volumes and network, on nodes that can be stopped.
//!
//! The tests need root and a few packages. Where they cannot run they say so, and fail if `NATS_MANAGER_REAL=required`.
//! They share one cluster and run one after another.

#![allow(unreachable_pub, reason = "a test binary has no users")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the functions that the tests share are tests too"
)]

mod clean;
mod deletion;
mod deploy;
mod faults;
mod http;
mod install;
mod looks;
mod manager;
mod managers;
mod placement;
mod publisher;
mod rolling;
mod scaling;
mod servers;
mod storage;
mod stories;
mod streams;
mod survive;
mod typed;
mod volumes;
mod world;
