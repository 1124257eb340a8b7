//! Secret with the CA: reads from its cache, and writes with a precondition.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};
use kube::{Api, Client, api::Patch};
use nats_manager_api::naming;
use nats_manager_certs::{TrustedCas, secret, secret::Data};

use super::{CA_SECRET, watch::WebhookCaches};
use crate::field_manager;

/// Secret with the CA, and with the CAs of other sources.
#[derive(Clone)]
pub(crate) struct CaSecret {
    pub client: Client,
    /// Caches, one of which is that of the Secret.
    pub webhook_caches: Arc<WebhookCaches>,
    /// Namespace of the Secret.
    pub namespace: String,
}

impl CaSecret {
    /// Returns the data of the Secret, empty if it does not exist.
    pub(super) fn data(&self) -> Data {
        self.webhook_caches.ca.get().as_deref().map(data_of).unwrap_or_default()
    }

    /// Replaces the data at the `resourceVersion` that is cached. Of two writers one gets a conflict and reads again.
    /// Without a Secret, creates it first.
    pub(super) async fn write(&self, data: Data) -> Result<(), kube::Error> {
        if self.webhook_caches.ca.get().is_none() {
            self.create().await?;
        }
        let Some(live) = self.webhook_caches.ca.get() else { return Ok(()) };
        let data: BTreeMap<String, ByteString> =
            data.into_iter().map(|(key, value)| (key, ByteString(value))).collect();
        let secret = Secret { data: Some(data), string_data: None, ..live.as_ref().clone() };
        self.webhook_caches.ca.written(self.secrets().replace(CA_SECRET, &field_manager::post(), &secret).await?);
        Ok(())
    }

    /// Replaces the list of CAs of other sources. All other data stays.
    pub(super) async fn write_trusted(&self, trusted: TrustedCas) -> Result<(), kube::Error> {
        self.write(secret::with_trusted(&self.data(), trusted)).await
    }

    /// Creates the Secret without data, as the manifest ships it. An apply removes nothing from a Secret that was
    /// created in the meantime. RBAC can allow an apply by name, but a create only for every name.
    pub(super) async fn create(&self) -> Result<(), kube::Error> {
        let mut secret = Secret::default();
        secret.metadata.name = Some(CA_SECRET.to_owned());
        secret.metadata.labels = Some(naming::webhook_labels());
        let secret = self.secrets().patch(CA_SECRET, &field_manager::apply(), &Patch::Apply(&secret)).await?;
        self.webhook_caches.ca.written(secret);
        Ok(())
    }

    /// Returns the CAs of other sources.
    pub(super) fn trusted(&self) -> TrustedCas {
        secret::trusted(&self.data(), Timestamp::now())
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// Returns the data of the Secret in the form that the certificate crate reads.
fn data_of(secret: &Secret) -> Data {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

const CONFLICT: u16 = 409;

/// Returns whether another client has written the object since it was read.
pub(super) fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == CONFLICT)
}
