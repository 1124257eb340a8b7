//! Resolution of a spec into a cluster that can be deployed.
#![allow(clippy::unwrap_used, reason = "the functions that the tests share are tests too")]

use nats_manager_api::{
    Bytes, DeployedCluster, FileStore, InvalidSpec, Nats, Provider, ResolvedCluster, Spread, resolve, resolve_deployed,
    rules::{ClusterFacts, ViolationClass},
};
use serde::de::DeserializeOwned;

/// Reads YAML by way of JSON, the format of the apiserver. A direct conversion of YAML would accept numbers as text.
fn read<T: DeserializeOwned>(yaml: &str) -> serde_json::Result<T> {
    serde_json::from_value(serde_saphyr::from_str(yaml).unwrap())
}

fn nats(spec: &str) -> Nats {
    let spec = read(spec).unwrap();
    let mut nats = Nats::new("eventing-nats", spec);
    nats.metadata.namespace = Some("kyma-system".into());
    nats.metadata.uid = Some("42".into());
    nats
}

fn resolved_in(cluster_facts: &ClusterFacts, spec: &str) -> ResolvedCluster {
    resolve(&nats(spec), cluster_facts, Spread::Soft).unwrap()
}

fn resolved(spec: &str) -> ResolvedCluster {
    resolved_in(&ClusterFacts::default(), spec)
}

fn volume(size: Bytes, class: Option<&str>) -> FileStore {
    FileStore::Volume { size, class: class.map(str::to_owned) }
}

fn deployed(file_store: FileStore) -> DeployedCluster {
    DeployedCluster { size: 3, file_store, spread: Spread::Soft, memory_store: None, restarted_for_memory_store: None }
}

fn facts_with(deployed: DeployedCluster) -> ClusterFacts {
    ClusterFacts { deployed: Some(deployed), ..ClusterFacts::default() }
}

#[test]
fn empty_spec_resolves_to_default_cluster() {
    let cluster = resolved("{}");
    assert_eq!(cluster.id.to_string(), "kyma-system/eventing-nats");
    assert_eq!(cluster.uid, "42");
    assert_eq!(cluster.size, 3);
    assert!(cluster.is_clustered());
    assert_eq!(cluster.memory_store, Some(Bytes::gibi(1)));
    assert_eq!(cluster.file_store, volume(Bytes::gibi(1), None));
    assert_eq!((cluster.limits["cpu"].text.as_str(), cluster.limits["memory"].text.as_str()), ("500m", "1Gi"));
    assert_eq!((cluster.requests["cpu"].text.as_str(), cluster.requests["memory"].text.as_str()), ("40m", "64Mi"));
    assert_eq!(cluster.memory_limit, Some(Bytes::gibi(1)));
    assert_eq!(cluster.deployed_memory_store.restarted_for(cluster.memory_store.unwrap_or_default()), None);
    assert!(!resolved("{cluster: {size: 1}}").is_clustered());
}

#[test]
fn file_store_without_size_gets_provider_default() {
    let alicloud = ClusterFacts { provider: Provider::AliCloud, ..ClusterFacts::default() };
    for spec in ["{}", "{jetStream: {fileStorage: {size: '0'}}}", "{jetStream: {fileStorage: {size: 0Gi}}}"] {
        assert_eq!(resolved(spec).file_store, volume(Bytes::gibi(1), None), "{spec}");
        assert_eq!(resolved_in(&alicloud, spec).file_store, volume(Bytes::gibi(20), None), "{spec}");
    }
}

#[test]
fn new_file_store_follows_spec() {
    let spec = "{jetStream: {fileStorage: {size: 2Gi, storageClassName: fast}}}";
    assert_eq!(resolved(spec).file_store, volume(Bytes::gibi(2), Some("fast")));
    assert_eq!(resolved("{jetStream: {fileStorage: {storageClassName: ''}}}").file_store, volume(Bytes::gibi(1), None));
    assert_eq!(resolved("{jetStream: {fileStorage: {enabled: false}}}").file_store, FileStore::MemoryOnly);
}

