//! CPU and memory of a NATS server, as the user gives them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::RawQuantity;

/// `core/v1` `ResourceRequirements`, with quantities kept as they were written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceRequirements {
    /// The most that a server may use, by resource (cpu, memory, ...). Default: cpu 500m, memory
    /// 1Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, RawQuantity>", extend("default" = null))]
    pub limits: Option<BTreeMap<String, RawQuantity>>,
    /// What a server is sure to get, by resource: at most the limit. Default: cpu 40m, memory 64Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, RawQuantity>", extend("default" = null))]
    pub requests: Option<BTreeMap<String, RawQuantity>>,
    /// Not supported: the pods have no resource claims that a container could refer to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ResourceClaim>,
}

/// A reference to a resource claim of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceClaim {
    /// The name of an entry in the pod's `resourceClaims`.
    pub name: String,
    /// The name of a request in the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("default" = null))]
    pub request: Option<String>,
}

/// The default limits: cpu (cores) and memory (bytes).
pub const DEFAULT_LIMITS: [(&str, &str); 2] = [("cpu", "500m"), ("memory", "1Gi")];
/// The default requests: cpu (cores) and memory (bytes).
pub const DEFAULT_REQUESTS: [(&str, &str); 2] = [("cpu", "40m"), ("memory", "64Mi")];

impl Default for ResourceRequirements {
    fn default() -> Self {
        let map = |pairs: [(&str, &str); 2]| {
            Some(pairs.into_iter().map(|(name, amount)| (name.to_owned(), amount.into())).collect())
        };
        Self { limits: map(DEFAULT_LIMITS), requests: map(DEFAULT_REQUESTS), claims: Vec::new() }
    }
}

impl ResourceRequirements {
    /// The limits and requests with what is missing for cpu and memory filled in: an absent limit
    /// becomes the larger of default and request, an absent request the smaller of default and
    /// limit. What was set stays; with an unreadable counterpart the default is taken.
    #[must_use]
    pub fn completed(&self) -> Self {
        let mut limits = self.limits.clone().unwrap_or_default();
        let mut requests = self.requests.clone().unwrap_or_default();
        for (name, default) in DEFAULT_LIMITS {
            limits
                .entry(name.to_owned())
                .or_insert_with(|| choose(default, requests.get(name), |default, given| given > default));
        }
        for (name, default) in DEFAULT_REQUESTS {
            requests
                .entry(name.to_owned())
                .or_insert_with(|| choose(default, limits.get(name), |default, given| given < default));
        }
        Self { limits: Some(limits), requests: Some(requests), claims: self.claims.clone() }
    }
}

/// `given` where it compares with the default as wanted, else the default.
fn choose(
    default: &str,
    given: Option<&RawQuantity>,
    wins: impl Fn(crate::Amount, crate::Amount) -> bool,
) -> RawQuantity {
    let default = RawQuantity::from(default);
    // A negative one is refused for itself; it must not make another that is.
    let sound = |given: &RawQuantity| given.parse().ok().filter(|amount| !amount.is_negative());
    match (default.parse(), given.and_then(|given| Some((given, sound(given)?)))) {
        (Ok(standard), Some((given, amount))) if wins(standard, amount) => given.clone(),
        _ => default,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fills_in_what_is_missing_for_cpu_and_memory() {
        let read = |json| serde_json::from_value::<ResourceRequirements>(json).unwrap();
        for (given, limits, requests) in [
            (json!({}), json!({"cpu": "500m", "memory": "1Gi"}), json!({"cpu": "40m", "memory": "64Mi"})),
            (
                json!({"limits": {"cpu": "20m"}}),
                json!({"cpu": "20m", "memory": "1Gi"}),
                json!({"cpu": "20m", "memory": "64Mi"}),
            ),
            (
                json!({"requests": {"memory": "2Gi", "cpu": 1}}),
                json!({"cpu": "1", "memory": "2Gi"}),
                json!({"cpu": "1", "memory": "2Gi"}),
            ),
            (
                json!({"limits": {"memory": "32Mi", "example.com/gpu": 1}, "requests": {"cpu": "?"}}),
                json!({"cpu": "500m", "memory": "32Mi", "example.com/gpu": "1"}),
                json!({"cpu": "?", "memory": "32Mi"}),
            ),
        ] {
            let completed = read(given.clone()).completed();
            assert_eq!(serde_json::to_value(completed.limits).unwrap(), limits, "{given}");
            assert_eq!(serde_json::to_value(completed.requests).unwrap(), requests, "{given}");
        }
    }
}
