//! Every replica's part in the certificates: one that is served, and whether it is trusted.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use nats_manager_certs::{Leaf, LoadOutcome, MountedCertificate, Resolver, Serve, reload, secret::decode};

use super::{
    Certificates, WebhookSettings, authority::data_of, mounted::LOOK_AT_FILES, publish::published_bundle,
    watch::WebhookCaches,
};
use crate::telemetry::{Check, Metrics};

/// Keeps the serving certificate of this replica.
pub(crate) struct ServingCertificate {
    /// What is there.
    pub webhook_caches: Arc<WebhookCaches>,
    /// How the webhook is run.
    pub settings: WebhookSettings,
    /// Serves it.
    pub resolver: Arc<Resolver>,
    /// Passed once a certificate is served that the apiserver trusts.
    pub trusted: Check,
    /// Where renewals are counted.
    pub metrics: Metrics,
}

/// Clocks jump and machines sleep, so a look is never far away.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

impl ServingCertificate {
    /// Runs for as long as it is polled.
    pub(crate) async fn run(self) {
        self.webhook_caches.filled().await;
        let mut changes = self.webhook_caches.subscribe();
        let mut mounted = None;
        let mut last_fault = None;
        loop {
            let pause = match self.settings.certificates.clone() {
                Certificates::Own => self.own(&mut last_fault),
                Certificates::Mounted(directory) => self.mounted(&directory, &mut mounted, &mut last_fault),
            };
            self.report_trust();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = changes.next() => {}
            }
        }
    }

    /// A certificate from the CA in the Secret.
    fn own(&self, last_fault: &mut Option<String>) -> Duration {
        let now = Timestamp::now();
        let data = self.webhook_caches.ca.get().as_deref().map(data_of).unwrap_or_default();
        let store = match decode(&data) {
            Ok(Some(store)) => {
                *last_fault = None;
                store
            }
            Ok(None) => {
                self.trusted.still_waiting("waiting for the leader to make the CA");
                return LOOK_AGAIN;
            }
            Err(corrupt) => {
                self.fault(corrupt.to_string(), last_fault);
                return LOOK_AGAIN;
            }
        };
        let why = match Serve::decide(&store, self.resolver.leaf().as_deref(), now) {
            Serve::Keep { check_in } => return check_in,
            Serve::Issue(why) => why,
        };
        match store.current.authority.issue(&self.settings.reached.names(), now) {
            Ok(leaf) => {
                tracing::info!(?why, "serving a new certificate");
                self.serve(leaf);
            }
            Err(error) => {
                self.fault(error.to_string(), last_fault);
                return LOOK_AGAIN;
            }
        }
        match Serve::decide(&store, self.resolver.leaf().as_deref(), now) {
            Serve::Keep { check_in } => check_in,
            Serve::Issue(why) => {
                // A CA that somebody put there, and that may not sign for this name.
                self.fault(format!("a new certificate of the CA cannot be used: {why:?}"), last_fault);
                LOOK_AGAIN
            }
        }
    }

    /// The certificate that somebody else mounts.
    fn mounted(
        &self,
        directory: &std::path::Path,
        mounted: &mut Option<MountedCertificate>,
        last_fault: &mut Option<String>,
    ) -> Duration {
        match reload(mounted.as_ref(), directory, Timestamp::now()) {
            LoadOutcome::Unchanged => *last_fault = None,
            LoadOutcome::Swapped(new) if !self.is_welcome(&new.leaf) => {
                tracing::debug!("the mounted certificate waits until the webhook configurations trust it");
            }
            LoadOutcome::Swapped(new) => {
                tracing::info!(directory = %directory.display(), "serving the mounted certificate");
                self.serve(new.leaf.clone());
                *mounted = Some(*new);
                *last_fault = None;
            }
            LoadOutcome::KeptLastGood(error) => self.fault(error.to_string(), last_fault),
        }
        LOOK_AT_FILES
    }

    /// Whether to serve this leaf now: one that is trusted is not given up for one that is not.
    fn is_welcome(&self, leaf: &Leaf) -> bool {
        let now = Timestamp::now();
        let published = published_bundle(&self.webhook_caches);
        let served = self.resolver.leaf();
        !self.settings.managed
            || published.verify(leaf, now).is_ok()
            || served.is_none_or(|served| published.verify(&served, now).is_err())
    }

    fn serve(&self, leaf: Leaf) {
        self.metrics.certificate_renewed("leaf");
        self.metrics.set_certificate_expiry("leaf", leaf.validity().not_after.as_second());
        self.resolver.swap(leaf);
    }

    /// Said once, not at each look.
    fn fault(&self, fault: String, last_fault: &mut Option<String>) {
        self.trusted.still_waiting(fault.clone());
        if last_fault.as_ref() != Some(&fault) {
            tracing::warn!(fault, "cannot use the webhook's certificate; keeping the last good one");
            self.metrics.certificate_failed();
            *last_fault = Some(fault);
        }
    }

    fn report_trust(&self) {
        let Some(leaf) = self.resolver.leaf() else { return };
        let name = self.settings.reached.server_name();
        if !leaf.is_for(&name) {
            return self.trusted.still_waiting(format!("the certificate is not for {name}"));
        }
        if !self.settings.managed {
            // Who owns the configurations sees to their bundles.
            return self.trusted.pass();
        }
        match published_bundle(&self.webhook_caches).verify(&leaf, Timestamp::now()) {
            Ok(()) => self.trusted.pass(),
            Err(error) => {
                self.trusted
                    .still_waiting(format!("the webhook configurations do not trust the certificate yet: {error}"));
            }
        }
    }
}
