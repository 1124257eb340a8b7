//! NATS Manager: a controller that runs NATS JetStream, and the process around it.
//!
//! [`run`] joins the long-lived parts. [`controller`] turns a NATS resource into a cluster. [`admission`] is the
//! webhook. [`offline`] works without a cluster.

#![allow(rustdoc::private_intra_doc_links, reason = "only the binary and the tests use this library")]

pub mod admission;
pub mod cli;
pub(crate) mod client;
pub mod controller;
pub(crate) mod error_message;
mod field_manager;
pub mod fips;
pub(crate) mod leadership;
pub mod offline;
pub mod run;
pub mod settings;
pub mod telemetry;
pub(crate) mod watch;
