//! Children that an apply alone cannot correct: fields that exclude ours, immutable fields, fields that others add, and
//! children that the apiserver rejects.

use std::collections::BTreeMap;

use kube::ResourceExt;
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use crate::{
    objects::{BUDGET, CONFIG_MAP, Child, SECRET, SERVICE, STATEFUL_SET, essence, system_account},
    rejections::REJECTION,
    world::{TIMEOUT, World, condition},
};

#[tokio::test]
async fn foreign_fields_that_exclude_ours_or_change_a_default_are_removed() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let spec = |spec: Value| json!({ "spec": spec });
    let pod = |pod: Value| json!({"spec": {"template": {"spec": pod}}});
    let nats = |mut fields: Value| {
        fields["name"] = json!("nats");
        json!({"spec": {"template": {"spec": {"containers": [fields]}}}})
    };
    let pods = uids(&world).await;
    for (child, change) in [
        (BUDGET, spec(json!({"maxUnavailable": null, "minAvailable": 2}))),
        (BUDGET, spec(json!({"selector": {"matchLabels": {"more": "1"}}}))),
        (BUDGET, spec(json!({"selector": {"matchExpressions": [{"key": "more", "operator": "Exists"}]}}))),
        (SERVICE, spec(json!({"ports": [{"port": 4222, "$patch": "delete"}, {"name": "client", "port": 4333}]}))),
        (SERVICE, spec(json!({"selector": {"more": "1"}}))),
        (SERVICE, spec(json!({"type": "ExternalName", "externalName": "elsewhere.example", "clusterIP": null}))),
        (
            STATEFUL_SET,
            spec(json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"}})),
        ),
        (STATEFUL_SET, spec(json!({"minReadySeconds": 30}))),
        (STATEFUL_SET, spec(json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}))),
        (STATEFUL_SET, pod(json!({"nodeSelector": {"disk": "fast"}}))),
        (STATEFUL_SET, pod(json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}))),
        (STATEFUL_SET, pod(json!({"containers": [{"name": "theirs", "image": "theirs"}]}))),
        (STATEFUL_SET, pod(json!({"initContainers": [{"name": "theirs", "image": "theirs"}]}))),
        (STATEFUL_SET, nats(json!({"env": [{"name": "GODEBUG", "value": "1"}]}))),
        (STATEFUL_SET, nats(json!({"env": [{"name": "POD_NAME", "value": "x", "valueFrom": null}]}))),
        (STATEFUL_SET, nats(json!({"envFrom": [{"configMapRef": {"name": "theirs"}}], "args": ["-D"]}))),
        (STATEFUL_SET, nats(json!({"livenessProbe": {"httpGet": null, "exec": {"command": ["true"]}}}))),
        (
            STATEFUL_SET,
            nats(json!({"ports": [{"containerPort": 4222, "$patch": "delete"},
            {"name": "client", "containerPort": 4333, "protocol": "TCP"}]})),
        ),
    ] {
        // A plan that is older than the correction may open the partition for a moment, which restarts nothing.
        let is_at_rest = |object: &Value| {
            let partition = object.pointer("/spec/updateStrategy/rollingUpdate/partition");
            partition.is_none_or(|partition| *partition == 3)
        };
        let before = child.becomes(&world, "is at rest", is_at_rest).await;
        child.is_restored(&world, &before, change).await;
    }
    world.is_ready_for_the_newest_spec().await;
    assert_eq!(uids(&world).await, pods, "no server was restarted");

    // The retention policy did not reach the PVCs.
    let pvcs = pvc_uids(&world).await;
    STATEFUL_SET.comes_back(&world).await;
    world.is_ready_for_the_newest_spec().await;
    assert_eq!(pvc_uids(&world).await, pvcs);

    // A patch of a stale version is recognised by this message.
    let stale = r#"[{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]"#;
    let patch = ["patch", "pdb", "-n", "kyma-system", BUDGET.name, "--type", "json", "-p", stale];
    let rejected = world.kubectl(&patch).await.unwrap_err();
    assert!(rejected.contains("the server rejected our request due to an error in our request"), "{rejected}");

    // The StatefulSet controller stops the first server at once, which nothing can prevent.
    STATEFUL_SET.change(&world, spec(json!({"ordinals": {"start": 1}}))).await;
    STATEFUL_SET.becomes(&world, "begins with 0", |set| set["spec"]["ordinals"]["start"] == 0).await;
    // The PVC of the server beyond stays: without polls its removal is left to users, which the status reports.
    eventually("the servers are the first three", TIMEOUT, || async {
        let names: Vec<String> = uids(&world).await.into_keys().collect();
        let is_done = names == ["eventing-nats-0", "eventing-nats-1", "eventing-nats-2"];
        if is_done { Seen::Done(()) } else { Seen::NotYet(format!("{names:?}")) }
    })
    .await;
}

