//! The manager on a real control plane: under its shipped ServiceAccount and rules, with a real NATS
//! server where streams matter. Pods run on simulated nodes.

#![allow(unreachable_pub, reason = "a test binary has no users")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the functions that the tests share are tests too"
)]

mod admission;
mod children;
mod deletion;
mod deploy;
mod deployed_server;
mod faults;
mod history;
mod jetstream;
mod manager;
mod objects;
mod packaging;
mod process;
mod proxy;
mod refusals;
mod rolling;
mod scaling;
mod schema;
mod status;
mod surroundings;
mod world;
