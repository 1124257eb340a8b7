//! The NetworkPolicy of the servers: the annotation selects it, and turns it off.

use nats_manager_harness::{Shell, documented};
use serde_json::{Value, json};

use crate::{
    objects::{NETWORK_POLICY, STATEFUL_SET},
    world::{SERVICE_ACCOUNT, World},
};

const ANNOTATION: &str = "nats.operator.kyma-project.io/network-policy";

#[tokio::test]
async fn annotation_closes_the_client_port_and_turns_the_policy_off() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let set = STATEFUL_SET.get(&world).await;
    let clients = |policy: &Value| policy["spec"]["ingress"][0]["from"].clone();
    assert_eq!(clients(&NETWORK_POLICY.get(&world).await), Value::Null, "open to all by default");

    let select = async |mode: Value| {
        world.patch(json!({"metadata": {"annotations": {ANNOTATION: mode}}})).await.unwrap();
    };
    select(json!("restricted")).await;
    let restricted = NETWORK_POLICY.becomes(&world, "has clients", |policy| clients(policy).is_array()).await;
    assert!(clients(&restricted).to_string().contains("networking.nats.kyma-project.io/to-nats"), "{restricted}");

    select(json!("disabled")).await;
    NETWORK_POLICY.is_gone(&world).await;
    // A policy of others with this name stays.
    let theirs = json!({"metadata": {}, "spec": {"podSelector": {"matchLabels": {"a": "1"}}}});
    NETWORK_POLICY.create(&world, "user", theirs).await;
    world.reconcile_again().await;
    assert_eq!(NETWORK_POLICY.get(&world).await["spec"]["podSelector"], json!({"matchLabels": {"a": "1"}}));

    // The one that the manager makes replaces it.
    select(json!("internal")).await;
    NETWORK_POLICY.becomes(&world, "is ours", |policy| policy["spec"]["ingress"].is_array()).await;
    select(Value::Null).await;
    world.reconcile_again().await;
    assert_eq!(clients(&NETWORK_POLICY.get(&world).await), Value::Null);
    assert_eq!(STATEFUL_SET.get(&world).await["metadata"]["generation"], set["metadata"]["generation"]);
}

#[tokio::test]
async fn steady_network_policy_causes_no_writes() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    let audit = world.cluster.audit().unwrap();
    let mark = audit.mark().await.unwrap();
    world.reconcile_again().await;
    let requests = audit.since(mark).await.unwrap();
    let is_of_policy = |resource: &str| resource == "networkpolicies";
    let writes = requests.writes().filter(|event| event.user == SERVICE_ACCOUNT && is_of_policy(&event.resource));
    assert_eq!(writes.count(), 0);
}

#[tokio::test]
async fn documented_commands_restrict_and_open_the_client_port() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    let shell = Shell::new(&world.cluster);
    let run = async |mark: &str| {
        for block in documented::blocks("docs/user/network-policies.md", mark) {
            shell.done(&block.text).await;
        }
    };
    let is_open = |policy: &Value| policy["spec"]["ingress"][0]["from"].is_null();
    run("run: restrict").await;
    NETWORK_POLICY.becomes(&world, "has clients", |policy| !is_open(policy)).await;
    run("run: open").await;
    NETWORK_POLICY.becomes(&world, "has no clients", is_open).await;
    run("run: prometheus").await;
}
