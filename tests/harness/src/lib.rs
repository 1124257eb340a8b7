//! Test support: a real Kubernetes control plane and real NATS servers, on loopback, without containers.
//!
//! [`LocalCluster`] runs the control plane of `tests/cluster`, [`RealCluster`] runs it with nodes that run containers,
//! [`NatsServer`] runs NATS. Their programs are built on first use and kept in the user's cache (see [`tools`]).
//! [`eventually`] polls until the expected state is reached.

pub mod audit;
pub mod cases;
pub mod cluster;
pub mod documented;
mod error;
mod eventually;
mod free_address;
mod hold;
mod http;
pub mod installation;
mod istio;
mod kubectl;
mod manager_process;
pub mod memory_apiserver;
pub mod monitoring;
pub mod nats;
mod pool;
mod promtool;
pub mod real;
mod shell;
mod situations;
pub mod tools;
mod version;

pub use audit::{AuditEvent, AuditEvents, AuditLog, AuditMark};
pub use cluster::{ClusterOptions, LocalCluster};
pub use error::{Error, Result};
pub use eventually::{Attempt, Seen, eventually};
pub use free_address::free_address;
pub use hold::held;
pub use http::http_get;
pub use installation::Installation;
pub use kubectl::KubectlOutput;
pub use manager_process::{ManagerProcess, ManagerProcessError, ResidentMemory};
pub use memory_apiserver::MemoryApiserver;
pub use nats::{NatsOptions, NatsServer};
pub use pool::Lease;
pub use promtool::promtool;
pub use real::RealCluster;
pub use shell::{Background, CommandOutput, Shell};
pub use situations::matches_example;
pub use tools::{Tool, cache_folder};
pub use version::{KubernetesVersion, NatsVersion, UnknownVersion};
