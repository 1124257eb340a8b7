//! Telemetry of the process: logs, metrics and probes.

mod address;
mod admission;
mod conditions;
mod jetstream;
mod logging;
mod metrics;
mod process;
mod readiness;
mod requests;
mod server;

pub use address::{AddressError, BindAddress};
pub use logging::{LoggingError, init as init_logging};
pub use metrics::{Metrics, ReconcileOutcome, ReconcileTimer};
pub use readiness::{Check, Readiness};
pub use requests::RequestLabels;
pub(crate) use requests::is_watch;
pub use server::{ServerError, TelemetryServers, metrics_router, probes_router};
