//! The leader's part in the certificates: the CA, and the bundle that the apiserver trusts.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use nats_manager_api::naming::FIELD_MANAGER;
use nats_manager_certs::{
    AuthorityError, CaStore, RotationStep, StoreChange, TrustBundle, plan,
    secret::{Data, decode, encode},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    CA_SECRET, Certificates, WebhookSettings,
    configuration::{PublishedWebhook, labels},
    mounted::{LOOK_AT_FILES, MountedBundle},
    publish::{publish, published_bundle},
    watch::WebhookCaches,
    write_throttle::WriteThrottle,
};
use crate::{
    error_message::summary,
    telemetry::{Check, Metrics},
};

/// The ServiceAccount that the manager runs under.
const SERVICE_ACCOUNT: &str = "nats-manager";

/// What the leader needs for it.
#[derive(Clone)]
pub(crate) struct CaController {
    /// For the Secret and the configurations.
    pub client: Client,
    /// What is there.
    pub webhook_caches: Arc<WebhookCaches>,
    /// How the webhook is run.
    pub settings: WebhookSettings,
    /// The manager's own namespace.
    pub own_namespace: String,
    /// Told what stands in the way, for as long as this replica never served a trusted certificate.
    pub trusted: Check,
    /// Where renewals are counted.
    pub metrics: Metrics,
}

/// The CA or the configurations could not be brought up to date.
#[derive(Debug, thiserror::Error)]
enum CaError {
    #[error("cannot make a CA: {0}")]
    Authority(#[from] AuthorityError),
    #[error("cannot write the Secret {CA_SECRET}: {}", summary(.0))]
    Secret(kube::Error),
    #[error("cannot write the webhook configurations: {}", summary(.0))]
    Configuration(kube::Error),
    #[error("cannot publish the mounted certificates: {0}")]
    Mounted(String),
}

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Changes come in bursts.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

impl CaController {
    /// Keeps the CA and the configurations, for as long as it is polled: run it while leading.
    pub(crate) async fn run(self) {
        self.webhook_caches.filled().await;
        let mut changes = self.webhook_caches.subscribe();
        let mut mounted = MountedBundle::default();
        let mut retry = FIRST_RETRY;
        let mut write_throttle = WriteThrottle::new();
        let mut last_error = None;
        loop {
            let (pause, wrote) = match self.step(&mut mounted).await {
                Ok(done) => {
                    retry = FIRST_RETRY;
                    last_error = None;
                    done
                }
                Err(error) => {
                    if error.is_conflict() {
                        tracing::debug!(%error, "somebody else was first, looking again");
                    } else {
                        self.failed(error.to_string(), &mut last_error);
                    }
                    // What changes meanwhile may be what is missing.
                    let _ = timeout(retry, changes.next()).await;
                    sleep(BETWEEN_LOOKS).await;
                    retry = (retry * 2).min(LONGEST_RETRY);
                    continue;
                }
            };
            if wrote {
                sleep(write_throttle.after_a_write(Instant::now())).await;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = changes.next() => sleep(BETWEEN_LOOKS).await,
            }
        }
    }

