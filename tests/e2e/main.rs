//! The manager on a real control plane: under its shipped ServiceAccount and rules, with a real NATS
//! server where streams matter. Pods run on simulated nodes.

#![allow(unreachable_pub, reason = "a test binary has no users")]

mod deploy;
mod manager;
mod world;
