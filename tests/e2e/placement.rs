//! Placement of the servers by `spec.scheduling`.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::PostParams;
use nats_manager_api::NatsSpec;
use nats_manager_harness::{Shell, documented};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    objects::STATEFUL_SET,
    world::{NAMESPACE, World, condition},
};

/// Entry of `api/tests/scheduling.yaml`.
#[derive(Deserialize)]
struct Placement {
    scheduling: Value,
    rejected: Option<String>,
}

/// The rules have the same table as a test.
#[tokio::test]
async fn placement_rules_agree_with_the_apiserver() {
    let world = World::new().await;
    let all: Vec<Placement> = serde_saphyr::from_str(include_str!("../../api/tests/scheduling.yaml")).unwrap();
    assert!(all.len() > 30);
    for Placement { scheduling, rejected } in all {
        let set = stateful_set(&scheduling);
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let created = world.api::<StatefulSet>().create(&dry_run, &set).await;
        let expected =
            rejected.as_ref().map(|field| format!("spec.template.spec.{}", field.split('[').next().unwrap()));
        match (&created, &expected) {
            (Ok(_), None) => {}
            (Err(kube::Error::Api(status)), Some(field)) if status.code == 422 => {
                assert!(status.message.contains(field.as_str()), "{scheduling}: {}", status.message);
            }
            _ => panic!("{scheduling}: expected {rejected:?}, got {created:?}"),
        }
        // The CRD stores what the rules accept, as it is.
        if rejected.is_none() {
            let stored = world.create_as(NAMESPACE, "placed", json!({"scheduling": scheduling})).await.unwrap();
            let spec: NatsSpec = serde_json::from_value(json!({"scheduling": scheduling})).unwrap();
            assert_eq!(stored.spec.scheduling, spec.scheduling);
        }
    }
}

#[tokio::test]
async fn changed_placement_restarts_one_by_one_and_drift_is_corrected() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    let before = STATEFUL_SET.get(&world).await["spec"]["template"].clone();

    let [place, restore] = documented::blocks("docs/user/placement.md", "run").try_into().unwrap();
    let shell = Shell::new(&world.cluster);
    // No node has the label: the first server stays pending, and the others serve.
    world.patch(json!({"spec": {"scheduling": {"nodeSelector": {"pool": "nats"}}}})).await.unwrap();
    let status = world
        .status_becomes("the first server is pending", |status| {
            condition(status, "Reconciling").is_some_and(|(holds, reason, message)| {
                holds == "True" && reason == "RollingUpdate" && message.contains("no node accepts it")
            })
        })
        .await;
    assert_eq!((status.state.as_str(), status.ready.as_str()), ("Ready", "2/3"));
    shell.done(&restore.text).await;
    world.is_ready_for_the_newest_spec().await;
    assert_eq!(STATEFUL_SET.get(&world).await["spec"]["template"], before);

    shell.done(&place.text).await;
    world.is_ready_for_the_newest_spec().await;
    let os = "kubernetes.io/os";
    let scheduling = json!({
        "nodeSelector": {os: "linux"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "topologySpreadConstraints": [
            {"maxSkew": 3, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"},
        ],
    });
    world.patch(json!({"spec": {"scheduling": scheduling}})).await.unwrap();
    let set = STATEFUL_SET
        .becomes(&world, "has the placement", |set| set["spec"]["template"]["spec"]["tolerations"].is_array())
        .await;
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["tolerations"], scheduling["tolerations"]);
    assert_eq!(pod["topologySpreadConstraints"].as_array().unwrap().len(), 1);
    assert_eq!(pod["affinity"], before["spec"]["affinity"]);
    world.is_ready_for_the_newest_spec().await;
    let set = STATEFUL_SET.get(&world).await;
    let foreign = json!({"spec": {"template": {"spec": {"nodeSelector": {os: "plan9", "pool": "theirs"}}}}});
    STATEFUL_SET.is_restored(&world, &set, foreign).await;
}

/// Returns a StatefulSet with the placement in its Pod template.
fn stateful_set(scheduling: &Value) -> StatefulSet {
    let mut pod = scheduling.clone();
    pod["containers"] = json!([{"name": "a", "image": "a"}]);
    let labels = json!({"app": "a"});
    serde_json::from_value(json!({
        "metadata": {"name": "placed"},
        "spec": {
            "selector": {"matchLabels": labels},
            "serviceName": "placed",
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }))
    .unwrap()
}