    /// One write at most of the Secret, then the publication; how long until the next look, and
    /// whether a configuration was written.
    async fn step(&self, mounted: &mut MountedBundle) -> Result<(Duration, bool), CaError> {
        if let Certificates::Mounted(directory) = &self.settings.certificates {
            return Ok((LOOK_AT_FILES, self.publish_mounted(directory, mounted).await?));
        }
        let Some(live) = self.webhook_caches.ca.get() else {
            self.create().await.map_err(CaError::Secret)?;
            return Ok((Duration::ZERO, false));
        };
        let data = data_of(&live);
        let published = if self.settings.managed {
            published_bundle(&self.webhook_caches)
        } else {
            // Somebody else publishes; that it is done cannot be seen.
            decode(&data).ok().flatten().map(|store| store.bundle()).unwrap_or_default()
        };
        match plan(&data, &published, Timestamp::now())? {
            RotationStep::Write { store, change } => {
                self.write(&live, &store).await.map_err(CaError::Secret)?;
                tracing::info!(%change, "the webhook's CA");
                if !matches!(
                    change,
                    StoreChange::ClockWentBack
                        | StoreChange::Published
                        | StoreChange::Unpublished
                        | StoreChange::Dropped
                ) {
                    self.metrics.certificate_renewed("ca");
                }
                self.observe(&store);
                Ok((Duration::ZERO, self.publish(&store.bundle()).await?))
            }
            RotationStep::Wait { check_in } => {
                let Ok(Some(store)) = decode(&data) else { return Ok((check_in, false)) };
                self.observe(&store);
                Ok((check_in, self.publish(&store.bundle()).await?))
            }
        }
    }

    /// Logged once, not at each attempt.
    fn failed(&self, error: String, last_error: &mut Option<String>) {
        self.metrics.certificate_failed();
        self.trusted.still_waiting(error.clone());
        if last_error.as_ref() != Some(&error) {
            tracing::warn!(error, "cannot keep the webhook's certificates and configurations, trying again");
            *last_error = Some(error);
        }
    }

    fn observe(&self, store: &CaStore) {
        self.metrics.set_certificate_expiry("ca", store.current.authority.validity().not_after.as_second());
    }

    /// With the resourceVersion that we read: of two writers one loses, and reads again.
    async fn write(&self, live: &Secret, store: &CaStore) -> Result<(), kube::Error> {
        let data: BTreeMap<String, ByteString> =
            encode(store).into_iter().map(|(key, value)| (key, ByteString(value))).collect();
        let secret = Secret { data: Some(data), string_data: None, ..live.clone() };
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        self.webhook_caches.ca.written(self.secrets().replace(CA_SECRET, &parameters, &secret).await?);
        Ok(())
    }

    /// The Secret, empty as the manifest ships it: that takes nothing away where somebody made one
    /// meanwhile. An apply can be allowed by name, a plain creation only for every name.
    async fn create(&self) -> Result<(), kube::Error> {
        let mut secret = Secret::default();
        secret.metadata.name = Some(CA_SECRET.to_owned());
        secret.metadata.labels = Some(labels());
        let apply = PatchParams::apply(FIELD_MANAGER).force();
        self.webhook_caches.ca.written(self.secrets().patch(CA_SECRET, &apply, &Patch::Apply(&secret)).await?);
        Ok(())
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.own_namespace)
    }

    async fn publish_mounted(&self, directory: &Path, mounted: &mut MountedBundle) -> Result<bool, CaError> {
        if !self.settings.managed {
            return Ok(false);
        }
        let bundle = mounted.look(directory, std::time::Instant::now()).map_err(CaError::Mounted)?;
        self.publish(&bundle).await
    }

    /// Nothing is published before the definition is there, which owns the configurations.
    async fn publish(&self, bundle: &TrustBundle) -> Result<bool, CaError> {
        let Some(definition) = self.webhook_caches.definition.get().filter(|_| self.settings.managed) else {
            return Ok(false);
        };
        let published = PublishedWebhook {
            reached: self.settings.reached.clone(),
            bundle: bundle.to_pem(),
            definition_uid: definition.metadata.uid.clone().unwrap_or_default(),
            own_user: format!("system:serviceaccount:{}:{SERVICE_ACCOUNT}", self.own_namespace),
        };
        publish(&self.client, &self.webhook_caches, &published).await.map_err(CaError::Configuration)
    }
}

const CONFLICT: u16 = 409;

impl CaError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Secret(kube::Error::Api(status)) | Self::Configuration(kube::Error::Api(status))
            if status.code == CONFLICT)
    }
}

/// The data of the Secret, as the plan reads it.
pub(super) fn data_of(secret: &Secret) -> Data {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), value.0.clone())).collect()
}
