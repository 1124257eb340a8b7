//! CPU and memory of a NATS server, as specified by the user.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    defaults,
    quantity::{Amount, RawQuantity},
};

/// `core/v1` `ResourceRequirements`, with quantities in the notation of the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceRequirements {
    /// Maximum amount of each resource (cpu, memory, ...) that a server may use. 0 means no limit (cpu and memory).
    /// Default: cpu 500m, memory 1Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, RawQuantity>", extend("default" = null))]
    pub limits: Option<BTreeMap<String, RawQuantity>>,
    /// Guaranteed amount of each resource for a server, at most its limit. Default: cpu 40m, memory 64Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, RawQuantity>", extend("default" = null))]
    pub requests: Option<BTreeMap<String, RawQuantity>>,
    /// Not supported: the Pods have no `resourceClaims` that a container could refer to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ResourceClaim>,
}

/// Reference to an entry in the Pod's `resourceClaims`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceClaim {
    /// Name of an entry in the Pod's `resourceClaims`.
    pub name: String,
    /// Name of a request in this entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("default" = null))]
    pub request: Option<String>,
}
impl Default for ResourceRequirements {
    fn default() -> Self {
        let map = |pairs: [(&str, &str); 2]| {
            Some(pairs.into_iter().map(|(name, amount)| (name.to_owned(), amount.into())).collect())
        };
        Self { limits: map(defaults::LIMITS), requests: map(defaults::REQUESTS), claims: Vec::new() }
    }
}

/// Resources for which a limit of 0 means that there is none, as for the kubelet. Only the apiserver compares such a
/// limit with the request.
const UNLIMITED_BY_ZERO: [&str; 2] = ["cpu", "memory"];

/// Returns whether the limit `raw` of a resource means that there is no limit.
pub(crate) fn is_unlimited(name: &str, raw: &RawQuantity) -> bool {
    UNLIMITED_BY_ZERO.contains(&name) && raw.parse().is_ok_and(Amount::is_zero)
}

impl ResourceRequirements {
    /// Fills in missing limits and requests of cpu and memory: an absent limit becomes the larger of its default and
    /// the request, an absent request the smaller of its default and the limit. Values that are set stay, except for a
    /// limit of 0, which is removed: it means that there is no limit. If the counterpart is not a quantity, the default
    /// applies.
    #[must_use]
    pub fn completed(&self) -> Self {
        let mut limits = self.limits.clone().unwrap_or_default();
        let mut requests = self.requests.clone().unwrap_or_default();
        for (name, default) in defaults::LIMITS {
            limits
                .entry(name.to_owned())
                .or_insert_with(|| choose(default, requests.get(name), |default, given| given > default).into_owned());
        }
        limits.retain(|name, limit| !is_unlimited(name, limit));
        for (name, default) in defaults::REQUESTS {
            requests
                .entry(name.to_owned())
                .or_insert_with(|| choose(default, limits.get(name), |default, given| given < default).into_owned());
        }
        Self { limits: Some(limits), requests: Some(requests), claims: self.claims.clone() }
    }

    /// Returns whether a default limit is less than its request: whether it applies then depends on the records of
    /// applies, see [`crate::NatsSpec::effective`].
    pub fn has_outgrown_defaults(&self) -> bool {
        self.outgrown_defaults().next().is_some()
    }

    /// Returns the names and values of default limits that are less than their request.
    pub(crate) fn outgrown_defaults(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        defaults::LIMITS.into_iter().filter(|(name, default)| {
            let amount = |amounts: &Option<BTreeMap<String, RawQuantity>>| {
                amounts.as_ref().and_then(|amounts| amounts.get(*name)?.parse().ok())
            };
            let limit = amount(&self.limits);
            limit.is_some() && limit == Amount::parse(default).ok() && amount(&self.requests) > limit
        })
    }

    /// Returns the memory limit as [`ResourceRequirements::completed`] does; `None` if there is none.
    pub(crate) fn memory_limit(&self) -> Option<Cow<'_, RawQuantity>> {
        let name = "memory";
        let (limits, requests) = (self.limits.as_ref(), self.requests.as_ref());
        let request = requests.and_then(|requests| requests.get(name));
        let limit = match limits.and_then(|limits| limits.get(name)) {
            Some(limit) => Cow::Borrowed(limit),
            None => choose(defaults::MEMORY_LIMIT, request, |default, given| given > default),
        };
        (!is_unlimited(name, &limit)).then_some(limit)
    }
}

/// Returns `given` if it wins against the default, otherwise the default.
fn choose<'a>(
    default: &str,
    given: Option<&'a RawQuantity>,
    wins: impl Fn(Amount, Amount) -> bool,
) -> Cow<'a, RawQuantity> {
    // A negative amount is rejected on its own. It must not cause a second invalid amount.
    let valid_amount = |given: &RawQuantity| given.parse().ok().filter(|amount| !amount.is_negative());
    match (Amount::parse(default), given.and_then(|given| Some((given, valid_amount(given)?)))) {
        (Ok(standard), Some((given, amount))) if wins(standard, amount) => Cow::Borrowed(given),
        _ => Cow::Owned(default.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn completed_fills_in_missing_cpu_and_memory() {
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
                json!({"cpu": 1, "memory": "2Gi"}),
                json!({"cpu": 1, "memory": "2Gi"}),
            ),
            (
                json!({"limits": {"memory": "32Mi", "example.com/gpu": 1}, "requests": {"cpu": "?"}}),
                json!({"cpu": "500m", "memory": "32Mi", "example.com/gpu": 1}),
                json!({"cpu": "?", "memory": "32Mi"}),
            ),
        ] {
            let completed = read(given.clone()).completed();
            assert_eq!(serde_json::to_value(completed.limits).unwrap(), limits, "{given}");
            assert_eq!(serde_json::to_value(completed.requests).unwrap(), requests, "{given}");
        }
    }
}
