//! Rolling updates: servers restart one at a time.

mod guarded;

use nats_manager_api::{Nats, NatsStatus, naming};
use nats_manager_harness::eventually;
use serde_json::{Value, json};

use crate::{
    history::History,
    manager::ManagerOptions,
    objects::{CONFIG_MAP, STATEFUL_SET},
    world::{TIMEOUT, World, condition},
};

#[tokio::test]
async fn rolling_update_keeps_state_ready() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    let url = world.state_becomes("Ready").await.url;
    assert_eq!(manager.terminate().await.unwrap(), Some(0));
    let revision = STATEFUL_SET.get(&world).await["status"]["updateRevision"].clone();
    let history = History::record(world.api::<Nats>(), |nats| nats.status);

    let mut options = ManagerOptions::default();
    options.env.insert("NATS_IMAGE".to_owned(), "nats-server.example/nats:2.14.3".to_owned());
    let _next = world.manager_with(&options).await;
    STATEFUL_SET
        .becomes(&world, "runs the new image", |set| {
            let status = &set["status"];
            status["currentRevision"] != revision && status["readyReplicas"] == 3 && status["updatedReplicas"] == 3
        })
        .await;
    let is_updated = |status: &NatsStatus| condition(status, "StatefulSet").is_some_and(|(holds, ..)| holds == "True");
    eventually("start and end of the rolling update are reported", TIMEOUT, || async {
        let states = history.states();
        states.iter().any(|status| !is_updated(status)) && states.last().is_some_and(is_updated)
    })
    .await;

    for status in history.states() {
        assert_eq!((status.state.as_str(), &status.url), ("Ready", &url), "{status:?}");
        assert_eq!(condition(&status, "Available").unwrap().0, "True", "{status:?}");
        let (holds, reason, message) = condition(&status, "StatefulSet").unwrap();
        if holds == "False" {
            assert_eq!(reason, "Pending");
            let texts = [
                "not ready: eventing-nats-",
                "not restarted with the newest template yet: eventing-nats-",
                "StatefulSet is not ready",
            ];
            assert!(texts.iter().any(|text| message.starts_with(text)), "{message}");
        }
    }
}

#[tokio::test]
async fn servers_restart_only_for_changes_that_a_reload_cannot_apply() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({"jetStream": {"memStorage": {"size": "100Mi"}}})).await;
    world.state_becomes("Ready").await;
    let memory = |size: &str| json!({"jetStream": {"memStorage": {"size": size}}});
    for (what, spec, restarts) in [
        ("more memory", memory("200Mi"), false),
        ("debug messages", json!({"logging": {"debug": true}}), false),
        ("no debug messages", json!({"logging": {"debug": false}}), false),
        ("less memory", memory("50Mi"), true),
        ("more memory again", memory("60Mi"), false),
        ("no memory", json!({"jetStream": {"memStorage": {"enabled": false}}}), true),
    ] {
        let template = |set: &Value| set["spec"]["template"].clone();
        let hash = |set: &Value| set["metadata"]["annotations"][naming::TEMPLATE_HASH].clone();
        let set = STATEFUL_SET.get(&world).await;
        let before = (CONFIG_MAP.get(&world).await, template(&set), hash(&set));
        world.patch(json!({"spec": spec})).await.unwrap();
        CONFIG_MAP.becomes(&world, what, |config| config["data"] != before.0["data"]).await;
        world.is_ready_for_the_newest_spec().await;
        let set = STATEFUL_SET.get(&world).await;
        assert_eq!(template(&set) != before.1, restarts, "{what}");
        assert_eq!(hash(&set) != before.2, restarts, "{what}");
        assert_eq!(set["status"]["updatedReplicas"], 3);
        STATEFUL_SET
            .becomes(&world, "has a closed partition", |set| {
                set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] == 3
            })
            .await;
    }
}
