//! The change in progress, as the status shows it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The change in progress. It stays the same while a step lasts: it has no moving figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OperationStatus {
    /// `Deployment`, `RollingUpdate`, `ScaleUp`, `ScaleDown`, `FormCluster` or `Repair`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The server that the present step is about. Absent: none in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("default" = null))]
    pub server: Option<String>,
    /// The present step: `Wait`, `Create`, `Restart`, `Evacuate`, `Stop`, `RemovePeer`, `DeletePvc` or `Reload`.
    pub step: String,
    /// The obstacle that the step waits for. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("default" = null))]
    pub waiting_for: Option<String>,
    /// The time when the change began.
    #[schemars(extend("default" = null))]
    pub since: Time,
}

/// Fills in the fields that a stored operation does not have, so that the status stays readable.
impl Default for OperationStatus {
    fn default() -> Self {
        Self {
            type_: String::new(),
            server: None,
            step: String::new(),
            waiting_for: None,
            since: Time(Timestamp::UNIX_EPOCH),
        }
    }
}
