//! Placement of the servers: the part of the Pod template that users can set.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Placement of the servers on nodes. A change restarts the servers one by one.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scheduling {
    /// Labels that a node must have. A server whose volume is bound to another zone stays pending. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the servers tolerate. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Affinity to nodes and Pods. Without `podAntiAffinity`, the servers prefer different zones and nodes. Default:
    /// only this preference.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Affinity", extend("default" = null))]
    pub affinity: Option<Affinity>,
    /// Spread of the servers, instead of the default spread. A constraint without `labelSelector` counts the servers.
    /// An empty list means no constraints. Default: at most one server more in a zone, and on a node, than in another;
    /// required if the cluster was created while there were nodes in three zones, else preferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<TopologySpreadConstraint>", extend("default" = null))]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
}

impl Scheduling {
    /// Returns whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
