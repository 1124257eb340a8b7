//! The controller: makes the cluster what the NATS resource says, and says how far it is.
//!
//! A reconcile is a pipeline, a file a stage:
//!
//! | stage | in -> out | I/O |
//! |---|---|---|
//! | [`observe`] | name -> what the watches have cached | caches (claims, while there is no StatefulSet) |
//! | [`settle`](nats_manager_api::settle()) | spec, what exists, surroundings -> settled cluster, or why not | none |
//! | [`scaling`] | a change of the size -> free, or held | asks JetStream, where data is at stake |
//! | [`build`] | settled cluster -> the wanted objects | none |
//! | [`rollout`] | pods and JetStream -> how far a rolling update may go | none |
//! | [`apply`] | wanted and live -> the objects that differ, sent whole | writes |
//! | [`status`] | what came of it -> status and events | none |
//! | `guard` | what JetStream says of data -> whether it may be deleted | asks JetStream |
//! | [`delete`] | what may go -> gone | deletes |
//!
//! [`reconcile`] drives it, [`watch`] fills the caches, [`rivals`] keeps it from writing while the
//! manager that it replaces still does.

pub mod apply;
pub mod build;
mod claims;
pub mod compare;
mod context;
pub mod delete;
mod deployed;
mod finalizer;
mod guard;
mod looker;
mod members;
pub mod observe;
mod ownership;
mod pauses;
pub mod reconcile;
mod recover;
mod reload;
mod report;
mod restart;
pub mod rivals;
pub mod rollout;
mod run;
pub mod scaling;
mod sight;
pub mod status;
pub mod watch;
pub(crate) mod words;

pub use run::{Controller, run};