#[tokio::test]
async fn additions_of_admission_to_the_pod_template_are_kept() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let added = json!({
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "imagePullSecrets": [{"name": "theirs"}],
        "volumes": [{"name": "theirs", "emptyDir": {}}],
        "containers": [{"name": "nats", "volumeMounts": [{"name": "theirs", "mountPath": "/theirs"}]}],
    });
    STATEFUL_SET
        .change(&world, json!({"spec": {"template": {"metadata": {"labels": {"theirs": "1"}}, "spec": added}}}))
        .await;
    world.reconcile_again().await;
    world.is_ready_for_the_newest_spec().await;
    let set = STATEFUL_SET.get(&world).await;
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!((&pod["tolerations"][0]["key"], &pod["imagePullSecrets"][0]["name"]), (&json!("a"), &json!("theirs")));
    assert!(pod["volumes"].as_array().unwrap().iter().any(|volume| volume["name"] == "theirs"));
    assert_eq!(set["spec"]["template"]["metadata"]["labels"]["theirs"], "1");
}

#[tokio::test]
async fn object_with_other_immutable_fields_is_replaced() {
    let world = World::new().await;
    // Nothing of this has an owner.
    SERVICE
        .create(&world, "other-manager", json!({"metadata": {}, "spec": {"ports": [{"name": "a", "port": 4222}]}}))
        .await;
    CONFIG_MAP
        .create(&world, "other-manager", json!({"metadata": {}, "data": {"nats.conf": "port: 1"}, "immutable": true}))
        .await;
    BUDGET.create(&world, "other-manager", json!({"metadata": {}, "spec": {"minAvailable": 2}})).await;
    let account = json!({"metadata": {}, "type": "example.com/other", "immutable": true,
        "stringData": {"resolver.conf": "accounts: {} # another's", "other": "kept"}});
    SECRET.create(&world, "other-manager", account).await;
    let mut manager = world.manager().await;
    let old = uids_of(&world, &[SERVICE, CONFIG_MAP, SECRET]).await;
    world.create(json!({"labels": {"round": "0"}})).await;
    world.is_ready_for_the_newest_spec().await;
    let account = SECRET.get(&world).await;
    assert_eq!((system_account(&account).as_str(), &account["type"]), ("accounts: {} # another's", &json!("Opaque")));
    assert_eq!(account["data"]["other"], "a2VwdA==");
    assert_eq!(BUDGET.get(&world).await["spec"]["minAvailable"], Value::Null);
    for (child, old) in [SERVICE, CONFIG_MAP, SECRET].iter().zip(old) {
        assert_ne!(child.get(&world).await["metadata"]["uid"], old, "{}", child.kind);
    }

    // The same while the CR exists.
    for round in ["1", "2"] {
        manager.terminate().await.unwrap();
        let before = essence(&SERVICE.get(&world).await);
        recreate(&world, SERVICE, |service| {
            for field in ["clusterIP", "clusterIPs"] {
                service["spec"].as_object_mut().unwrap().remove(field);
            }
            if round == "2" {
                service["spec"]["type"] = json!("LoadBalancer");
            }
        })
        .await;
        recreate(&world, CONFIG_MAP, |config| {
            config["immutable"] = json!(true);
            config["data"]["nats.conf"] = json!("port: 1");
        })
        .await;
        manager = world.manager().await;
        let is_restored = |now: &Value| essence(now) == before;
        SERVICE.becomes(&world, "is headless", is_restored).await;
        CONFIG_MAP.becomes(&world, "has its content", |now| now["data"]["nats.conf"] != "port: 1").await;
        world.is_ready_for_the_newest_spec().await;
    }
}

