//! Metrics of the manager. Every label has a small, fixed set of values.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use nats_manager_api::ModuleState;
use nats_manager_planner::health::Assessment;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::fips;

use super::{
    RequestLabels, admission::AdmissionMetrics, conditions::ConditionMetrics, jetstream::JetStreamMetrics,
    logging::dropped_lines, process,
};

/// All metrics of the process. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    zones_used: Gauge,
    nodes: Gauge,
    state: Family<StateLabels, Gauge>,
    conditions: ConditionMetrics,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_duration: Histogram,
    reconciles_in_flight: Gauge,
    requests: Family<RequestLabels, Counter>,
    watch_restarts: Family<WatchLabels, Counter>,
    leader: Gauge,
    lease_missing: Gauge,
    fips_missing: Gauge,
    predecessor_running: Gauge,
    paused: Gauge,
    log_lines_dropped: Counter,
    admission: AdmissionMetrics,
    jetstream: JetStreamMetrics,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconcileOutcome {
    /// Resource that is as desired, or gets there without the manager.
    Success,
    /// Change that is blocked on purpose, such as a deletion that would lose data.
    Blocked,
    /// Resource with an invalid spec, which its author has to change.
    Rejected,
    /// Reconcile that failed and is tried again.
    Error,
}

/// Reconcile in progress, counted as in flight until it is finished or dropped.
#[derive(Debug)]
#[must_use = "dropped without `finish`, a reconcile is not counted"]
pub struct ReconcileTimer {
    metrics: Metrics,
    started: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    resource: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    revision: &'static str,
    /// `true` if the cryptography is a FIPS module.
    fips: &'static str,
}

/// Bounds of the buckets in seconds. A reconcile with nothing to do takes well under a millisecond.
const DURATION_BUCKETS: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

impl Metrics {
    /// Creates all metrics at zero.
    pub fn new() -> Self {
        let mut metrics = Inner {
            registry: Registry::default(),
            zones_used: Gauge::default(),
            nodes: Gauge::default(),
            state: Family::default(),
            conditions: ConditionMetrics::default(),
            reconciles: Family::default(),
            reconcile_duration: Histogram::new(DURATION_BUCKETS),
            reconciles_in_flight: Gauge::default(),
            requests: Family::default(),
            watch_restarts: Family::default(),
            leader: Gauge::default(),
            lease_missing: Gauge::default(),
            fips_missing: Gauge::default(),
            predecessor_running: Gauge::default(),
            paused: Gauge::default(),
            log_lines_dropped: Counter::default(),
            admission: AdmissionMetrics::new(),
            jetstream: JetStreamMetrics::default(),
        };
        // Prometheus detects no increase in a series that begins at one.
        for outcome in ReconcileOutcome::ALL {
            drop(metrics.reconciles.get_or_create(&ReconcileLabels { outcome: outcome.label() }));
        }
        metrics.register();
        Self(Arc::new(metrics))
    }

    pub(super) fn admission(&self) -> &AdmissionMetrics {
        &self.0.admission
    }

    /// Sets the number of availability zones that the NATS Pods run in.
    pub fn set_availability_zones_used(&self, zones: usize) {
        self.0.zones_used.set(i64::try_from(zones).unwrap_or(i64::MAX));
    }

    /// Sets the number of servers that the NATS resource asks for.
    pub fn set_nats_nodes(&self, nodes: usize) {
        self.0.nodes.set(i64::try_from(nodes).unwrap_or(i64::MAX));
    }

    /// Sets the state of the NATS resource, as in its status. `None` if there is no resource.
    pub fn set_state(&self, state: Option<&str>) {
        let Some(state) = state else {
            self.0.state.clear();
            return;
        };
        for known in ModuleState::ALL.map(|known| known.to_string()) {
            let is_it = known == state;
            self.0.state.get_or_create(&StateLabels { state: known }).set(is_it.into());
        }
    }

    /// Sets the conditions of the NATS resource, as in its status.
    pub fn set_conditions(&self, conditions: &[Condition]) {
        self.0.conditions.show(conditions);
    }

    /// Sets the metrics of a reconcile: the desired servers, the zones that they run in, and their last assessment.
    pub fn show(&self, servers: usize, zones: usize, assessment: Option<&Assessment>) {
        self.set_nats_nodes(servers);
        self.set_availability_zones_used(zones);
        if let Some(assessment) = assessment {
            self.0.jetstream.show(assessment);
        }
    }

    /// Clears the metrics of the cluster: after its deletion, and on a replica that does not lead any more.
    pub fn clear_cluster(&self) {
        self.set_nats_nodes(0);
        self.set_availability_zones_used(0);
        self.set_state(None);
        self.set_conditions(&[]);
        self.set_predecessor_running(false);
        self.set_paused(false);
        self.0.jetstream.clear();
    }

    /// Sets whether this replica leads.
    pub fn set_leader(&self, leads: bool) {
        self.0.leader.set(leads.into());
    }

    /// Sets whether the lease of the leader election does not exist.
    pub fn set_lease_missing(&self, is_missing: bool) {
        self.0.lease_missing.set(is_missing.into());
    }

    /// Sets whether FIPS mode is required and this build has no FIPS module.
    pub fn set_fips_missing(&self, is_missing: bool) {
        self.0.fips_missing.set(is_missing.into());
    }

