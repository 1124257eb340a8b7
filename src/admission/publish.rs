//! Makes the configurations what they should be: created where there is none, replaced whole where
//! anything differs.

use k8s_openapi::{
    api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use nats_manager_api::naming::FIELD_MANAGER;
use nats_manager_certs::TrustBundle;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    configuration::{CONFIGURATION, PublishedWebhook},
    watch::WebhookCaches,
};
use crate::watch::CachedObject;

/// Publishes both configurations; requests only what differs, and says whether anything did.
pub(super) async fn publish(
    client: &Client,
    webhook_caches: &WebhookCaches,
    published: &PublishedWebhook,
) -> Result<bool, kube::Error> {
    let api = Api::all(client.clone());
    let mutating =
        make(&api, &webhook_caches.mutating, published.mutating(), |live, wanted| live.webhooks == wanted.webhooks)
            .await?;
    let api = Api::all(client.clone());
    let validating =
        make(&api, &webhook_caches.validating, published.validating(), |live, wanted| live.webhooks == wanted.webhooks)
            .await?;
    Ok(mutating || validating)
}

/// What the apiserver trusts now: what the bundles of the first webhook in each have in common.
/// Without an answer to the other, which warns of deletions, everything goes on.
pub(super) fn published_bundle(webhook_caches: &WebhookCaches) -> TrustBundle {
    let bundle = |pem: Option<Vec<u8>>| pem.map_or_else(TrustBundle::default, |pem| TrustBundle::readable(&pem));
    TrustBundle::common(&[bundle(mutating_bundle(webhook_caches)), bundle(validating_bundle(webhook_caches))])
}

fn mutating_bundle(webhook_caches: &WebhookCaches) -> Option<Vec<u8>> {
    let live: std::sync::Arc<MutatingWebhookConfiguration> = webhook_caches.mutating.get()?;
    Some(live.webhooks.as_ref()?.first()?.client_config.ca_bundle.as_ref()?.0.clone())
}

fn validating_bundle(webhook_caches: &WebhookCaches) -> Option<Vec<u8>> {
    let live: std::sync::Arc<ValidatingWebhookConfiguration> = webhook_caches.validating.get()?;
    Some(live.webhooks.as_ref()?.first()?.client_config.ca_bundle.as_ref()?.0.clone())
}

async fn make<K>(
    api: &Api<K>,
    slot: &CachedObject<K>,
    mut wanted: K,
    same_webhooks: impl Fn(&K, &K) -> bool,
) -> Result<bool, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let kind = K::kind(&());
    let written = match slot.get() {
        Some(live) if same_webhooks(&live, &wanted) && same_metadata(live.as_ref(), &wanted) => return Ok(false),
        Some(live) => {
            tracing::info!(%kind, "mending the webhook configuration");
            // Whole, so that what somebody added to the webhooks goes as well.
            *wanted.meta_mut() = mended(live.meta(), wanted.meta());
            api.replace(CONFIGURATION, &parameters(), &wanted).await?
        }
        None => {
            tracing::info!(%kind, "creating the webhook configuration");
            // An apply is allowed by name, a plain creation only for every name.
            let apply = PatchParams::apply(FIELD_MANAGER).force();
            api.patch(CONFIGURATION, &apply, &Patch::Apply(&wanted)).await?
        }
    };
    slot.written(written);
    Ok(true)
}

/// What others put beside the webhooks stays; so does the version, against a write in between.
fn mended(live: &ObjectMeta, wanted: &ObjectMeta) -> ObjectMeta {
    let mut meta = live.clone();
    meta.labels.get_or_insert_default().extend(wanted.labels.iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
    meta.owner_references.clone_from(&wanted.owner_references);
    meta
}

/// Labels of others are theirs; ours, and the owner, must be there.
fn same_metadata<K: Resource>(live: &K, wanted: &K) -> bool {
    wanted.labels().iter().all(|(key, value)| live.labels().get(key) == Some(value))
        && live.owner_references() == wanted.owner_references()
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
