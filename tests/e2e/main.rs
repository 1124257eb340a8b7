//! The manager on a real control plane: under its shipped ServiceAccount and rules, with a real NATS
//! server where streams matter. Pods run on simulated nodes.

#![allow(unreachable_pub, reason = "a test binary has no users")]

mod admission;
mod children;
mod deletion;
mod deploy;
mod jetstream;
mod manager;
mod objects;
mod refusals;
mod schema;
mod status;
mod surroundings;
mod world;
