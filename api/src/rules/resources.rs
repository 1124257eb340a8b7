//! Rules on CPU and memory: what the apiserver would refuse in a pod, said before it does.

use std::collections::BTreeMap;

use super::{Findings, Violation, ViolationClass, metadata::is_qualified_name, short};
use crate::{
    quantity::{Amount, Bytes, RawQuantity},
    resources::ResourceRequirements,
};

const RESOURCES: &str = "spec.resources";

/// Resources of a container without a domain in their name
/// (<https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/>).
const NATIVE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

pub(super) fn check(given: &ResourceRequirements, findings: &mut Findings) {
    if !given.claims.is_empty() {
        let claims: Vec<&str> = given.claims.iter().map(|claim| claim.name.as_str()).collect();
        let message = "the pods have no resource claims to refer to; remove it";
        findings
            .refuse(Violation::forbidden(format!("{RESOURCES}.claims"), ViolationClass::Invalid, message).on(claims));
    }
    let none = BTreeMap::new();
    let limits = given.limits.as_ref().unwrap_or(&none);
    let requests = given.requests.as_ref().unwrap_or(&none);
    let too_many = findings.refuse_too_many(&format!("{RESOURCES}.limits"), limits.len());
    if findings.refuse_too_many(&format!("{RESOURCES}.requests"), requests.len()) || too_many {
        return;
    }
    let mut amounts = |kind, given: &BTreeMap<String, RawQuantity>| -> BTreeMap<String, Amount> {
        given.iter().filter_map(|(name, raw)| Some((name.clone(), check_one(kind, name, raw, findings)?))).collect()
    };
    let limit_amounts = amounts("limits", limits);
    let request_amounts = amounts("requests", requests);
    for (name, request) in &request_amounts {
        let field = field("requests", name);
        let value = requests[name].0.clone();
        match limit_amounts.get(name) {
            Some(limit) if request > limit => findings.refuse(Violation::invalid(
                field,
                ViolationClass::Invalid,
                value,
                format!("must not be more than the limit {}", limits[name]),
            )),
            Some(limit) if request != limit && !NATIVE.contains(&name.as_str()) => findings.refuse(Violation::invalid(
                field,
                ViolationClass::Invalid,
                value,
                format!("must equal the limit {}: Kubernetes does not overcommit {name}", limits[name]),
            )),
            None if !NATIVE.contains(&name.as_str()) => findings.refuse(Violation::invalid(
                field,
                ViolationClass::Invalid,
                value,
                format!("needs a limit of the same amount: Kubernetes does not overcommit {name}"),
            )),
            _ => {}
        }
    }
}

/// The amount of one resource, if it can be compared.
fn check_one(kind: &str, name: &str, raw: &RawQuantity, findings: &mut Findings) -> Option<Amount> {
    let field = field(kind, name);
    let mut refuse =
        |class, message: String| findings.refuse(Violation::invalid(&field, class, raw.0.clone(), message));
    if !is_container_resource(name) {
        refuse(
            ViolationClass::Invalid,
            "is no resource of a container: use cpu, memory, ephemeral-storage, hugepages-<size>, or a name with a domain".to_owned(),
        );
        return None;
    }
    let amount = match raw.parse() {
        Ok(amount) => amount,
        Err(error) => {
            refuse(ViolationClass::Invalid, error.to_string());
            return None;
        }
    };
    if amount.is_negative() {
        refuse(ViolationClass::Invalid, "must not be negative".to_owned());
        return None;
    }
    if name != "cpu" && amount.bytes().is_none() {
        // The apiserver takes fractions of a byte of what it knows to be bytes, with a warning.
        let class = if NATIVE.contains(&name) { ViolationClass::Policy } else { ViolationClass::Invalid };
        let unit = if NATIVE.contains(&name) || name.starts_with(HUGE_PAGES) { "number of bytes" } else { "number" };
        refuse(class, format!("must be a whole {unit}"));
    } else if let Some(page) = name.strip_prefix(HUGE_PAGES).filter(|page| !fits(amount, page)) {
        refuse(ViolationClass::Invalid, format!("must be a multiple of {page}"));
    }
    Some(amount)
}

fn field(kind: &str, name: &str) -> String {
    format!("{RESOURCES}.{kind}.{}", short(name))
}

/// Whether it is so many pages and no more.
fn fits(amount: Amount, page: &str) -> bool {
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
    // Extended resources: a domain that is not Kubernetes' own, and not the quota's prefix.
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
