//! Cost of the polls of JetStream, and the credentials of the system account.

use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use k8s_openapi::api::core::v1::Secret;
use nats_manager_harness::{Seen, eventually};
use nats_manager_jetstream::Credentials;
use serde_json::json;

use crate::{
    servers::address,
    world::{SOON, World, real},
};

/// Poll interval: a poll costs each server one request.
const INTERVAL: Duration = Duration::from_secs(10);

#[test]
fn polls_cost_each_healthy_server_one_request_in_ten_seconds() {
    real(async |world| {
        let _manager = world.manager().await;
        world.create(json!({"cluster": {"size": 3}})).await;
        world.state_becomes("Ready").await;
        world.make_stream(3).await;
        world.stream_is_in_sync(3).await;
        let is_healthy = |status: &nats_manager_api::NatsStatus| {
            status.conditions.iter().any(|condition| condition.type_ == "JetStream" && condition.status == "True")
        };
        world.status_becomes("JetStream is healthy", is_healthy).await;

        let (start, before) = (Instant::now(), polls(world).await);
        let after = eventually("six polls", SOON, || async {
            let now = polls(world).await;
            if now.iter().zip(&before).all(|(now, before)| now - before >= 6) {
                Seen::Done(now)
            } else {
                Seen::NotYet(format!("{before:?}, then {now:?}"))
            }
        })
        .await;
        // The first of them may follow immediately.
        let allowed = start.elapsed().as_secs() / INTERVAL.as_secs() + 1;
        println!("{before:?}, {:?} later {after:?}", start.elapsed());
        for (before, after) in before.iter().zip(&after) {
            assert!(after - before <= allowed, "{before} to {after}, allowed {allowed}");
        }
    });
}

#[test]
fn password_of_the_secret_opens_the_system_account() {
    real(async |world| {
        let _manager = world.manager().await;
        world.create(json!({"cluster": {"size": 1}})).await;
        world.state_becomes("Ready").await;
        let secret: Secret = world.api().get("eventing-nats-secret").await.unwrap();
        let content = secret.data.unwrap().remove("resolver.conf").unwrap().0;
        assert!(Credentials::from_resolver_conf(&content).is_some());
        let text = String::from_utf8(content).unwrap();
        let value = |key: &str| {
            let (_, rest) = text.split_once(&format!("{key}:")).unwrap();
            rest.trim_start().trim_start_matches('"').split(['"', ',', '}', '\n', ' ']).next().unwrap().to_owned()
        };
        let server = address(&world.pod(&World::server(0)).await).unwrap();
        let connect = async |password: String| {
            ConnectOptions::with_user_and_password(value("user"), password)
                .connect(format!("nats://{server}:4222"))
                .await
        };
        assert!(connect("wrong".to_owned()).await.is_err());
        let client = connect(value("password")).await.unwrap();
        let response = client.request("$SYS.REQ.SERVER.PING", "".into()).await.unwrap();
        let response: serde_json::Value = serde_json::from_slice(&response.payload).unwrap();
        assert_eq!(response["server"]["name"], "eventing-nats-0");
    });
}

/// Returns the number of polls of each server, as the server itself counts requests of `/jsz`.
async fn polls(world: &World<'_>) -> Vec<u64> {
    let mut counts = Vec::new();
    for pod in world.pods().await {
        let varz = world.monitor(&pod, "/varz").await;
        counts.push(varz["http_req_stats"]["/jsz"].as_u64().unwrap_or(0));
    }
    counts
}
