//! Change in progress, as part of the status.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Change in progress. It contains no moving figures, so that it is constant while a step lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OperationStatus {
    /// Type of the change: `Deployment`, `RollingUpdate`, `ScaleUp`, `ScaleDown`, `FormCluster`, `ExpandVolumes`,
    /// `ReplaceServer` or `Repair`.
    #[serde(rename = "type")]
    pub type_: String,
    /// Server that the current step applies to. Absent if the step applies to no particular server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("default" = null))]
    pub server: Option<String>,
    /// Current step: `Wait`, `Create`, `Restart`, `Evacuate`, `Stop`, `RemovePeer`, `DeletePvc`, `ExpandPvc`,
    /// `RecreateStatefulSet` or `Reload`.
    pub step: String,
    /// Obstacle that the step waits for. Absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("default" = null))]
    pub waiting_for: Option<String>,
    /// Time at which the change began.
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
