//! NATS Manager: a controller that runs NATS JetStream, and the process around it.
//!
//! [`run`] joins the long-lived parts; [`controller`] turns a NATS resource into a cluster;
//! [`admission`] is the webhook; [`offline`] works without a cluster.
#![deny(missing_docs)]

pub mod admission;
pub mod cli;
pub mod controller;
pub mod leadership;
pub mod offline;
pub mod run;
pub mod settings;
pub mod telemetry;
