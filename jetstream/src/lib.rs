//! Client of NATS servers. It returns their answers as values of [`nats_manager_planner::snapshot`].
//!
//! | module | interface |
//! |---|---|
//! | `poll` | monitoring ports: one snapshot of all servers |
//! | `client` | JetStream API of the account of clients without credentials |
//! | `admin` | JetStream API of the system account |
//! | `credentials` | user and password of the system account |
#![deny(missing_docs)]

mod admin;
mod client;
mod credentials;
mod poll;

pub use admin::{Admin, AdminError, ConnectCause, RequestCause};
pub use client::{AccountInventory, ClientError, EVENTING_STREAM, inventory, step_down, stream_names};
pub use credentials::{Credentials, is_equivalent_config};
pub use poll::{MonitoringEndpoint, PollError, PollLimits, Poller, config_digests};
