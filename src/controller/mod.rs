//! The controller: makes the cluster what the NATS resource asks for, and reports how far it is.
//!
//! A reconcile is a pipeline, a file or folder per stage; `reconcile` begins and ends it, `stages` drives it.
//!
//! | stage | in -> out | I/O |
//! |---|---|---|
//! | [`observe`] | watch caches -> the actual state | caches |
//! | [`resolve`](nats_manager_api::resolve()) | spec, actual state, cluster facts -> resolved cluster, or why not | none |
//! | `poll` | the servers' answers, when due -> a snapshot | monitoring ports |
//! | [`assess`](nats_manager_planner::health) | snapshots -> what is wrong, and since when | none |
//! | [`plan`](nats_manager_planner::plan) | all of it -> the resources' shape, and at most one action | none |
//! | [`build`] | resolved cluster and plan -> resources | none |
//! | [`apply`] | desired and live -> the resources that differ, sent whole | writes |
//! | `execute` | the action, confirmed on a younger snapshot -> done | writes |
//! | [`status`] | what came of it -> status and events | none; `report` writes |
//!
//! `decide` is the I/O around the planner. `deletion` is the end of a resource. [`watch`] fills the caches, `predecessor`
//! keeps the controller from writing while the manager that it replaces still runs.

pub mod apply;
mod backoff;
pub mod build;
pub mod compare;
mod context;
mod decide;
mod deletion;
mod execute;
mod finalizer;
mod memory;
pub mod observe;
mod ownership;
mod poll;
pub mod predecessor;
mod pvcs;
pub mod reconcile;
mod reload;
mod report;
mod run;
mod stages;
pub mod status;
pub mod watch;
pub(crate) mod words;

pub use run::{Controller, run};
