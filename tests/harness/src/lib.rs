//! Test support: a real Kubernetes control plane and real NATS servers, on loopback, without containers.
//!
//! [`LocalCluster`] runs the control plane of `tests/cluster`, [`RealCluster`] the same with nodes that run containers,
//! [`NatsServer`] runs NATS. What they need is built on
//! first use and kept in the user's cache (see [`tools`]). [`eventually`] waits for what a test expects.

pub mod audit;
pub mod cluster;
pub mod documented;
mod error;
mod eventually;
mod hold;
pub mod nats;
pub mod real;
mod shell;
pub mod tools;
mod version;

pub use audit::{AuditEvent, AuditEvents, AuditLog, AuditMark};
pub use cluster::{ClusterOptions, Lease, LocalCluster};
pub use error::{Error, Result};
pub use eventually::{Attempt, Seen, eventually};
pub use hold::held;
pub use nats::{NatsOptions, NatsServer};
pub use real::RealCluster;
pub use shell::{Background, Said, Shell};
pub use tools::Tool;
pub use version::{KubernetesVersion, NatsVersion, UnknownVersion};