#[test]
fn deployed_file_store_overrides_provider_and_spec_but_for_a_larger_size() {
    let existing = volume(Bytes::gibi(5), Some("old"));
    let cluster_facts = ClusterFacts { provider: Provider::AliCloud, ..facts_with(deployed(existing.clone())) };
    for spec in [
        "{}",
        "{jetStream: {fileStorage: {size: '0'}}}",
        "{jetStream: {fileStorage: {size: 3Gi, storageClassName: new}}}",
        "{jetStream: {fileStorage: {enabled: false, size: 7Gi}}}",
    ] {
        assert_eq!(resolved_in(&cluster_facts, spec).file_store, existing, "{spec}");
    }
    let larger = resolved_in(&cluster_facts, "{jetStream: {fileStorage: {size: 7Gi, storageClassName: new}}}");
    assert_eq!(larger.file_store, volume(Bytes::gibi(7), Some("old")));
    let in_memory = facts_with(deployed(FileStore::MemoryOnly));
    assert_eq!(resolved_in(&in_memory, "{}").file_store, FileStore::MemoryOnly);
}

#[test]
fn memory_store_is_off_when_disabled_or_empty() {
    for (spec, size) in [
        ("{size: 512Mi}", Some(Bytes::mebi(512))),
        ("{size: 1048576}", Some(Bytes::mebi(1))),
        ("{enabled: false}", None),
        ("{enabled: false, size: '0'}", None),
        ("{enabled: false, size: '-1'}", None),
        ("{enabled: true, size: '0'}", None),
        // Only a policy violation: a stored resource is deployed, with the fraction counted as a byte.
        ("{size: 1024500m}", Some(Bytes::new(1025))),
        ("{size: 3Gi}", Some(Bytes::gibi(3))),
    ] {
        assert_eq!(resolved(&format!("{{jetStream: {{memStorage: {spec}}}}}")).memory_store, size, "{spec}");
    }
}

#[test]
fn missing_resources_are_filled_in() {
    let cluster = resolved("{resources: {limits: {cpu: 20m}, requests: {memory: 2Gi}}}");
    assert_eq!((cluster.limits["cpu"].text.as_str(), cluster.limits["memory"].text.as_str()), ("20m", "2Gi"));
    assert_eq!((cluster.requests["cpu"].text.as_str(), cluster.requests["memory"].text.as_str()), ("20m", "2Gi"));
    assert_eq!(cluster.memory_limit, Some(Bytes::gibi(2)));
}

#[test]
fn reserved_labels_and_annotations_are_dropped() {
    let cluster = resolved(
        "{labels: {a: b, app.kubernetes.io/name: mine, nats_cluster: mine, helm.sh/chart: mine},
          annotations: {c: d, prometheus.io/port: '1', nats.operator.kyma-project.io/applied-hash: x}}",
    );
    assert_eq!(cluster.labels, [("a".to_owned(), "b".to_owned())].into());
    assert_eq!(cluster.annotations, [("c".to_owned(), "d".to_owned())].into());
}

#[test]
fn existing_cluster_keeps_its_spread() {
    let new = resolve(&nats("{}"), &ClusterFacts::default(), Spread::Hard).unwrap();
    assert_eq!(new.spread, Spread::Hard);
    for spread in [Spread::Hard, Spread::Soft] {
        let old = facts_with(DeployedCluster { spread, ..deployed(volume(Bytes::gibi(1), None)) });
        for offered in [Spread::Hard, Spread::Soft] {
            assert_eq!(resolve(&nats("{}"), &old, offered).unwrap().spread, spread);
        }
    }
}

#[test]
fn servers_restart_only_for_smaller_memory_store() {
    let gibi = |count| Some(Bytes::gibi(count));
    let off = Some(Bytes::new(0));
    for (configured, restarted_for, desired, expected) in [
        // The memory store of a cluster of the predecessor is unknown.
        (None, None, "1Gi", None),
        (None, gibi(2), "1Gi", gibi(2)),
        (gibi(1), None, "1Gi", None),
        (gibi(1), None, "2Gi", None),
        (gibi(3), None, "2Gi", gibi(2)),
        (gibi(3), gibi(1), "4Gi", gibi(1)),
        (gibi(3), gibi(1), "2Gi", gibi(2)),
        (gibi(2), gibi(2), "2Gi", gibi(2)),
        (gibi(1), None, "0", off),
        (off, off, "1Gi", off),
    ] {
        let cluster_facts = facts_with(DeployedCluster {
            memory_store: configured,
            restarted_for_memory_store: restarted_for,
            ..deployed(volume(Bytes::gibi(1), None))
        });
        let spec =
            format!("{{resources: {{limits: {{memory: 8Gi}}}}, jetStream: {{memStorage: {{size: {desired}}}}}}}");
        let cluster = resolved_in(&cluster_facts, &spec);
        let restarted = cluster.deployed_memory_store.restarted_for(cluster.memory_store.unwrap_or_default());
        assert_eq!(restarted, expected, "{configured:?}, {restarted_for:?} to {desired}");
    }
}

