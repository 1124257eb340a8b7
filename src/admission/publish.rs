//! Publication of the webhook configurations: created if missing, replaced as a whole if anything differs.

use k8s_openapi::{
    api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::Timestamp,
};
use kube::{Api, Client, Resource, ResourceExt, api::Patch};
use nats_manager_certs::{
    TrustBundle,
    secret::{Data, decode},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    WebhookSettings,
    configuration::{CONFIGURATION, PublishedWebhook},
    watch::WebhookCaches,
};
use crate::{field_manager, watch::CachedObject};

/// Publishes both configurations. Sends a request only for one that differs, and returns whether anything was written.
pub(super) async fn publish(
    client: &Client,
    webhook_caches: &WebhookCaches,
    published: &PublishedWebhook,
) -> Result<bool, kube::Error> {
    let api = Api::all(client.clone());
    let mutating =
        ensure(&api, &webhook_caches.mutating, published.mutating(), |live, desired| live.webhooks == desired.webhooks)
            .await?;
    let api = Api::all(client.clone());
    let validating = ensure(&api, &webhook_caches.validating, published.validating(), |live, desired| {
        live.webhooks == desired.webhooks
    })
    .await?;
    Ok(mutating || validating)
}

/// Returns the certificates that the apiserver trusts now: those that the first webhooks of the two configurations have
/// in common. The other webhook, which warns of deletions, fails open and does not count.
pub(super) fn published_bundle(webhook_caches: &WebhookCaches) -> TrustBundle {
    let bundle = |pem: Option<Vec<u8>>| pem.map_or_else(TrustBundle::default, |pem| TrustBundle::readable(&pem));
    TrustBundle::common(&[bundle(mutating_bundle(webhook_caches)), bundle(validating_bundle(webhook_caches))])
}

/// Returns the published bundle, or the stored one if others publish it: that is not observable.
pub(super) fn published_or_stored(
    webhook_caches: &WebhookCaches,
    settings: &WebhookSettings,
    data: &Data,
    now: Timestamp,
) -> TrustBundle {
    if settings.managed {
        return published_bundle(webhook_caches);
    }
    decode(data).ok().flatten().map(|store| store.bundle_at(now)).unwrap_or_default()
}

fn mutating_bundle(webhook_caches: &WebhookCaches) -> Option<Vec<u8>> {
    let live: std::sync::Arc<MutatingWebhookConfiguration> = webhook_caches.mutating.get()?;
    Some(live.webhooks.as_ref()?.first()?.client_config.ca_bundle.as_ref()?.0.clone())
}

fn validating_bundle(webhook_caches: &WebhookCaches) -> Option<Vec<u8>> {
    let live: std::sync::Arc<ValidatingWebhookConfiguration> = webhook_caches.validating.get()?;
    Some(live.webhooks.as_ref()?.first()?.client_config.ca_bundle.as_ref()?.0.clone())
}

/// Creates or replaces a configuration, and returns whether it was written. `has_same_webhooks` compares all but
/// metadata.
async fn ensure<K>(
    api: &Api<K>,
    slot: &CachedObject<K>,
    mut desired: K,
    has_same_webhooks: impl Fn(&K, &K) -> bool,
) -> Result<bool, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let kind = K::kind(&());
    let written = match slot.get() {
        Some(live) if has_same_webhooks(&live, &desired) && has_same_metadata(live.as_ref(), &desired) => {
            return Ok(false);
        }
        Some(live) => {
            tracing::info!(%kind, "repairing the webhook configuration");
            // As a whole, so that additions by others to the webhooks are removed as well.
            *desired.meta_mut() = merged_metadata(live.meta(), desired.meta());
            api.replace(CONFIGURATION, &field_manager::post(), &desired).await?
        }
        None => {
            tracing::info!(%kind, "creating the webhook configuration");
            // RBAC allows an apply by name, but a create only for every name.
            api.patch(CONFIGURATION, &field_manager::apply(), &Patch::Apply(&desired)).await?
        }
    };
    slot.written(written);
    Ok(true)
}

/// Merges the desired metadata into the live metadata. Additions by others stay, and so does the `resourceVersion`,
/// with which a concurrent write causes a conflict.
fn merged_metadata(live: &ObjectMeta, desired: &ObjectMeta) -> ObjectMeta {
    let mut meta = live.clone();
    meta.labels.get_or_insert_default().extend(desired.labels.iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
    meta.owner_references.clone_from(&desired.owner_references);
    meta
}

/// Returns whether the desired labels and the owner are there. Labels by others do not count.
fn has_same_metadata<K: Resource>(live: &K, desired: &K) -> bool {
    desired.labels().iter().all(|(key, value)| live.labels().get(key) == Some(value))
        && live.owner_references() == desired.owner_references()
}
