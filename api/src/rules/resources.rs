//! Rules on CPU and memory: they reject what the apiserver would reject later, in a Pod.

use std::collections::BTreeMap;

use super::{Findings, Violation, ViolationClass, metadata::is_qualified_name, truncated};
use crate::{
    defaults,
    quantity::{Amount, Bytes, RawQuantity},
    resources::{ResourceRequirements, is_unlimited},
};

const RESOURCES: &str = "spec.resources";
const LIMITS: &str = "spec.resources.limits";
const REQUESTS: &str = "spec.resources.requests";

/// Smallest limits. Measured with three servers of NATS 2.14.2 and 2.15.3 and one stream of three replicas: with 8 MiB
/// they are killed at the first messages, with 12 MiB they run by dropping caches all the time, with 16 MiB they run.
/// With 10m they need 11 s to become healthy.
const LEAST_CPU: &str = "10m";
const LEAST_MEMORY: &str = "16Mi";
/// Limits below which users are warned.
const UNUSUAL_CPU: &str = "20m";
const UNUSUAL_MEMORY: &str = "64Mi";

/// Container resources without a domain in their name
/// (<https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/>).
const NATIVE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

pub(super) fn check(given: &ResourceRequirements, findings: &mut Findings) {
    if !given.claims.is_empty() {
        let claims: Vec<&str> = given.claims.iter().map(|claim| claim.name.as_str()).collect();
        let message = "the Pods have no resourceClaims to refer to; remove it";
        findings.reject(
            Violation::forbidden(format!("{RESOURCES}.claims"), ViolationClass::Invalid, message).with_value(claims),
        );
    }
    let empty = BTreeMap::new();
    let limits = given.limits.as_ref().unwrap_or(&empty);
    let requests = given.requests.as_ref().unwrap_or(&empty);
    let too_many = findings.reject_too_many(LIMITS, limits.len());
    if findings.reject_too_many(REQUESTS, requests.len()) || too_many {
        return;
    }
    for (map, amounts) in [(LIMITS, limits), (REQUESTS, requests)] {
        for (name, raw) in amounts {
            check_one(map, name, raw, findings);
        }
    }
    check_limits(limits, findings);
    for (name, raw) in requests {
        let Some(request) = amount(name, raw) else { continue };
        let mut reject = |message| {
            let value = raw.text.clone();
            findings.reject(Violation::invalid(field(REQUESTS, name), ViolationClass::Invalid, value, message));
        };
        match limits.get(name).and_then(|limit| Some((limit, amount(name, limit)?))) {
            Some((raw, _)) if is_unlimited(name, raw) => {}
            Some((raw, limit)) if request > limit => {
                reject(format!("must not be more than the limit {raw}{}", origin(name, limit)));
            }
            Some((raw, limit)) if request != limit && !NATIVE.contains(&name.as_str()) => {
                reject(format!("must equal the limit {raw}: Kubernetes does not overcommit {name}"));
            }
            None if !NATIVE.contains(&name.as_str()) => {
                reject(format!("needs a limit of the same amount: Kubernetes does not overcommit {name}"));
            }
            _ => {}
        }
    }
}

/// Returns the amount of a resource if it can be compared with others.
fn amount(name: &str, raw: &RawQuantity) -> Option<Amount> {
    raw.parse().ok().filter(|amount| !amount.is_negative() && is_container_resource(name))
}

/// Returns an explanation of a limit that equals the default: it may be stored although no apply set it.
fn origin(name: &str, limit: Amount) -> String {
    let is_default = |(default_name, default): (&str, &str)| {
        default_name == name && Amount::parse(default).is_ok_and(|default| default == limit)
    };
    if defaults::LIMITS.into_iter().any(is_default) {
        format!(", which is the default that is stored if no resources are set; set {} too", limit_field(name))
    } else {
        String::new()
    }
}

