//! Clusters with another DNS domain than `cluster.local`.

use serde_json::json;

use crate::{
    manager::ManagerOptions,
    objects::{CONFIG_MAP, STATEFUL_SET},
    world::World,
};

#[tokio::test]
async fn cluster_domain_of_the_flag_is_in_the_url_and_the_routes() {
    let world = World::new().await;
    let mut options = ManagerOptions::default();
    options.args.push("--cluster-domain=k8s.example.com".to_owned());
    let manager = world.manager_with(&options).await;
    world.create(json!({})).await;
    let status = world.state_becomes("Ready").await;
    assert_eq!(status.url, "nats://eventing-nats.kyma-system.svc.k8s.example.com:4222");
    let config = CONFIG_MAP.get(&world).await["data"]["nats.conf"].to_string();
    assert!(config.contains("eventing-nats-2.eventing-nats.kyma-system.svc.k8s.example.com:6222"), "{config}");
    let template = STATEFUL_SET.get(&world).await["spec"]["template"].to_string();
    assert!(template.contains("svc.k8s.example.com") && !template.contains("cluster.local"), "{template}");

    // The default changes the running cluster back.
    manager.terminate().await.unwrap();
    let _manager = world.manager().await;
    world.status_becomes("the default URL", |status| status.url.ends_with(".svc.cluster.local:4222")).await;
    CONFIG_MAP
        .becomes(&world, "has the default domain", |now| !now["data"]["nats.conf"].to_string().contains("k8s.example"))
        .await;
}
