//! Resources that clients with the predecessor's Go types write, by the table `api/tests/go_types.yaml`, which the Go module
//! `tests/go_types` compares with these types.

use std::collections::BTreeMap;

use nats_manager_api::{
    Amount, Bytes, FileStore, Nats, NatsSpec, RawQuantity, ResolvedCluster, Spread, resolve,
    rules::{ClusterFacts, check, check_update},
};
use serde::Deserialize;

use crate::facts::MEMORY_SIZE;

/// A stored spec, and the spec that a client writes back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    case: String,
    stored: NatsSpec,
    written: NatsSpec,
}

fn rows() -> Vec<Row> {
    serde_saphyr::from_str(include_str!("../go_types.yaml")).unwrap()
}

/// Returns the row of a case.
fn row(case: &str) -> Row {
    rows().into_iter().find(|row| row.case == case).unwrap_or_else(|| panic!("{case}"))
}

/// Returns what is deployed for a spec.
fn deployed(spec: NatsSpec) -> ResolvedCluster {
    let nats = Nats::new("eventing-nats", spec);
    resolve(&nats, &ClusterFacts::default(), Spread::Soft).unwrap()
}

fn amounts(quantities: &BTreeMap<String, RawQuantity>) -> BTreeMap<String, Amount> {
    quantities.iter().map(|(name, quantity)| (name.clone(), quantity.parse().unwrap())).collect()
}

#[test]
fn zero_value_of_go_types_means_off_or_not_set() {
    let zero = row("the zero value").written;
    let findings = check(&zero, &ClusterFacts::default());
    assert_eq!(findings.violations, []);
    let warnings: Vec<String> = findings.warnings.iter().map(ToString::to_string).collect();
    let off = "0 turns the memory store off: streams in memory fail; omit it for the default 1Gi, or set \
               spec.jetStream.memStorage.enabled to false";
    assert_eq!(warnings, [format!("{MEMORY_SIZE}: {off}")]);
    let default = deployed(NatsSpec::default());
    assert_eq!(default.memory_store, Some(Bytes::gibi(1)));
    assert_eq!(default.file_store, FileStore::Volume { size: Bytes::gibi(1), class: None });
    assert_eq!(deployed(zero), ResolvedCluster { memory_store: None, ..default });
}

#[test]
fn resource_that_go_types_write_back_is_unchanged() {
    // The zero value turns the memory store off, and a `false` that is omitted turns a store on.
    let changed = ["the zero value", "the memory store off, with a size", "the file store off"];
    for Row { case, stored, written } in rows().into_iter().filter(|row| !changed.contains(&row.case.as_str())) {
        assert_eq!(check_update(&stored, &written, &ClusterFacts::default()).violations, [], "{case}");
        let (before, after) = (deployed(stored), deployed(written));
        assert_eq!(amounts(&after.limits), amounts(&before.limits), "{case}");
        assert_eq!(amounts(&after.requests), amounts(&before.requests), "{case}");
        let (limits, requests) = (before.limits.clone(), before.requests.clone());
        assert_eq!(ResolvedCluster { limits, requests, ..after }, before, "{case}");
    }
}

/// `false` is omitted, and the schema fills in `true`: the file store cannot be turned on that way, the memory store is.
#[test]
fn disabled_store_that_go_types_write_back_is_enabled() {
    let Row { stored, written, .. } = row("the file store off");
    let rejected = check_update(&stored, &written, &ClusterFacts::default()).violations;
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!(rejected[0].field, "spec.jetStream.fileStorage.enabled");
    let Row { stored, written, .. } = row("the memory store off, with a size");
    assert_eq!(deployed(stored).memory_store, None);
    assert_eq!(deployed(written).memory_store, Some(Bytes::gibi(1)));
}