    /// Sets whether reconciles wait for the end of a Pod of the predecessor.
    pub fn set_predecessor_running(&self, is_running: bool) {
        self.0.predecessor_running.set(is_running.into());
    }

    /// Sets whether reconciliation of the NATS resource is paused.
    pub fn set_paused(&self, is_paused: bool) {
        self.0.paused.set(is_paused.into());
    }

    /// Starts to measure a reconcile.
    pub fn reconcile_started(&self) -> ReconcileTimer {
        self.0.reconciles_in_flight.inc();
        ReconcileTimer { metrics: self.clone(), started: Instant::now() }
    }

    /// Counts a watch that failed and is started again. `resource` is a plural such as `statefulsets`.
    pub fn watch_restarted(&self, resource: &'static str) {
        self.0.watch_restarts.get_or_create(&WatchLabels { resource }).inc();
    }

    /// Counts a request to the apiserver that was answered, or timed out.
    pub fn request_answered(&self, labels: &RequestLabels) {
        self.0.requests.get_or_create(labels).inc();
    }

    /// Returns all metrics in the `OpenMetrics` text format, which parsers of the older Prometheus text format accept
    /// too.
    ///
    /// # Errors
    /// When a metric cannot be written, which is a defect of its definition.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        self.0.log_lines_dropped.inner().store(dropped_lines(), Ordering::Relaxed);
        let mut text = String::with_capacity(8 * 1024);
        encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    fn register(&mut self) {
        let build = Family::<BuildLabels, Gauge>::default();
        let revision = option_env!("NATS_MANAGER_REVISION").unwrap_or("unknown");
        let fips = if fips::is_active() { "true" } else { "false" };
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION"), revision, fips }).set(1);

        let registry = &mut self.registry;
        // These two names come from the predecessor: dashboards and alerts use them.
        registry.register(
            "nats_manager_availability_zones_used_count",
            "The number of availability zones used by the NATS pods",
            self.zones_used.clone(),
        );
        registry.register(
            "nats_manager_cr_nats_nodes_count",
            "The number of NATS nodes that the NATS resource asks for",
            self.nodes.clone(),
        );
        registry.register(
            "nats_manager_cr_state",
            "1 for the state that the NATS resource is in, 0 for the others",
            self.state.clone(),
        );
        self.conditions.register(registry);
        // The encoder adds the suffix `_total` to counters, and the unit to metrics that have one.
        registry.register("nats_manager_reconciles", "Reconciles by outcome", self.reconciles.clone());
        registry.register_with_unit(
            "nats_manager_reconcile_duration",
            "Duration of reconciles",
            Unit::Seconds,
            self.reconcile_duration.clone(),
        );
        registry.register(
            "nats_manager_reconciles_in_flight",
            "Reconciles in progress",
            self.reconciles_in_flight.clone(),
        );
        registry.register(
            "nats_manager_apiserver_requests",
            "Requests to the apiserver by verb, resource (plural) and status code (timeout, error: no answer)",
            self.requests.clone(),
        );
        registry.register(
            "nats_manager_watch_restarts",
            "Watches that failed and were restarted",
            self.watch_restarts.clone(),
        );
        registry.register("nats_manager_leader", "1 while this replica leads", self.leader.clone());
        registry.register(
            "nats_manager_lease_missing",
            "1 while the lease of the leader election does not exist, so that no replica can lead",
            self.lease_missing.clone(),
        );
        registry.register(
            "nats_manager_fips_missing",
            "1 if KYMA_FIPS_MODE_ENABLED is true and this build has no FIPS module",
            self.fips_missing.clone(),
        );
        registry.register(
            "nats_manager_predecessor_running",
            "1 while reconciles wait for the end of a Pod that may be the predecessor",
            self.predecessor_running.clone(),
        );
        registry.register(
            "nats_manager_paused",
            "1 while the annotation pause-reconciliation of the NATS resource pauses reconciliation",
            self.paused.clone(),
        );
        registry.register(
            "nats_manager_log_lines_dropped",
            "Lines of the log that were dropped, because stderr did not take them in time",
            self.log_lines_dropped.clone(),
        );
        self.admission.register(registry);
        self.jetstream.register(registry);
        registry.register("nats_manager_build_info", "1, labelled with what was built", build);
        process::register(registry);
    }
}

impl ReconcileOutcome {
    const ALL: [Self; 4] = [Self::Success, Self::Blocked, Self::Rejected, Self::Error];

    fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Blocked => "blocked",
            Self::Rejected => "rejected",
            Self::Error => "error",
        }
    }
}

impl ReconcileTimer {
    /// Counts the reconcile by its outcome, and records its duration.
    pub fn finish(self, outcome: ReconcileOutcome) {
        let metrics = &self.metrics.0;
        metrics.reconciles.get_or_create(&ReconcileLabels { outcome: outcome.label() }).inc();
        metrics.reconcile_duration.observe(self.started.elapsed().as_secs_f64());
    }
}

impl Drop for ReconcileTimer {
    fn drop(&mut self) {
        self.metrics.0.reconciles_in_flight.dec();
    }
}

#[cfg(test)]
mod tests;
