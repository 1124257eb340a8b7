//! Children of a NATS resource: creation, drift correction, labels and annotations.

mod network_policy;
mod others;
mod ownership;
mod repair;

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    objects::{
        BUDGET, CHILDREN, CONFIG_MAP, DESTINATION_RULE, NETWORK_POLICY, SECRET, SERVICE, STATEFUL_SET, essence,
        system_account,
    },
    world::{NAME, SERVICE_ACCOUNT, World},
};

const OWN_LABELS: [(&str, &str); 10] = [
    ("app.kubernetes.io/component", "nats-manager"),
    ("app.kubernetes.io/created-by", "nats-manager"),
    ("app.kubernetes.io/instance", "eventing"),
    ("app.kubernetes.io/managed-by", "nats-manager"),
    ("app.kubernetes.io/name", "nats"),
    ("app.kubernetes.io/part-of", "nats-manager"),
    ("control-plane", "nats-manager"),
    ("helm.sh/chart", "nats-0.17.3"),
    ("kyma-project.io/dashboard", "eventing"),
    ("kyma-project.io/module", "nats"),
];

#[tokio::test]
async fn every_child_is_created_and_recreated_after_deletion() {
    let world = World::new().await;
    world.install_istio().await;
    let _manager = world.manager().await;
    let nats = world.create(json!({})).await;
    world.state_becomes("Ready").await;

    let owner = json!([{
        "apiVersion": "operator.kyma-project.io/v1alpha1",
        "kind": "NATS",
        "name": NAME,
        "uid": nats.uid(),
        "controller": true,
        "blockOwnerDeletion": true,
    }]);
    for child in CHILDREN {
        let object = child.get(&world).await;
        let metadata = &object["metadata"];
        for (label, value) in OWN_LABELS {
            assert_eq!(metadata["labels"][label], value, "{} {label}", child.kind);
        }
        assert_eq!(metadata["ownerReferences"], owner, "{}", child.kind);
        let managers = metadata["managedFields"].as_array().unwrap();
        let is_ours = |entry: &Value| entry["manager"] == "nats-manager" && entry["operation"] == "Apply";
        assert!(managers.iter().any(is_ours), "{} {managers:?}", child.kind);
    }
    let finalizers = world.api::<nats_manager_api::Nats>().get(NAME).await.unwrap().metadata.finalizers;
    assert_eq!(finalizers.unwrap(), ["nats.operator.kyma-project.io/finalizer"]);

    for child in CHILDREN {
        let before = child.get(&world).await;
        let after = child.comes_back(&world).await;
        match child.kind {
            // The deleted Secret contained the only copy of the password.
            "Secret" => {
                assert_ne!(password(&before), password(&after));
                assert_eq!(password(&after).len(), 60);
            }
            // The volumes exist now: the new template has the StorageClass that the cluster assigned to them.
            "StatefulSet" => {
                let request = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";
                assert_eq!(after.pointer(request), before.pointer(request));
                assert_eq!(after["spec"]["selector"], before["spec"]["selector"]);
                assert_eq!(after["spec"]["replicas"], before["spec"]["replicas"]);
            }
            _ => assert_eq!(essence(&after)["spec"], essence(&before)["spec"], "{}", child.kind),
        }
    }
    world.state_becomes("Ready").await;
}