#[tokio::test]
async fn data_survives_a_replacement_that_fails_in_between() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    let account = system_account(&SECRET.get(&world).await);
    for (child, resource, own) in [(SECRET, "secrets", "resolver.conf"), (CONFIG_MAP, "configmaps", "nats.conf")] {
        let before = child.get(&world).await;
        world.reject(&["CREATE"], "", resource).await;
        let (content, other) = match child.kind {
            "Secret" => (json!({"stringData": {"other": "kept"}}), json!("a2VwdA==")),
            _ => (json!({"data": {"other": "kept", "nats.conf": "port: 1"}}), json!("kept")),
        };
        child.change(&world, content).await;
        // It is sealed with a content that is not the desired one.
        child.change(&world, json!({"immutable": true, "metadata": {"labels": {"app.kubernetes.io/name": "x"}}})).await;
        if child.kind == "Secret" {
            // A Secret of another type, which no request can change.
            recreate(&world, SECRET, |secret| secret["type"] = json!("example.com/other")).await;
        }
        eventually("the object is deleted, and cannot be created", TIMEOUT, || async {
            Ok::<_, kube::Error>(child.api(&world).get_opt(child.name).await?.is_none())
        })
        .await;
        world.state_becomes("Warning").await;
        world.accept(resource).await;
        let now = child.becomes(&world, "has the keys of others", |now| now["data"]["other"] == other).await;
        assert_ne!(now["metadata"]["uid"], before["metadata"]["uid"]);
        assert_eq!(now["data"][own], before["data"][own], "{}", child.kind);
        world.is_ready_for_the_newest_spec().await;
    }
    assert_eq!(system_account(&SECRET.get(&world).await), account, "the password stays");
}

#[tokio::test]
async fn stateful_set_with_other_immutable_fields_is_recreated_around_its_pods() {
    let world = World::new().await;
    let mut manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    for (change, restarts) in [(json!({}), false), (json!({"resources": {"limits": {"memory": "1500Mi"}}}), true)] {
        manager.terminate().await.unwrap();
        let pods = uids(&world).await;
        recreate(&world, STATEFUL_SET, |set| set["spec"]["podManagementPolicy"] = json!("OrderedReady")).await;
        let foreign =
            STATEFUL_SET.becomes(&world, "has adopted the Pods", |set| set["status"]["readyReplicas"] == 3).await;
        assert_eq!(uids(&world).await, pods);
        world.patch(json!({"spec": change})).await.unwrap();
        manager = world.manager().await;
        let set = STATEFUL_SET
            .becomes(&world, "is recreated", |set| {
                set["spec"]["podManagementPolicy"] == "Parallel" && set["status"]["readyReplicas"] == 3
            })
            .await;
        assert_ne!(set["metadata"]["uid"], foreign["metadata"]["uid"]);
        world.is_ready_for_the_newest_spec().await;
        let now = uids(&world).await;
        if restarts {
            assert!(now.iter().all(|(name, uid)| pods[name] != *uid), "each server has the new limit");
        } else {
            assert_eq!(now, pods, "no server was restarted");
        }
        for pod in world.pods().await {
            let owner = &pod.metadata.owner_references.as_ref().unwrap()[0].uid;
            assert_eq!(set["metadata"]["uid"], **owner);
        }
    }

    // A user replaces it while the manager runs. Either of the two may be faster.
    let mut replaced = essence(&STATEFUL_SET.get(&world).await);
    replaced["spec"]["podManagementPolicy"] = json!("OrderedReady");
    let _ = world.cluster.run_kubectl(&["replace", "--force", "-f", "-"], &replaced.to_string()).await.unwrap();
    STATEFUL_SET
        .becomes(&world, "is recreated", |set| {
            set["spec"]["podManagementPolicy"] == "Parallel" && set["status"]["readyReplicas"] == 3
        })
        .await;
    world.is_ready_for_the_newest_spec().await;

    // Another selector or volume belongs to other Pods and other data.
    manager.terminate().await.unwrap();
    let pods = uids(&world).await;
    recreate(&world, STATEFUL_SET, |set| {
        set["spec"]["selector"]["matchLabels"] = json!({"nats_cluster": "eventing-nats"});
    })
    .await;
    let _manager = world.manager().await;
    let status = world.state_becomes("Warning").await;
    let (_, reason, message) = condition(&status, "StatefulSet").unwrap();
    assert_eq!(reason, "FailedToSyncResources");
    assert!(message.contains(".spec.selector is immutable"), "{message}");
    assert_eq!(uids(&world).await, pods);
}

