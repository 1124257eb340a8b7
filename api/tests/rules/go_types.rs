//! Resources that clients with the predecessor's Go types write. The JSON is what `encoding/json` makes of the types in
//! `api/v1alpha1/nats_types.go` of `kyma-project/nats-manager`, commit 8fabee29 (June 2026): a quantity that is not set
//! becomes `"0"`, `false` and an empty string are omitted, and every quantity is in its canonical notation.

use std::collections::BTreeMap;

use nats_manager_api::{
    Amount, Bytes, FileStore, Nats, RawQuantity, ResolvedCluster, Spread, resolve, rules::ClusterFacts,
};

use crate::facts::{Facts, MEMORY_SIZE, spec};

/// `NATSSpec{}`.
const ZERO: &str = r#"{"cluster":{},"jetStream":{"memStorage":{"size":"0"},"fileStorage":{"size":"0"}},"logging":{},
    "resources":{}}"#;

/// Returns what is deployed for a spec.
fn deployed(yaml: &str) -> ResolvedCluster {
    let nats = Nats::new("eventing-nats", spec(yaml));
    resolve(&nats, &ClusterFacts::default(), Spread::Soft).unwrap()
}

fn amounts(quantities: &BTreeMap<String, RawQuantity>) -> BTreeMap<String, Amount> {
    quantities.iter().map(|(name, quantity)| (name.clone(), quantity.parse().unwrap())).collect()
}

#[test]
fn zero_value_of_go_types_means_off_or_not_set() {
    let findings = Facts::none().check(ZERO);
    assert_eq!(findings.violations, []);
    let warnings: Vec<String> = findings.warnings.iter().map(ToString::to_string).collect();
    let off = "0 turns the memory store off: streams in memory fail; omit it for the default 1Gi, or set \
               spec.jetStream.memStorage.enabled to false";
    assert_eq!(warnings, [format!("{MEMORY_SIZE}: {off}")]);
    let default = deployed("{}");
    assert_eq!(default.memory_store, Some(Bytes::gibi(1)));
    assert_eq!(default.file_store, FileStore::Volume { size: Bytes::gibi(1), class: None });
    assert_eq!(deployed(ZERO), ResolvedCluster { memory_store: None, ..default });
}

#[test]
fn resource_that_go_types_write_back_is_unchanged() {
    for (case, stored, written) in [
        (
            "all defaults",
            "{}",
            r#"{"cluster":{"size":3},"jetStream":{"memStorage":{"enabled":true,"size":"1Gi"},"fileStorage":
              {"storageClassName":"default","size":"0"}},"logging":{},"resources":{"limits":{"cpu":"500m","memory":
              "1Gi"},"requests":{"cpu":"40m","memory":"64Mi"}}}"#,
        ),
        ("the zero value", ZERO, ZERO),
        (
            "other notations",
            "{cluster: {size: 3}, jetStream: {memStorage: {size: 0.5Gi}, fileStorage: {storageClassName: '', size: \
             2048Mi}}, logging: {trace: true}, resources: {limits: {cpu: 1000m, memory: 1024Mi}, requests: {cpu: 1}}, \
             annotations: {}, labels: {a: b}}",
            r#"{"cluster":{"size":3},"jetStream":{"memStorage":{"enabled":true,"size":"512Mi"},"fileStorage":
              {"size":"2Gi"}},"logging":{"trace":true},"resources":{"limits":{"cpu":"1","memory":"1Gi"},
              "requests":{"cpu":"1"}},"labels":{"a":"b"}}"#,
        ),
        (
            "integers",
            "{jetStream: {memStorage: {size: 1073741824}, fileStorage: {size: 1073741824}}}",
            r#"{"jetStream":{"memStorage":{"enabled":true,"size":"1073741824"},"fileStorage":{"storageClassName":
              "default","size":"1073741824"}}}"#,
        ),
        (
            "the memory store off, and empty",
            "{jetStream: {memStorage: {enabled: false, size: 0}}}",
            r#"{"jetStream":{"memStorage":{"size":"0"},"fileStorage":{"storageClassName":"default","size":"0"}}}"#,
        ),
    ] {
        assert_eq!(Facts::none().change(stored, written).violations, [], "{case}");
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
    let stored = "{jetStream: {fileStorage: {enabled: false}}}";
    let written = r#"{"jetStream":{"memStorage":{"enabled":true,"size":"1Gi"},"fileStorage":{"size":"0"}}}"#;
    let rejected = Facts::none().change(stored, written).violations;
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!(rejected[0].field, "spec.jetStream.fileStorage.enabled");
    let written = r#"{"jetStream":{"memStorage":{"size":"1Gi"},"fileStorage":{"size":"0"}}}"#;
    assert_eq!(deployed("{jetStream: {memStorage: {enabled: false}}}").memory_store, None);
    assert_eq!(deployed(written).memory_store, Some(Bytes::gibi(1)));
}
