//! The leader's part in the certificates: the CA, and the bundle that the apiserver trusts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use nats_manager_api::naming::FIELD_MANAGER;
use nats_manager_certs::{
    AuthorityError, Step, Store, TrustBundle, plan,
    secret::{Data, decode, encode},
};

use super::{
    CA_SECRET, Certificates, Settings,
    configuration::Published,
    publish::{bundles, publish},
    watch::Caches,
};
use crate::telemetry::Metrics;

/// The ServiceAccount that the manager runs under.
const SERVICE_ACCOUNT: &str = "nats-manager";

/// What the leader needs for it.
#[derive(Clone)]
pub struct Keeper {
    /// For the Secret and the configurations.
    pub client: Client,
    /// What is there.
    pub caches: Arc<Caches>,
    /// How the webhook is run.
    pub settings: Settings,
    /// The manager's own namespace.
    pub own_namespace: String,
    /// Where renewals are counted.
    pub metrics: Metrics,
}

/// The CA or the configurations could not be brought up to date.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("cannot make a CA: {0}")]
    Authority(#[from] AuthorityError),
    #[error("cannot write the Secret {CA_SECRET}: {0}")]
    Secret(kube::Error),
    #[error("cannot write the webhook configurations: {0}")]
    Configuration(kube::Error),
}

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Against somebody who changes the configurations each time that we mend them.
const BETWEEN_WRITES: Duration = Duration::from_millis(500);
/// Clocks jump and machines sleep, so a look is never far away.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Keeper {
    /// Keeps the CA and the configurations, for as long as it is polled: run it while leading.
    pub async fn run(self) {
        self.caches.filled().await;
        let mut changes = self.caches.subscribe();
        let mut retry = FIRST_RETRY;
        loop {
            let pause = match self.step().await {
                Ok(pause) => {
                    retry = FIRST_RETRY;
                    pause
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot keep the webhook's certificates and configurations, trying again");
                    self.metrics.certificate_failed();
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(LONGEST_RETRY);
                    continue;
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = changes.next() => tokio::time::sleep(BETWEEN_WRITES).await,
            }
        }
    }

    /// One write at most of the Secret, then the publication; how long until the next look.
    async fn step(&self) -> Result<Duration, KeepError> {
        if let Certificates::Mounted(directory) = &self.settings.certificates {
            let bundle = tokio::fs::read(directory.join("ca.crt")).await.unwrap_or_default();
            self.publish(&TrustBundle::readable(&bundle)).await?;
            return Ok(LOOK_AGAIN);
        }
        let live = self.caches.ca.get();
        let data = live.as_deref().map(data_of).unwrap_or_default();
        let published = if self.settings.managed {
            TrustBundle::common(&bundles(&self.caches))
        } else {
            // Somebody else publishes; that it is done cannot be seen.
            decode(&data).ok().flatten().map(|store| store.bundle()).unwrap_or_default()
        };
        match plan(&data, &published, Timestamp::now())? {
            Step::Write { store, change } => {
                tracing::info!(%change, "the webhook's CA");
                self.write(live.as_deref(), &store).await.map_err(KeepError::Secret)?;
                self.metrics.certificate_renewed("ca");
                self.observe(&store);
                self.publish(&store.bundle()).await?;
                Ok(Duration::ZERO)
            }
            Step::Wait { check_in } => {
                if let Ok(Some(store)) = decode(&data) {
                    self.observe(&store);
                    self.publish(&store.bundle()).await?;
                }
                Ok(check_in)
            }
        }
    }

    fn observe(&self, store: &Store) {
        self.metrics.set_certificate_expiry("ca", store.current.authority.validity().not_after.as_second());
    }

    async fn write(&self, live: Option<&Secret>, store: &Store) -> Result<(), kube::Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.own_namespace);
        let data: BTreeMap<String, ByteString> =
            encode(store).into_iter().map(|(key, value)| (key, ByteString(value))).collect();
        let written = if let Some(live) = live {
            // With the resourceVersion that we read: of two writers one loses, and reads again.
            let secret = Secret { data: Some(data), string_data: None, ..live.clone() };
            let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
            api.replace(CA_SECRET, &parameters, &secret).await?
        } else {
            let mut secret = Secret { data: Some(data), ..Secret::default() };
            secret.metadata.name = Some(CA_SECRET.to_owned());
            // Not by force: of two writers one loses, and reads again.
            api.patch(CA_SECRET, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&secret)).await?
        };
        self.caches.ca.written(written);
        Ok(())
    }

    /// Nothing is published before the definition is there, which owns the configurations.
    async fn publish(&self, bundle: &TrustBundle) -> Result<(), KeepError> {
        let Some(definition) = self.caches.definition.get().filter(|_| self.settings.managed) else { return Ok(()) };
        let published = Published {
            reached: self.settings.reached.clone(),
            bundle: bundle.to_pem(),
            definition_uid: definition.metadata.uid.clone().unwrap_or_default(),
            own_user: format!("system:serviceaccount:{}:{SERVICE_ACCOUNT}", self.own_namespace),
        };
        publish(&self.client, &self.caches, &published).await.map_err(KeepError::Configuration)
    }
}

/// The data of the Secret, as the plan reads it.
pub(super) fn data_of(secret: &Secret) -> Data {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), value.0.clone())).collect()
}