#[tokio::test]
async fn rejected_child_does_not_stop_the_others_and_the_cluster_stays_available() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    let all = [SECRET, CONFIG_MAP, SERVICE, BUDGET, STATEFUL_SET];
    for (round, (child, group, resource)) in
        [(SERVICE, "", "services"), (BUDGET, "policy", "poddisruptionbudgets"), (STATEFUL_SET, "apps", "statefulsets")]
            .into_iter()
            .enumerate()
    {
        let round = round.to_string();
        world.reject(&["UPDATE"], group, resource).await;
        world.patch(json!({"spec": {"labels": {"round": round}}})).await.unwrap();
        let status = world.state_becomes("Warning").await;
        assert_eq!(condition(&status, "Available").unwrap().0, "True", "{resource}");
        let (holds, reason, message) = condition(&status, "Stalled").unwrap();
        assert_eq!((holds.as_str(), reason.as_str()), ("True", "FailedProcessing"), "{resource}");
        assert!(message.starts_with(&format!("cannot apply {} eventing-nats", child.kind)), "{message}");
        assert!(message.contains(REJECTION), "{message}");
        assert_eq!(condition(&status, "Ready").unwrap().0, "False", "{resource}");
        let set = condition(&status, "StatefulSet").unwrap();
        assert_eq!(set.1 == "FailedToSyncResources", child.kind == STATEFUL_SET.kind, "{set:?}");
        world.event_becomes("Warning", "FailedProcessing", &message).await;
        for other in all.into_iter().filter(|other| other.kind != child.kind) {
            other.becomes(&world, "has the label", |now| now["metadata"]["labels"]["round"] == round.as_str()).await;
        }
        world.accept(resource).await;
        world.patch(json!({"metadata": {"labels": {"wake": round}}})).await.unwrap();
        world.is_ready_for_the_newest_spec().await;
    }
}

/// Deletes an object without its dependents, and applies a changed copy as another field manager.
async fn recreate(world: &World, child: Child, change: impl FnOnce(&mut Value)) {
    let mut object = essence(&child.get(world).await);
    change(&mut object);
    let orphan = kube::api::DeleteParams {
        propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
        ..kube::api::DeleteParams::default()
    };
    child.api(world).delete(child.name, &orphan).await.unwrap();
    eventually("the object is gone", TIMEOUT, || async {
        Ok::<_, kube::Error>(child.api(world).get_opt(child.name).await?.is_none())
    })
    .await;
    child.create(world, "other-manager", object).await;
}

async fn uids(world: &World) -> BTreeMap<String, String> {
    world.pods().await.iter().map(|pod| (pod.name_any(), pod.uid().unwrap())).collect()
}

async fn pvc_uids(world: &World) -> BTreeMap<String, String> {
    world.pvcs().await.iter().map(|pvc| (pvc.name_any(), pvc.uid().unwrap())).collect()
}

async fn uids_of(world: &World, children: &[Child]) -> Vec<Value> {
    let mut uids = Vec::new();
    for child in children {
        uids.push(child.get(world).await["metadata"]["uid"].clone());
    }
    uids
}
