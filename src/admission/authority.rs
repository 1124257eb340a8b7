//! Certificates, the leader's part: the CA, and the bundle that the apiserver trusts.

use std::{path::Path, sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use nats_manager_certs::{
    AuthorityError, CaStore, RotationStep, StoreChange, TrustBundle, plan,
    secret::{decode, encode},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    CA_SECRET, Certificates, WebhookSettings,
    ca_secret::{CaSecret, is_conflict},
    configuration::PublishedWebhook,
    mounted::{FILE_POLL_INTERVAL, MountedBundle},
    publish::{publish, published_bundle, published_or_stored},
    watch::WebhookCaches,
    write_throttle::WriteThrottle,
};
use crate::{
    error_message::summary,
    telemetry::{Check, Metrics},
};

/// ServiceAccount of the manager's Pods.
const SERVICE_ACCOUNT: &str = "nats-manager";

/// Controller of the CA and the webhook configurations, which runs on the leader.
#[derive(Clone)]
pub(crate) struct CaController {
    /// Client for the configurations.
    pub client: Client,
    /// Caches of the Secret, the configurations and their owner.
    pub webhook_caches: Arc<WebhookCaches>,
    /// Secret with the CA.
    pub secret: CaSecret,
    pub settings: WebhookSettings,
    /// Namespace of the manager itself.
    pub own_namespace: String,
    /// Readiness check that reports the last error, as long as this replica has never served a trusted certificate.
    pub trusted: Check,
    pub metrics: Metrics,
}

/// Failure to bring the CA or the configurations up to date.
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

/// Delay after the first failure, doubled after each further one up to [`MAX_RETRY`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(30);
/// Delay after a change, because changes come in bursts.
const DEBOUNCE: Duration = Duration::from_millis(500);

impl CaController {
    /// Reconciles the CA and the configurations for as long as it is polled. Run it only while leading.
    pub(crate) async fn run(self) {
        self.webhook_caches.filled().await;
        let mut changes = self.webhook_caches.subscribe();
        let mut mounted = MountedBundle::default();
        let mut retry = FIRST_RETRY;
        let mut write_throttle = WriteThrottle::new();
        let mut last_error = None;
        loop {
            let (delay, has_written) = match self.reconcile(&mut mounted).await {
                Ok(done) => {
                    retry = FIRST_RETRY;
                    last_error = None;
                    done
                }
                Err(error) => {
                    if error.is_conflict() {
                        tracing::debug!(%error, "lost a write conflict, trying again");
                    } else {
                        self.failed(error.to_string(), &mut last_error);
                    }
                    // A change in the meantime may remove the cause.
                    let _ = timeout(retry, changes.next()).await;
                    sleep(DEBOUNCE).await;
                    retry = (retry * 2).min(MAX_RETRY);
                    continue;
                }
            };
            if has_written {
                sleep(write_throttle.delay_after_write(Instant::now())).await;
            }
            tokio::select! {
                () = sleep(delay) => {}
                () = changes.next() => sleep(DEBOUNCE).await,
            }
        }
    }

    /// Writes the Secret at most once, then publishes. Returns the delay until the next call, and whether a
    /// configuration was written.
    async fn reconcile(&self, mounted: &mut MountedBundle) -> Result<(Duration, bool), CaError> {
        if let Certificates::Mounted(directory) = &self.settings.certificates {
            return Ok((FILE_POLL_INTERVAL, self.publish_mounted(directory, mounted).await?));
        }
        let secret = &self.secret;
        if self.webhook_caches.ca.get().is_none() {
            secret.create().await.map_err(CaError::Secret)?;
            return Ok((Duration::ZERO, false));
        }
        let (data, now) = (secret.data(), Timestamp::now());
        match plan(&data, &published_or_stored(&self.webhook_caches, &self.settings, &data, now), now)? {
            RotationStep::Write { store, change } => {
                secret.write(encode(&store)).await.map_err(CaError::Secret)?;
                tracing::info!(%change, "updated the webhook's CA");
                if !matches!(
                    change,
                    StoreChange::ClockWentBack
                        | StoreChange::Published
                        | StoreChange::Unpublished
                        | StoreChange::Dropped
                        | StoreChange::Trusted
                ) {
                    self.metrics.certificate_renewed("ca");
                }
                self.observe(&store);
                Ok((Duration::ZERO, self.publish(&store.bundle_at(now)).await?))
            }
            RotationStep::Wait { check_in } => {
                let Ok(Some(store)) = decode(&data) else { return Ok((check_in, false)) };
                self.observe(&store);
                Ok((check_in, self.publish(&store.bundle_at(now)).await?))
            }
        }
    }

    /// Records a failure. The same error is logged once, not at each attempt.
    fn failed(&self, error: String, last_error: &mut Option<String>) {
        self.metrics.certificate_failed();
        self.trusted.still_waiting(error.clone());
        if last_error.as_ref() != Some(&error) {
            tracing::warn!(error, "failed to reconcile the webhook's certificates and configurations, trying again");
            *last_error = Some(error);
        }
    }

    /// Reports the expiry of the current CA as a metric.
    fn observe(&self, store: &CaStore) {
        self.metrics.set_certificate_expiry("ca", store.current.authority.validity().not_after.as_second());
    }

    /// Publishes the mounted CAs and those of other sources. The latter include what is published and not mounted any
    /// more, or what a leader with another source has published.
    async fn publish_mounted(&self, directory: &Path, mounted: &mut MountedBundle) -> Result<bool, CaError> {
        if !self.settings.managed {
            return Ok(false);
        }
        let source = mounted.read(directory).map_err(CaError::Mounted)?;
        let (secret, now) = (&self.secret, Timestamp::now());
        let stored = secret.trusted();
        let trusted = stored.reviewed(&source, &published_bundle(&self.webhook_caches), now);
        let additional = trusted.bundle_at(now);
        let bundle = source.certificates().iter().chain(additional.certificates()).cloned().collect();
        // Published also if the list cannot be stored: what is published now stays in the bundle then.
        let written = if trusted == stored { Ok(()) } else { secret.write_trusted(trusted).await };
        let has_written = self.publish(&bundle).await?;
        written.map_err(CaError::Secret)?;
        Ok(has_written)
    }

    /// Publishes the bundle, and returns whether anything was written. Nothing is published without the owner of the
    /// configurations: the manager is being removed then, or not completely installed.
    async fn publish(&self, bundle: &TrustBundle) -> Result<bool, CaError> {
        let Some(owner) = self.webhook_caches.owner.get().filter(|_| self.settings.managed) else {
            return Ok(false);
        };
        let published = PublishedWebhook {
            reached: self.settings.reached.clone(),
            bundle: bundle.to_pem(),
            owner_uid: owner.metadata.uid.clone().unwrap_or_default(),
            own_user: format!("system:serviceaccount:{}:{SERVICE_ACCOUNT}", self.own_namespace),
        };
        publish(&self.client, &self.webhook_caches, &published).await.map_err(CaError::Configuration)
    }
}

impl CaError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Secret(error) | Self::Configuration(error) if is_conflict(error))
    }
}
