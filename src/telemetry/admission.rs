//! Metrics of the admission webhook and its certificates.

use std::time::Duration;

use nats_manager_webhook::{Observer, Rejection, ReviewOutcome, WebhookKind};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::Metrics;

/// Part of [`Metrics`] that is about admission.
#[derive(Debug)]
pub(super) struct AdmissionMetrics {
    reviews: Family<ReviewLabels, Counter>,
    review_duration: Histogram,
    rejected_handshakes: Family<HandshakeLabels, Counter>,
    expiry: Family<CertificateLabels, Gauge>,
    renewals: Family<CertificateLabels, Counter>,
    failures: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    webhook: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    certificate: &'static str,
}

/// Bounds of the buckets in seconds. A review takes well under a millisecond.
const REVIEW_BUCKETS: [f64; 8] = [0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1, 1.0];

impl AdmissionMetrics {
    /// Creates all counters at zero: Prometheus detects no increase in a series that begins at one.
    pub(super) fn new() -> Self {
        let metrics = Self {
            reviews: Family::default(),
            review_duration: Histogram::new(REVIEW_BUCKETS),
            rejected_handshakes: Family::default(),
            expiry: Family::default(),
            renewals: Family::default(),
            failures: Counter::default(),
        };
        for (webhook, outcome) in
            WebhookKind::ALL.into_iter().flat_map(|webhook| ReviewOutcome::ALL.map(|outcome| (webhook, outcome)))
        {
            drop(metrics.reviews.get_or_create(&ReviewLabels::of(webhook, outcome)));
        }
        for reason in Rejection::ALL {
            drop(metrics.rejected_handshakes.get_or_create(&HandshakeLabels { reason: reason.as_str() }));
        }
        metrics
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "nats_manager_admission_reviews",
            "Admission reviews by webhook (mutate, validate, delete) and outcome",
            self.reviews.clone(),
        );
        registry.register_with_unit(
            "nats_manager_admission_review_duration",
            "How long an admission review took",
            Unit::Seconds,
            self.review_duration.clone(),
        );
        registry.register(
            "nats_manager_webhook_rejected_handshakes",
            "TLS handshakes with the webhook that failed, by reason",
            self.rejected_handshakes.clone(),
        );
        registry.register_with_unit(
            "nats_manager_webhook_certificate_expiry_timestamp",
            "When the certificate (ca, leaf) ends, as Unix time",
            Unit::Seconds,
            self.expiry.clone(),
        );
        registry.register(
            "nats_manager_webhook_certificate_renewals",
            "Changes of the certificate (ca, leaf)",
            self.renewals.clone(),
        );
        registry.register(
            "nats_manager_webhook_certificate_failures",
            "Certificates that could not be made, read or published",
            self.failures.clone(),
        );
    }
}

impl ReviewLabels {
    fn of(webhook: WebhookKind, outcome: ReviewOutcome) -> Self {
        Self { webhook: webhook.as_str(), outcome: outcome.as_str() }
    }
}

impl Observer for Metrics {
    fn reviewed(&self, webhook: WebhookKind, outcome: ReviewOutcome, took: Duration) {
        let metrics = self.admission();
        metrics.reviews.get_or_create(&ReviewLabels::of(webhook, outcome)).inc();
        metrics.review_duration.observe(took.as_secs_f64());
    }

    fn handshake_rejected(&self, reason: Rejection) {
        self.admission().rejected_handshakes.get_or_create(&HandshakeLabels { reason: reason.as_str() }).inc();
    }
}

impl Metrics {
    /// Counts the replacement of a certificate, `ca` or `leaf`.
    pub fn certificate_renewed(&self, certificate: &'static str) {
        self.admission().renewals.get_or_create(&CertificateLabels { certificate }).inc();
    }

    /// Counts a certificate that could not be made, read or published.
    pub fn certificate_failed(&self) {
        self.admission().failures.inc();
    }

    /// Sets the end of a certificate, `ca` or `leaf`, in seconds of Unix time.
    pub fn set_certificate_expiry(&self, certificate: &'static str, at: i64) {
        self.admission().expiry.get_or_create(&CertificateLabels { certificate }).set(at);
    }
}
