//! Certificates, every replica's part: the serving certificate, and whether the apiserver trusts it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use nats_manager_certs::{
    CaStore, Leaf, LoadOutcome, MountedCertificate, Resolver, Serve, TrustBundle, may_replace, reload, secret::decode,
};

use super::{
    Certificates, WebhookSettings,
    announcement::{Announcer, Requirement},
    ca_secret::CaSecret,
    mounted::FILE_POLL_INTERVAL,
    propagated::PropagatedBundle,
    publish::published_bundle,
    watch::WebhookCaches,
};
use crate::telemetry::{Check, Metrics};

/// Controller of this replica's serving certificate.
pub(crate) struct ServingCertificate {
    /// Caches of the Secret and the configurations.
    pub webhook_caches: Arc<WebhookCaches>,
    /// Secret with the CA.
    pub secret: CaSecret,
    pub settings: WebhookSettings,
    /// Resolver through which the server presents the certificate.
    pub resolver: Arc<Resolver>,
    /// Readiness check that passes once the apiserver trusts the served certificate.
    pub trusted: Check,
    pub metrics: Metrics,
}

/// Longest delay until the next check, because clocks jump and machines are suspended.
const RECHECK_INTERVAL: Duration = Duration::from_mins(1);

impl ServingCertificate {
    /// Keeps a valid certificate served for as long as it is polled.
    pub(crate) async fn run(self) {
        self.webhook_caches.filled().await;
        let mut changes = self.webhook_caches.subscribe();
        let mut announcer = Announcer::new(self.secret.clone(), self.settings.clone());
        let mut propagated = PropagatedBundle::new(Instant::now());
        let (mut mounted, mut last_fault, mut last_error) = (None, None, None);
        loop {
            let propagated = propagated.observe(published_bundle(&self.webhook_caches), Instant::now());
            let (delay, requirement) = match self.settings.certificates.clone() {
                Certificates::Own => self.own(&propagated, &mut last_fault),
                Certificates::Mounted(directory) => {
                    self.mounted(&directory, &mut mounted, &propagated, &mut last_fault)
                }
            };
            self.report_trust();
            let next_check = announcer.meet(&requirement).await;
            let delay = delay.min(*next_check.as_ref().unwrap_or(&FILE_POLL_INTERVAL));
            let error = next_check.err().map(|error| error.to_string());
            if let Some(error) = error.as_ref().filter(|_| error != last_error) {
                tracing::warn!(error, "failed to announce the CA of this replica, trying again");
            }
            last_error = error;
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = changes.next() => {}
            }
        }
    }

    /// Serves a certificate of the CA in the Secret. Returns the delay until the next check, and the requirement of the
    /// certificate.
    fn own(&self, propagated: &TrustBundle, last_fault: &mut Option<String>) -> (Duration, Requirement) {
        let now = Timestamp::now();
        match decode(&self.secret.data()) {
            Ok(Some(store)) => {
                *last_fault = None;
                let authority = &store.current.authority;
                let requirement = if authority.validity().contains(now) {
                    Requirement::Trust(vec![authority.certificate().clone()])
                } else {
                    Requirement::Authority
                };
                (self.renew(&store, propagated, now, last_fault), requirement)
            }
            Ok(None) => {
                self.trusted.still_waiting("waiting for the leader to create the CA");
                (RECHECK_INTERVAL, Requirement::Authority)
            }
            Err(corrupt) => {
                self.fault(corrupt.to_string(), last_fault);
                (RECHECK_INTERVAL, Requirement::Authority)
            }
        }
    }

    /// Issues and serves another certificate if one is due. Returns the delay until the next check.
    fn renew(
        &self,
        store: &CaStore,
        propagated: &TrustBundle,
        now: Timestamp,
        last_fault: &mut Option<String>,
    ) -> Duration {
        let reason = match Serve::decide(store, self.resolver.leaf().as_deref(), now) {
            Serve::Keep { check_in } => return check_in,
            Serve::Issue(reason) => reason,
        };
        match store.current.authority.issue(&self.settings.reached.names(), now) {
            Ok(leaf) if !self.may_serve(&leaf, propagated) => {
                tracing::debug!(?reason, "waiting until the webhook configurations trust the CA");
                return FILE_POLL_INTERVAL;
            }
            Ok(leaf) => {
                tracing::info!(?reason, "serving a new certificate");
                self.serve(leaf);
            }
            Err(error) => {
                self.fault(error.to_string(), last_fault);
                return RECHECK_INTERVAL;
            }
        }
        match Serve::decide(store, self.resolver.leaf().as_deref(), now) {
            Serve::Keep { check_in } => check_in,
            Serve::Issue(reason) => {
                // The CA in the Secret comes from elsewhere, and may not sign for this name.
                self.fault(format!("a new certificate of the CA cannot be used: {reason:?}"), last_fault);
                RECHECK_INTERVAL
            }
        }
    }

    /// Serves the certificate in the mounted directory. Returns the delay until the next check, and the requirement of
    /// the certificate.
    fn mounted(
        &self,
        directory: &std::path::Path,
        mounted: &mut Option<MountedCertificate>,
        propagated: &TrustBundle,
        last_fault: &mut Option<String>,
    ) -> (Duration, Requirement) {
        let now = Timestamp::now();
        let requirement = |certificate: &MountedCertificate| Requirement::Trust(certificate.authorities(now));
        match reload(mounted.as_ref(), directory, now) {
            LoadOutcome::Unchanged => *last_fault = None,
            LoadOutcome::Swapped(new) if !self.may_serve(&new.leaf, propagated) => {
                tracing::debug!("waiting until the webhook configurations trust the mounted certificate");
                return (FILE_POLL_INTERVAL, requirement(&new));
            }
            LoadOutcome::Swapped(new) => {
                tracing::info!(directory = %directory.display(), "serving the mounted certificate");
                self.serve(new.leaf.clone());
                *mounted = Some(*new);
                *last_fault = None;
            }
            LoadOutcome::KeptLastGood(error) => self.fault(error.to_string(), last_fault),
        }
        (FILE_POLL_INTERVAL, mounted.as_ref().map_or(Requirement::Nothing, requirement))
    }

    /// Returns whether to serve this leaf now. `propagated` is the part of the published bundle that apiservers have
    /// read.
    fn may_serve(&self, new: &Leaf, propagated: &TrustBundle) -> bool {
        let (served, published) = (self.resolver.leaf(), published_bundle(&self.webhook_caches));
        !self.settings.managed || may_replace(served.as_deref(), new, &published, propagated, Timestamp::now())
    }

    /// Presents a leaf from the next handshake on.
    fn serve(&self, leaf: Leaf) {
        self.metrics.certificate_renewed("leaf");
        self.metrics.set_certificate_expiry("leaf", leaf.validity().not_after.as_second());
        self.resolver.swap(leaf);
    }

    /// Records a fault. The same fault is logged and counted once, not at each check.
    fn fault(&self, fault: String, last_fault: &mut Option<String>) {
        self.trusted.still_waiting(fault.clone());
        if last_fault.as_ref() != Some(&fault) {
            tracing::warn!(fault, "failed to load the webhook's certificate, keeping the last good one");
            self.metrics.certificate_failed();
            *last_fault = Some(fault);
        }
    }

    /// Passes the readiness check, or updates its reason.
    fn report_trust(&self) {
        let Some(leaf) = self.resolver.leaf() else { return };
        let name = self.settings.reached.server_name();
        if !leaf.is_for(&name) {
            return self.trusted.still_waiting(format!("the certificate is not for {name}"));
        }
        if !self.settings.managed {
            // The owner of the configurations is responsible for their bundles.
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