#[tokio::test]
async fn drift_of_every_child_is_corrected() {
    let world = World::new().await;
    world.install_istio().await;
    let _manager = world.manager().await;
    world.create(json!({"labels": {"mine": "1"}})).await;
    world.state_becomes("Ready").await;

    let container = |change: Value| {
        let mut container = json!({"name": "nats"});
        container.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({"spec": {"template": {"spec": {"containers": [container]}}}})
    };
    let mut changes = vec![
        (STATEFUL_SET, container(json!({"image": "nats-server.example/other:1"}))),
        (STATEFUL_SET, container(json!({"command": ["sh"]}))),
        (STATEFUL_SET, container(json!({"env": [{"name": "SERVER_NAME", "$patch": "delete"}]}))),
        (STATEFUL_SET, container(json!({"resources": {"limits": {"memory": "2Gi"}}}))),
        (STATEFUL_SET, container(json!({"ports": [{"containerPort": 4222, "$patch": "delete"}]}))),
        (STATEFUL_SET, json!({"spec": {"replicas": 5}})),
        (STATEFUL_SET, json!({"spec": {"template": {"metadata": {"labels": {"mine": null}}}}})),
        (STATEFUL_SET, json!({"spec": {"template": {"spec": {"topologySpreadConstraints": null}}}})),
        (CONFIG_MAP, json!({"data": {"nats.conf": "port: 1"}})),
        (CONFIG_MAP, json!({"data": {"nats.conf": null}})),
        (SERVICE, json!({"spec": {"ports": [{"port": 4222, "name": "other"}]}})),
        (SERVICE, json!({"spec": {"ports": [{"port": 4222, "$patch": "delete"}]}})),
        (SERVICE, json!({"spec": {"ports": [{"port": 4222, "targetPort": 4223}]}})),
        (SERVICE, json!({"spec": {"selector": {"app.kubernetes.io/name": "other"}}})),
        (SERVICE, json!({"spec": {"publishNotReadyAddresses": false}})),
        (BUDGET, json!({"spec": {"selector": {"matchLabels": {"app.kubernetes.io/name": "other"}}}})),
        (BUDGET, json!({"spec": {"maxUnavailable": 3}})),
        (NETWORK_POLICY, json!({"spec": {"ingress": null}})),
        (NETWORK_POLICY, json!({"spec": {"ingress": [{}]}})),
        (NETWORK_POLICY, json!({"spec": {"egress": null}})),
        (NETWORK_POLICY, json!({"spec": {"policyTypes": ["Egress"]}})),
        // An additional label selects fewer Pods, an additional expression too.
        (NETWORK_POLICY, json!({"spec": {"podSelector": {"matchLabels": {"theirs": "1"}}}})),
        (
            NETWORK_POLICY,
            json!({"spec": {"podSelector": {"matchExpressions": [{"key": "theirs", "operator": "Exists"}]}}}),
        ),
        (DESTINATION_RULE, json!({"spec": {"host": "elsewhere"}})),
        (DESTINATION_RULE, json!({"spec": {"trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}})),
    ];
    for child in CHILDREN {
        changes.extend([
            (child, json!({"metadata": {"labels": {"kyma-project.io/dashboard": null}}})),
            (child, json!({"metadata": {"labels": {"mine": "2"}}})),
            (child, json!({"metadata": {"ownerReferences": null}})),
            (child, json!({"metadata": {"annotations": {"nats.operator.kyma-project.io/applied-hash": null}}})),
        ]);
    }
    for (child, change) in changes {
        let before = child.get(&world).await;
        child.is_restored(&world, &before, change).await;
    }
}

#[tokio::test]
async fn labels_and_annotations_follow_the_spec() {
    let world = World::new().await;
    world.install_istio().await;
    let _manager = world.manager().await;
    world.create(json!({"labels": {"a": "1", "b": "1"}, "annotations": {"c": "1", "d": "1"}})).await;
    world.state_becomes("Ready").await;

    for (change, labels, annotations) in [
        (json!({}), json!({"a": "1", "b": "1"}), json!({"c": "1", "d": "1"})),
        (json!({"labels": {"a": null, "b": "2", "e": "3"}}), json!({"b": "2", "e": "3"}), json!({"c": "1", "d": "1"})),
        (json!({"annotations": {"c": null, "d": "2"}}), json!({"b": "2", "e": "3"}), json!({"d": "2"})),
        (json!({"annotations": null, "labels": null}), json!({}), json!({})),
    ] {
        world.patch(json!({"spec": change})).await.unwrap();
        let is = |map: &Value, keys: [&str; 3], expected: &Value| keys.iter().all(|key| map[*key] == expected[*key]);
        let none = json!({});
        for child in CHILDREN {
            let expected = if child.annotated { &annotations } else { &none };
            let what = format!("{labels} {expected}");
            child
                .becomes(&world, &what, |now| {
                    let both = |metadata: &Value, expected: &Value| {
                        is(&metadata["labels"], ["a", "b", "e"], &labels)
                            && is(&metadata["annotations"], ["c", "d", "d"], expected)
                    };
                    both(&now["metadata"], expected)
                        && (child.kind != "StatefulSet" || both(&now["spec"]["template"]["metadata"], &annotations))
                })
                .await;
        }
    }
}

#[tokio::test]
async fn foreign_fields_of_children_are_kept_without_writes() {
    let world = World::new().await;
    world.install_istio().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    world.events_are(3).await;
    let audit = world.cluster.audit().unwrap();
    let mark = audit.mark().await.unwrap();

    for child in CHILDREN {
        let added = json!({"metadata": {"labels": {"theirs": "1"}, "annotations": {"theirs": "1"}}});
        child.change(&world, added).await;
    }
    SECRET.change(&world, json!({"data": {"other": "eA=="}})).await;
    CONFIG_MAP.change(&world, json!({"data": {"other": "x"}})).await;
    world.reconcile_again().await;

    for child in CHILDREN.into_iter().filter(|child| child.kind != BUDGET.kind) {
        let metadata = child.get(&world).await["metadata"].clone();
        assert_eq!((&metadata["labels"]["theirs"], &metadata["annotations"]["theirs"]), (&json!("1"), &json!("1")));
    }
    assert_eq!(CONFIG_MAP.get(&world).await["data"]["other"], "x");
    let requests = audit.since(mark).await.unwrap();
    let writes: Vec<&str> =
        requests.writes().filter(|event| event.user == SERVICE_ACCOUNT).map(|event| event.resource.as_str()).collect();
    assert_eq!(writes, ["poddisruptionbudgets"]);
}

/// Returns the password in a Secret; empty if there is none.
fn password(secret: &Value) -> String {
    let account = system_account(secret);
    let rest = account.split_once("password: \"").map(|(_, rest)| rest).unwrap_or_default();
    rest.split_once('"').map(|(password, _)| password.to_owned()).unwrap_or_default()
}
