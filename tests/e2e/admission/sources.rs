//! Changes of the source of certificates, of mounted CAs and of the Secret, without lost reviews.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use nats_manager_certs::{Announced, Authority, CaStore, Certificate, TrustBundle, secret, trusted::OVERLAP};
use nats_manager_harness::{Seen, eventually};
use serde_json::json;

use super::{
    certificates::{put_secret, secret_data, store_becomes},
    load::{Load, PER_SECOND},
    mounted::{Issuer, Mount},
    pair::Pair,
    tls::served,
};
use crate::world::{TIMEOUT, World};

/// Limit of a change of the CA that signs: the propagation takes one minute.
const ROTATION: Duration = Duration::from_secs(150);

fn certificate(pem: &str) -> Certificate {
    Certificate::all_from_pem(pem.as_bytes()).unwrap().remove(0)
}

fn mounted(mount: &Mount) -> Vec<String> {
    vec![format!("--webhook-cert-dir={}", mount.folder.path().display())]
}

/// Returns the certificates that the validating configuration trusts.
async fn published(world: &World) -> TrustBundle {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(world.client.clone());
    let webhooks = api.get("nats-manager").await.unwrap().webhooks.unwrap();
    TrustBundle::from_pem(&webhooks[0].client_config.ca_bundle.as_ref().unwrap().0).unwrap()
}

/// Waits until a certificate is in the list of the Secret, and another one is not. Both have to be published.
async fn lists(world: &World, listed: &Certificate, other: &Certificate) {
    eventually("the list of trusted CAs", TIMEOUT, || async {
        let (trusted, published) =
            (secret::trusted(&secret_data(world).await, Timestamp::now()), published(world).await);
        assert!(published.contains(listed) && published.contains(other), "{published:?}");
        let is_complete = trusted.end_of(listed).is_some() && trusted.end_of(other).is_none();
        Ok::<_, String>(if is_complete { Seen::Done(()) } else { Seen::NotYet(format!("{trusted:?}")) })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_to_mounted_certificates_loses_no_review() {
    let world = World::new().await;
    let (issuer, mut mount) = (Issuer::new(), Mount::new());
    let served_pair = issuer.issue();
    mount.swap(&served_pair);
    let mut pair = Pair::start(&world).await;
    world.webhook_is_active().await;
    let store = store_becomes(&world, "the CA is published", |store| store.current.published_at.is_some()).await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;

    let load = Load::start(&world, PER_SECOND).await;
    pair.roll(&world, &mounted(&mount)).await;
    load.end(&world, "change to mounted certificates").await;
    for replica in &pair.replicas {
        assert_eq!(served(replica.port, served_pair.ca.as_bytes()).await.unwrap(), served_pair.der);
    }
    // The leader has the mounted CA itself. The other one is trusted until its end.
    lists(&world, store.current.authority.certificate(), &certificate(&served_pair.ca)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_to_own_certificates_loses_no_review() {
    let world = World::new().await;
    let (issuer, mut mount) = (Issuer::new(), Mount::new());
    let first = issuer.issue();
    mount.swap(&first);
    let args = mounted(&mount);
    let mut pair = Pair::start_with(&world, &[&args, &args]).await;
    world.webhook_is_active().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    assert!(secret_data(&world).await.is_empty(), "nothing to store");

    let load = Load::start(&world, PER_SECOND).await;
    pair.roll(&world, &[]).await;
    load.end(&world, "change to own certificates").await;
    let store = store_becomes(&world, "the CA is published", |store| store.current.published_at.is_some()).await;
    let own = store.current.authority.certificate();
    for replica in &pair.replicas {
        served(replica.port, own.to_pem().as_bytes()).await.unwrap();
    }
    // The CA was made while the mounted one was published, which is retired with it.
    assert!(store.bundle().contains(&certificate(&first.ca)), "{store:?}");
    assert!(published(&world).await.contains(&certificate(&first.ca)));
}

/// The second step of the documented change to cert-manager, and the way back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_of_the_owner_of_the_configurations_loses_no_review() {
    let world = World::new().await;
    let (issuer, mut mount) = (Issuer::new(), Mount::new());
    let first = issuer.issue();
    mount.swap(&first);
    let managed = mounted(&mount);
    let unmanaged = [managed.as_slice(), &["--manage-webhook-configuration=false".to_owned()]].concat();
    let mut pair = Pair::start_with(&world, &[&managed, &managed]).await;
    world.webhook_is_active().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;

    let load = Load::start(&world, PER_SECOND).await;
    for args in [&unmanaged, &managed] {
        pair.roll(&world, args).await;
        assert_eq!(published(&world).await.certificates(), [certificate(&first.ca)], "{args:?}");
    }
    load.end(&world, "change of the owner of the configurations").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_mounted_ca_stays_trusted_across_a_change_of_leader() {
    let world = World::new().await;
    let (old, new) = (Issuer::new(), Issuer::new());
    // As on two nodes, whose kubelets replace the files at different times.
    let mut mounts = [Mount::new(), Mount::new()];
    let first = old.issue();
    for mount in &mut mounts {
        mount.swap(&first);
    }
    let mut pair = Pair::start_with(&world, &[&mounted(&mounts[0])]).await;
    pair.add_with(&world, &mounted(&mounts[1]));
    pair.is_ready().await;
    world.webhook_is_active().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;

    let load = Load::start(&world, PER_SECOND).await;
    let second = new.issue();
    mounts[0].swap(&second);
    let port = pair.replicas[0].port;
    eventually("the leader serves the new certificate", TIMEOUT, || async {
        served(port, second.ca.as_bytes()).await.map(|now| now == second.der)
    })
    .await;
    lists(&world, &certificate(&first.ca), &certificate(&second.ca)).await;
    // The next leader still has the old files.
    assert_eq!(pair.replicas.remove(0).manager.terminate().await.unwrap(), Some(0));
    lists(&world, &certificate(&second.ca), &certificate(&first.ca)).await;
    mounts[1].swap(&second);
    let port = pair.replicas[0].port;
    eventually("the next leader serves the new certificate", TIMEOUT, || async {
        served(port, second.ca.as_bytes()).await.map(|now| now == second.der)
    })
    .await;
    lists(&world, &certificate(&first.ca), &certificate(&second.ca)).await;
    load.end(&world, "another mounted CA and another leader").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_secret_that_is_put_back_loses_no_review() {
    let world = World::new().await;
    let pair = Pair::start(&world).await;
    world.webhook_is_active().await;
    let before = store_becomes(&world, "the CA is published", |store| store.current.published_at.is_some()).await;
    let before = before.current.authority.certificate().clone();
    world.create(json!({})).await;
    world.state_becomes("Ready").await;

    let load = Load::start(&world, PER_SECOND).await;
    // Of an earlier time: its CA was published then, and is not now.
    let earlier = Timestamp::now().checked_sub(SignedDuration::from_hours(24 * 30)).unwrap();
    let older = Authority::generate(earlier).unwrap();
    let store = CaStore::signed_by(Announced { authority: older.clone(), published_at: Some(earlier) });
    put_secret(&world, &secret::encode(&store)).await;
    let older = older.certificate().to_pem();
    for replica in &pair.replicas {
        eventually("its leaf is of the older CA", ROTATION, || async {
            served(replica.port, older.as_bytes()).await.map(|_| true)
        })
        .await;
    }
    load.end(&world, "older Secret").await;
    lists(&world, &before, &certificate(&older)).await;
    let trusted = secret::trusted(&secret_data(&world).await, Timestamp::now());
    assert!(trusted.end_of(&before).unwrap() <= Timestamp::now().checked_add(OVERLAP).unwrap());
}
