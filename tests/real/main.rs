//! Tests of the manager on real NATS Pods: real kubelets, containers, volumes and network, with control of the nodes.
//!
//! The tests require root and a few packages. On other machines they print the reason and are skipped, or fail if
//! `NATS_MANAGER_REAL=required`. They share up to three clusters, each of which is used by one test at a
//! time.

#![allow(unreachable_pub, reason = "a test binary has no users")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the functions that the tests share are tests too"
)]

mod backup;
mod clean;
mod deletion;
mod deploy;
mod eventing;
mod expansion;
mod faults;
mod install;
mod manager;
mod managers;
mod placement;
mod polls;
mod publisher;
mod quickstart;
mod replace;
mod rolling;
mod scaling;
mod servers;
mod situations;
mod storage;
mod stories;
mod streams;
mod survive;
mod typed;
mod volumes;
mod world;
