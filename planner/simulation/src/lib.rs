//! Deterministic simulation of the environment of the planner: Kubernetes, NATS, users and faults.
//!
//! A run is a seed and a list of events. The invariants of the design are checked at every step. A failing scenario is
//! shrunk to the events that it needs. `docs/contributor/simulation.md` lists what is modelled and what is not.

pub mod event;
pub mod invariants;
pub mod kubernetes;
pub mod ledger;
pub mod manager;
pub mod nats;
pub mod random;
pub mod scenario;
pub mod servers;
pub mod simulation;
pub mod story;
pub mod world;
