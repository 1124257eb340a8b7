//! What the manager's looks at JetStream cost, and who may ask it more.

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

/// A look costs each server one request, at most once in so long.
const PERIOD: Duration = Duration::from_secs(10);

#[test]
fn looks_cost_each_server_a_request_in_ten_seconds_while_all_is_well() {
    real(async |world| {
        let _manager = world.manager().await;
        world.create(json!({"cluster": {"size": 3}})).await;
        world.state_becomes("Ready").await;
        world.make_stream(3).await;
        world.stream_is_current(3).await;
        let whole = |status: &nats_manager_api::NatsStatus| {
            status.conditions.iter().any(|known| known.type_ == "JetStream" && known.status == "True")
        };
        world.status_becomes("JetStream is whole", whole).await;

        let (start, before) = (Instant::now(), looks(world).await);
        let after = eventually("six looks", SOON, || async {
            let now = looks(world).await;
            if now.iter().zip(&before).all(|(now, before)| now - before >= 6) {
                Seen::Done(now)
            } else {
                Seen::NotYet(format!("{before:?}, then {now:?}"))
            }
        })
        .await;
        // The first of them may have come at once.
        let allowed = start.elapsed().as_secs() / PERIOD.as_secs() + 1;
        println!("{before:?}, {:?} later {after:?}", start.elapsed());
        for (before, after) in before.iter().zip(&after) {
            assert!(after - before <= allowed, "{before} to {after}, allowed {allowed}");
        }
    });
}

#[test]
fn the_password_of_the_secret_opens_the_system_account() {
    real(async |world| {
        let _manager = world.manager().await;
        world.create(json!({"cluster": {"size": 1}})).await;
        world.state_becomes("Ready").await;
        let secret: Secret = world.api().get("eventing-nats-secret").await.unwrap();
        let content = secret.data.unwrap().remove("resolver.conf").unwrap().0;
        assert!(Credentials::from_resolver_conf(&content).is_some());
        let text = String::from_utf8(content).unwrap();
        let word = |key: &str| {
            let (_, rest) = text.split_once(&format!("{key}:")).unwrap();
            rest.trim_start().trim_start_matches('"').split(['"', ',', '}', '\n', ' ']).next().unwrap().to_owned()
        };
        let server = address(&world.pod(&World::server(0)).await).unwrap();
        let connect = async |password: String| {
            ConnectOptions::with_user_and_password(word("user"), password)
                .connect(format!("nats://{server}:4222"))
                .await
        };
        assert!(connect("wrong".to_owned()).await.is_err());
        let client = connect(word("password")).await.unwrap();
        let answer = client.request("$SYS.REQ.SERVER.PING", "".into()).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["server"]["name"], "eventing-nats-0");
    });
}

/// How often each server was looked at, as it counts itself.
async fn looks(world: &World<'_>) -> Vec<u64> {
    let mut all = Vec::new();
    for pod in world.pods().await {
        let varz = world.monitor(&pod, "/varz").await;
        all.push(varz["http_req_stats"]["/jsz"].as_u64().unwrap_or(0));
    }
    all
}
