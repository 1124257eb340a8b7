//! The CA in its Secret, and the certificates that replicas serve.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use nats_manager_certs::{
    Announced, Authority, CaStore,
    secret::{self, Data},
};
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use super::{configurations::configurations, pair::Pair, tls::served, webhook_options};
use crate::world::{SERVICE_ACCOUNT, TIMEOUT, World};

/// Name of the Secret with the CA of the webhook.
pub const CA: &str = "nats-manager-webhook-ca";

/// Returns the data of the Secret; empty if it does not exist.
pub async fn secret_data(world: &World) -> Data {
    let secret = world.api::<Secret>().get_opt(CA).await.unwrap();
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    data.into_iter().map(|(key, value)| (key, value.0)).collect()
}

/// Replaces the data of the Secret, and creates it if it does not exist.
pub async fn put_secret(world: &World, data: &Data) {
    let data: BTreeMap<String, ByteString> =
        data.iter().map(|(key, value)| (key.clone(), ByteString(value.clone()))).collect();
    let mut secret = Secret { data: Some(data), ..Secret::default() };
    secret.metadata.name = Some(CA.to_owned());
    let api = world.api::<Secret>();
    if api.get_opt(CA).await.unwrap().is_some() {
        api.replace(CA, &PostParams::default(), &secret).await.unwrap();
    } else {
        api.create(&PostParams::default(), &secret).await.unwrap();
    }
}

/// Waits until the stored CA meets the predicate, and returns it.
pub async fn store_becomes(world: &World, what: &str, predicate: impl Fn(&CaStore) -> bool) -> CaStore {
    eventually(what, TIMEOUT, || async {
        Ok::<_, String>(match secret::decode(&secret_data(world).await) {
            Ok(Some(store)) if predicate(&store) => Seen::Done(store),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })
    .await
}

#[tokio::test]
async fn replicas_that_start_together_share_one_ca() {
    let world = World::new().await;
    let audit = world.cluster.audit().unwrap();
    for shipped in [true, false] {
        if shipped {
            let manifest = format!("{}/config/manager/webhook_ca.yaml", env!("CARGO_MANIFEST_DIR"));
            world.kubectl(&["apply", "--server-side", "-f", &manifest]).await.unwrap();
            assert!(secret_data(&world).await.is_empty());
        }
        let mark = audit.mark().await.unwrap();
        let pair = Pair::start(&world).await;
        world.webhook_is_active().await;
        let store = store_becomes(&world, "the CA is published", |store| store.current.published_at.is_some()).await;
        assert!(store.next.is_none() && store.retired.is_empty(), "{store:?}");
        let pem = store.bundle().to_pem();
        let mut leaves = Vec::new();
        for replica in &pair.replicas {
            leaves.push(served(replica.port, pem.as_bytes()).await.unwrap());
        }
        assert_ne!(leaves[0], leaves[1], "each replica has its own");
        let requests = audit.since(mark).await.unwrap();
        let writes: Vec<_> =
            requests.writes().filter(|event| event.user == SERVICE_ACCOUNT && event.name == CA).collect();
        // The writes create the Secret if there is none, generate the CA, and record its publication.
        assert_eq!(writes.len(), if shipped { 2 } else { 3 }, "{writes:?}");

        let secret = world.api::<Secret>().get(CA).await.unwrap();
        assert_eq!(secret.metadata.labels.unwrap()["app.kubernetes.io/component"], "webhook");
        for replica in pair.replicas {
            assert_eq!(replica.manager.terminate().await.unwrap(), Some(0));
        }
        world.api::<Secret>().delete(CA, &DeleteParams::default()).await.unwrap();
        for api in configurations(&world) {
            api.delete("nats-manager", &DeleteParams::default()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn damaged_or_deleted_secret_is_repaired_without_lost_reviews() {
    let world = World::new().await;
    let manager = world.manager_with_webhook().await;
    let first = store_becomes(&world, "the CA is published", |store| store.current.published_at.is_some()).await;
    let mut known = vec![first.current.authority.certificate().clone()];
    let stranger = Authority::generate(Timestamp::now()).unwrap();
    for (what, patch) in [
        ("no key", Some(json!({"tls.key": ""}))),
        ("garbage", Some(json!({"tls.crt": "Z2FyYmFnZQ=="}))),
        ("no bundle", Some(json!({"ca.crt": null}))),
        ("empty", None),
        (
            "another CA",
            Some(json!({"tls.crt": base64(&stranger.certificate().to_pem()), "tls.key": base64(stranger.key_pem())})),
        ),
    ] {
        let api = world.api::<Secret>();
        let patch = match patch {
            Some(data) => Patch::Merge(json!({"data": data})),
            None => Patch::Merge(json!({"data": null})),
        };
        api.patch(CA, &PatchParams::default(), &patch).await.unwrap();
        let store = store_becomes(&world, what, |store| store.current.published_at.is_some()).await;
        for former in &known {
            assert!(store.bundle().contains(former), "{what}: its certificates are in use");
        }
        let current = store.current.authority.certificate().clone();
        if !known.contains(&current) {
            known.push(current);
        }
        world.dry_run(json!({})).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    world.api::<Secret>().delete(CA, &DeleteParams::default()).await.unwrap();
    store_becomes(&world, "created again", |store| store.current.published_at.is_some()).await;
    world.webhook_is_active().await;
    let log = manager.log();
    let body = stranger.key_pem().lines().nth(1).unwrap();
    assert!(!log.contains("KEY-----") && !log.contains(body), "a key is logged");
    assert!(log.contains("repaired the stored CA: "), "{log}");
}

#[tokio::test]
async fn ca_recovers_from_clock_jump() {
    let world = World::new().await;
    let now = Timestamp::now();
    let generated =
        |hours: i64| Authority::generate(now.checked_add(SignedDuration::from_hours(hours)).unwrap()).unwrap();
    let store = |authority: Authority, published_at| CaStore::signed_by(Announced { authority, published_at });
    let year = 365 * 24;
    let ahead = now.checked_add(SignedDuration::from_hours(48)).unwrap();
    for (what, store) in [
        ("not yet valid", store(generated(48), Some(now))),
        ("over", store(generated(-year - 1), Some(now))),
        ("published in the future", store(generated(-1), Some(ahead))),
        (
            "in its last minutes",
            store(
                Authority::generate(now.checked_sub(SignedDuration::from_mins(year * 60 - 4)).unwrap()).unwrap(),
                Some(now),
            ),
        ),
    ] {
        put_secret(&world, &secret::encode(&store)).await;
        let manager = world.manager_with(&webhook_options()).await;
        world.webhook_is_active().await;
        let recovered = store_becomes(&world, what, |store| {
            let published_at = store.current.published_at;
            store.current.authority.validity().contains(Timestamp::now())
                && published_at.is_some_and(|at| at <= Timestamp::now())
        })
        .await;
        if what != "published in the future" && what != "in its last minutes" {
            assert_ne!(recovered.current.authority, store.current.authority, "{what}");
        }
        let renewed = manager.metric("nats_manager_webhook_certificate_renewals_total{certificate=\"leaf\"}").await;
        assert!(renewed.is_some_and(|renewed| renewed < 5.0), "{what}: {renewed:?} leaves");
        assert_eq!(manager.terminate().await.unwrap(), Some(0));
    }
}

fn base64(text: &str) -> Value {
    serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap()
}
