//! Summary of the JetStream data for admission, which decides by the stored status, without a request to the servers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::{Bytes, RawQuantity};

/// Summary of the streams, which suffices to reject a change that would lose data without a request to the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JetStreamStatus {
    /// True if any stream exists.
    pub streams: bool,
    /// True if a deletion would be blocked, because a stream other than that of Eventing, or a consumer, exists.
    pub customer_data: bool,
    /// Highest number of replicas of a stream. 0 if there are no streams.
    pub highest_replicas: u32,
    /// Level of the fullest server's file store: `Healthy`, `NearlyFull`, `Full` or `Unknown`.
    pub storage: String,
    /// True if any stream is stored in memory.
    pub memory_streams: bool,
    /// Upper bound of the memory that streams use on the fullest server, in bytes, such as 64Mi: a power of two. It is
    /// lowered only after the use has fallen well below half of it. Absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawQuantity", extend("default" = null))]
    pub memory_used: Option<RawQuantity>,
}

impl JetStreamStatus {
    /// Returns the upper bound of the memory that streams use on the fullest server; `None` if it is unknown.
    pub fn memory_used(&self) -> Option<Bytes> {
        self.memory_used.as_ref()?.parse().ok()?.bytes_rounded_up()
    }
}
