//! The controller: reconciles the NATS resource and reports the result in its status and in events.
//!
//! A reconcile is a pipeline with a folder per stage. `docs/contributor/architecture.md` describes the stages.

pub(crate) mod apply;
mod context;
mod decide;
mod deletion;
mod execute;
mod foreign_finalizers;
pub(crate) mod observe;
pub(crate) mod ownership;
mod pipeline;
mod poll;
mod reconcile;
pub mod resources;
pub(crate) mod status;

pub use reconcile::{Controller, run};