#[test]
fn invalid_spec_lists_all_violations() {
    let spec = "{cluster: {size: 0}, jetStream: {fileStorage: {size: '-1'}}, labels: {a b: c},
                 resources: {limits: {cpu: 1, memory: much}, requests: {cpu: 2}}}";
    let Err(InvalidSpec(violations)) = resolve(&nats(spec), &ClusterFacts::default(), Spread::Soft) else {
        panic!("the spec resolves");
    };
    let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.cluster.size",
            "spec.jetStream.fileStorage.size",
            "spec.resources.limits.memory",
            "spec.resources.requests.cpu",
            "spec.labels[a b]",
        ]
    );
    // An even size violates only a policy.
    assert!(violations.iter().all(|violation| violation.class == ViolationClass::Invalid));
    let text = InvalidSpec(violations).to_string();
    assert!(text.starts_with("spec.cluster.size: Invalid value: 0: should be greater than or equal to 1; "), "{text}");
}

#[test]
fn limit_of_zero_is_no_limit() {
    let cluster = resolved("{resources: {limits: {cpu: 0, memory: '0'}, requests: {cpu: 2}}}");
    assert!(cluster.limits.is_empty(), "{:?}", cluster.limits);
    assert_eq!((cluster.requests["cpu"].text.as_str(), cluster.requests["memory"].text.as_str()), ("2", "64Mi"));
    assert_eq!(cluster.memory_limit, None);
}

#[test]
fn stored_default_limit_below_its_request_is_tolerated() {
    let cluster = resolved("{resources: {limits: {cpu: 500m, memory: 1Gi}, requests: {memory: 2Gi}}}");
    assert_eq!((cluster.limits["memory"].text.as_str(), cluster.limits["cpu"].text.as_str()), ("2Gi", "500m"));
    let fields: Vec<&str> = cluster.policy_violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["spec.resources.requests.memory"]);
    let other = nats("{resources: {limits: {memory: 1536Mi}, requests: {memory: 2Gi}}}");
    assert!(resolve(&other, &ClusterFacts::default(), Spread::Soft).is_err());
}

#[test]
fn reserved_and_impossible_keys_are_stripped() {
    let cluster = resolved(
        "{labels: {nats.operator.kyma-project.io/manager: 'true', istio.io/rev: canary, mine: '1'},
          annotations: {sidecar.istio.io/proxyImage: evil, controller.kubernetes.io/pod-deletion-cost: much, mine: '1'}}",
    );
    for map in [&cluster.labels, &cluster.annotations] {
        assert_eq!(map.keys().collect::<Vec<_>>(), ["mine"]);
    }
    assert_eq!(cluster.policy_violations.len(), 4, "{:?}", cluster.policy_violations);
}

#[test]
fn invalid_parts_are_replaced_by_what_is_deployed() {
    let five =
        DeployedCluster { size: 5, memory_store: Some(Bytes::mebi(20)), ..deployed(volume(Bytes::gibi(7), None)) };
    let facts = facts_with(five);
    let spec = "{cluster: {size: 101}, jetStream: {memStorage: {size: '-1'}, fileStorage: {size: '-1'}},
                 labels: {a b: c}, annotations: {mine: '1'}, logging: {debug: true},
                 resources: {limits: {cpu: 1}, requests: {cpu: 2}}}";
    assert!(resolve(&nats(spec), &facts, Spread::Soft).is_err());
    let cluster = resolve_deployed(&nats(spec), &facts, Spread::Soft).unwrap();
    assert_eq!((cluster.size, cluster.memory_store), (5, Some(Bytes::mebi(20))));
    assert_eq!(cluster.file_store, volume(Bytes::gibi(7), None));
    assert_eq!(cluster.limits["cpu"].text, "500m");
    assert!(cluster.labels.is_empty() && cluster.annotations.contains_key("mine") && cluster.logging.debug);
    let valid = "{cluster: {size: 3}}";
    assert_eq!(resolve_deployed(&nats(valid), &facts, Spread::Soft), resolve(&nats(valid), &facts, Spread::Soft));
}

