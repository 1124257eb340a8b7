//! Telemetry of the process: logs, metrics, probes, and the client that counts its requests to the apiserver.

mod address;
mod admission;
mod client;
mod conditions;
mod jetstream;
mod logging;
mod metrics;
mod process;
mod readiness;
mod requests;
mod server;

pub use address::{AddressError, BindAddress};
pub use client::{CountedRequests, Metered, RequestTimeout, client};
pub use logging::{LoggingError, init as init_logging};
pub use metrics::{Metrics, ReconcileOutcome, ReconcileTimer};
pub use readiness::{Check, Readiness};
pub use requests::RequestLabels;
pub use server::{ServerError, TelemetryServers, metrics_router, probes_router};