/// Checks limits that are likely mistakes.
fn check_limits(limits: &BTreeMap<String, RawQuantity>, findings: &mut Findings) {
    for (name, smallest, unusual, consequence) in [
        ("cpu", LEAST_CPU, UNUSUAL_CPU, "the server starts and responds slowly"),
        ("memory", LEAST_MEMORY, UNUSUAL_MEMORY, "the server may be killed under load"),
    ] {
        let Some((raw, amount)) = limits.get(name).and_then(|raw| Some((raw, amount(name, raw)?))) else { continue };
        let is_below = |bound: &str| Amount::parse(bound).is_ok_and(|bound| amount < bound);
        if is_unlimited(name, raw) {
            if name == "memory" {
                findings.warn(limit_field(name), "0 means no limit: a server can take all memory of its node");
            }
        } else if is_below(smallest) {
            let message = format!("is too little for a NATS server; use at least {smallest}, or 0 for no limit");
            findings.reject(Violation::invalid(limit_field(name), ViolationClass::Policy, raw.text.clone(), message));
        } else if is_below(unusual) {
            findings.warn(limit_field(name), format!("{raw} is unusually little: {consequence}"));
        }
    }
}

/// Returns the path of a limit.
pub(crate) fn limit_field(name: &str) -> String {
    field(LIMITS, name)
}

/// Checks one resource.
fn check_one(map: &str, name: &str, raw: &RawQuantity, findings: &mut Findings) {
    let mut reject = |class, message: String| {
        findings.reject(Violation::invalid(field(map, name), class, raw.text.clone(), message));
    };
    if !is_container_resource(name) {
        reject(
            ViolationClass::Invalid,
            "is no resource of a container: use cpu, memory, ephemeral-storage, hugepages-<size>, or a name with a domain".to_owned(),
        );
        return;
    }
    let amount = match raw.parse() {
        Ok(amount) => amount,
        Err(error) => {
            reject(ViolationClass::Invalid, error.to_string());
            return;
        }
    };
    if amount.is_negative() {
        reject(ViolationClass::Invalid, "must not be negative".to_owned());
        return;
    }
    if name != "cpu" && amount.bytes().is_none() {
        // For native resources the apiserver accepts a fraction of a byte, with a warning.
        let class = if NATIVE.contains(&name) { ViolationClass::Policy } else { ViolationClass::Invalid };
        let unit = if NATIVE.contains(&name) || name.starts_with(HUGE_PAGES) { "number of bytes" } else { "number" };
        reject(class, format!("must be a whole {unit}"));
    } else if let Some(page) = name.strip_prefix(HUGE_PAGES).filter(|page| !is_multiple_of(amount, page)) {
        reject(ViolationClass::Invalid, format!("must be a multiple of {page}"));
    }
}

fn field(map: &str, name: &str) -> String {
    format!("{map}.{}", truncated(name))
}

/// Returns whether `amount` is a multiple of the page size `page`.
fn is_multiple_of(amount: Amount, page: &str) -> bool {
    let bytes = |amount: Amount| amount.bytes().map(Bytes::get);
    match (bytes(amount), Amount::parse(page).ok().and_then(bytes)) {
        (Some(amount), Some(page)) => page > 0 && amount % page == 0,
        _ => false,
    }
}

const HUGE_PAGES: &str = "hugepages-";

fn is_container_resource(name: &str) -> bool {
    if NATIVE.contains(&name) {
        return true;
    }
    if let Some(size) = name.strip_prefix(HUGE_PAGES) {
        return Amount::parse(size).is_ok_and(|size| size > Amount::ZERO);
    }
    // An extended resource has a domain other than that of Kubernetes, and not the prefix of a quota.
    match name.split_once('/') {
        Some((domain, _)) => {
            is_qualified_name(name)
                && domain != "kubernetes.io"
                && !domain.ends_with(".kubernetes.io")
                && !name.starts_with("requests.")
        }
        None => false,
    }
}