#[test]
fn policy_violation_is_deployed() {
    let spec = "{cluster: {size: 4}, jetStream: {memStorage: {size: 2Gi}}, resources: {limits: {memory: 1500m}}}";
    let cluster = resolved(spec);
    assert_eq!(
        (cluster.size, cluster.memory_store, cluster.memory_limit),
        (4, Some(Bytes::gibi(2)), Some(Bytes::new(2)))
    );
    // Existing volumes are large enough for the provider, independently of the spec.
    let small = ClusterFacts { provider: Provider::AliCloud, ..facts_with(deployed(volume(Bytes::gibi(20), None))) };
    assert_eq!(
        resolved_in(&small, "{jetStream: {fileStorage: {size: 1Gi}}}").file_store,
        volume(Bytes::gibi(20), None)
    );
}

/// CR without a file size as stored by the predecessor, with unknown fields of a later schema.
const STORED: &str = r#"
apiVersion: operator.kyma-project.io/v1alpha1
kind: NATS
metadata:
  name: eventing-nats
  namespace: kyma-system
  uid: "42"
  generation: 2
  finalizers: [nats.operator.kyma-project.io/finalizer]
spec:
  cluster: {size: 3, shape: round}
  jetStream:
    fileStorage: {size: "0", storageClassName: default}
    memStorage: {enabled: true, size: 1Gi}
  logging: {debug: false, trace: false}
  resources:
    limits: {cpu: 500m, memory: 1Gi}
    requests: {cpu: 40m, memory: 64Mi}
  color: blue
status:
  state: Processing
  conditions:
  - {type: Available, status: "False", reason: Deploying, message: "", lastTransitionTime: "2026-06-01T00:00:00Z"}
"#;

#[test]
fn resource_stored_by_predecessor_resolves() {
    let stored: Nats = read(STORED).unwrap();
    let cluster_facts = facts_with(deployed(volume(Bytes::gibi(20), None)));
    let cluster = resolve(&stored, &cluster_facts, Spread::Hard).unwrap();
    assert_eq!(cluster, resolved_in(&cluster_facts, "{}"));
    assert_eq!(stored.status.unwrap().state, "Processing");
}

#[test]
fn null_and_missing_spec_are_absent() {
    let head = "apiVersion: operator.kyma-project.io/v1alpha1\nkind: NATS\nmetadata: {name: eventing-nats}\n";
    for spec in [
        "",
        "spec:",
        "spec: {}",
        "spec: {cluster: , jetStream: , logging: , resources: , labels: , annotations: }",
        "spec: {cluster: {size: }, jetStream: {memStorage: , fileStorage: {enabled: , storageClassName: , size: }}}",
        "spec: {jetStream: {memStorage: {enabled: , size: }}, logging: {debug: , trace: }}",
        "spec: {labels: {a: }, annotations: {b: }}",
    ] {
        let read: Nats = read(&format!("{head}{spec}")).unwrap();
        assert_eq!(read.spec, nats("{}").spec, "{spec}");
    }
    let partial: Nats = read(&format!("{head}spec: {{resources: {{limits: }}}}")).unwrap();
    assert_eq!((partial.spec.resources.limits, partial.spec.resources.requests), (None, None));
    for unreadable in ["spec: []", "spec: 1", "spec: {cluster: {size: three}}", "spec: {labels: {a: 1}}"] {
        assert!(read::<Nats>(&format!("{head}{unreadable}")).is_err(), "{unreadable}");
    }
}

#[test]
fn quantities_keep_their_notation() {
    let json = serde_json::to_value(nats("{jetStream: {fileStorage: {size: 2048Mi}}}").spec).unwrap();
    assert_eq!(json["jetStream"]["fileStorage"]["size"], "2048Mi");
    assert_eq!(
        serde_json::from_value::<nats_manager_api::NatsSpec>(json.clone())
            .map(|spec| serde_json::to_value(spec).unwrap())
            .unwrap(),
        json
    );
}
