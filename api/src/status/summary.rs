//! Summary of what JetStream holds, for admission: it answers from the stored status, without asking the servers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::{Bytes, RawQuantity};

/// Summary of the streams: enough to reject a change that would lose data without asking the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JetStreamStatus {
    /// True if there is any stream.
    pub streams: bool,
    /// True if a deletion would be blocked: there is a stream other than Eventing's, or a consumer.
    pub customer_data: bool,
    /// The highest number of replicas that a stream has; 0 without streams.
    pub highest_replicas: u32,
    /// The level of the fullest server's file store: `Healthy`, `NearlyFull`, `Full` or `Unknown`.
    pub storage: String,
    /// True if there is a stream that is kept in memory.
    pub memory_streams: bool,
    /// An upper bound of what memory streams hold on the fullest server, in bytes, such as 64Mi: a power of two, which
    /// is lowered only after what they hold has fallen well below its half. Absent: unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawQuantity", extend("default" = null))]
    pub memory_used: Option<RawQuantity>,
}

impl JetStreamStatus {
    /// Returns the upper bound of what memory streams hold on the fullest server; `None` if it is unknown.
    pub fn memory_used(&self) -> Option<Bytes> {
        self.memory_used.as_ref()?.parse().ok()?.bytes_rounded_up()
    }
}
