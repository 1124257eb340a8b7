//! Makes the configurations what they should be: created where there is none, replaced whole where
//! anything differs.

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use nats_manager_api::naming::FIELD_MANAGER;
use nats_manager_certs::TrustBundle;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    configuration::{CONFIGURATION, Published},
    watch::Caches,
};
use crate::controller::watch::Named;

/// Publishes both configurations; requests only what differs.
pub(super) async fn publish(client: &Client, caches: &Caches, published: &Published) -> Result<(), kube::Error> {
    let api = Api::all(client.clone());
    make(&api, &caches.mutating, published.mutating(), |live, wanted| live.webhooks == wanted.webhooks).await?;
    let api = Api::all(client.clone());
    make(&api, &caches.validating, published.validating(), |live, wanted| live.webhooks == wanted.webhooks).await
}

/// What the apiserver trusts now: the bundle of each webhook.
pub(super) fn bundles(caches: &Caches) -> [TrustBundle; 2] {
    let bundle = |pem: Option<Vec<u8>>| pem.map_or_else(TrustBundle::default, |pem| TrustBundle::readable(&pem));
    [bundle(mutating_bundle(caches)), bundle(validating_bundle(caches))]
}

fn mutating_bundle(caches: &Caches) -> Option<Vec<u8>> {
    let live: std::sync::Arc<MutatingWebhookConfiguration> = caches.mutating.get()?;
    Some(live.webhooks.as_ref()?.first()?.client_config.ca_bundle.as_ref()?.0.clone())
}

fn validating_bundle(caches: &Caches) -> Option<Vec<u8>> {
    let live: std::sync::Arc<ValidatingWebhookConfiguration> = caches.validating.get()?;
    Some(live.webhooks.as_ref()?.first()?.client_config.ca_bundle.as_ref()?.0.clone())
}

async fn make<K>(
    api: &Api<K>,
    slot: &Named<K>,
    mut wanted: K,
    same_webhooks: impl Fn(&K, &K) -> bool,
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let kind = K::kind(&());
    let written = match slot.get() {
        Some(live) if same_webhooks(&live, &wanted) && same_metadata(live.as_ref(), &wanted) => return Ok(()),
        Some(live) => {
            tracing::info!(%kind, "mending the webhook configuration");
            // Whole, so that what somebody added goes as well.
            wanted.meta_mut().resource_version = live.resource_version();
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
    Ok(())
}

/// Labels of others are theirs; ours, and the owner, must be there.
fn same_metadata<K: Resource>(live: &K, wanted: &K) -> bool {
    wanted.labels().iter().all(|(key, value)| live.labels().get(key) == Some(value))
        && live.owner_references() == wanted.owner_references()
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
