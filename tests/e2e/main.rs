//! End-to-end tests: the manager on a real control plane, with its shipped ServiceAccount and roles, and with a real
//! NATS server in tests that need streams. Pods run on simulated nodes.

#![allow(unreachable_pub, reason = "a test binary has no users")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the functions that the tests share are tests too"
)]

mod admission;
mod annotations;
mod children;
mod cluster_facts;
mod deletion;
mod deploy;
mod deployed_server;
mod faults;
mod flood;
mod gitops;
mod history;
mod jetstream;
mod manager;
mod nodes;
mod objects;
mod packaging;
mod pause;
mod placement;
mod process;
mod proxy;
mod rejections;
mod replace;
mod rolling;
mod scaling;
mod schema;
mod secrets;
mod situations;
mod status;
mod world;
