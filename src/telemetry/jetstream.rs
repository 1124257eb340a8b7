//! Metrics of JetStream, as the servers report it. The label `server` has as many values as there are servers, at most
//! 99. The label `stream` has at most [`MAX_STREAMS`] values.

use nats_manager_planner::{
    health::{Assessment, Inventory, IssueKind},
    snapshot::{Healthz, StoreUsage},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// Usage of the servers' stores, and health.
#[derive(Debug, Default)]
pub(super) struct JetStreamMetrics {
    up: Family<ServerLabels, Gauge>,
    server_healthy: Family<ServerLabels, Gauge>,
    healthy: Gauge,
    leaderless: Gauge,
    stores: Family<StoreLabels, Gauge>,
    reserved: Family<StoreLabels, Gauge>,
    limits: Family<StoreLabels, Gauge>,
    streams: StreamMetrics,
}

/// Use of the limits of the fullest streams that reject new messages at a limit.
#[derive(Debug, Default)]
struct StreamMetrics {
    used_bytes: Family<StreamLabels, Gauge>,
    limit_bytes: Family<StreamLabels, Gauge>,
    used_messages: Family<StreamLabels, Gauge>,
    limit_messages: Family<StreamLabels, Gauge>,
}

/// Maximum number of streams with metrics.
const MAX_STREAMS: usize = 10;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabels {
    stream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    server: String,
    store: &'static str,
}

impl JetStreamMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "nats_manager_jetstream_server_up",
            "1 while the server answers at its monitoring port and has JetStream on",
            self.up.clone(),
        );
        registry.register(
            "nats_manager_jetstream_server_healthy",
            "1 while the server answers, and its /healthz is 200",
            self.server_healthy.clone(),
        );
        registry.register(
            "nats_manager_jetstream_healthy",
            "1 while no server, leader or replica has an issue",
            self.healthy.clone(),
        );
        registry.register(
            "nats_manager_jetstream_streams_without_leader",
            "Streams that have no leader, so that they can be neither written nor read",
            self.leaderless.clone(),
        );
        let mut bytes = |name: &str, help: &str, family: &Family<StoreLabels, Gauge>| {
            registry.register_with_unit(name, help, Unit::Bytes, family.clone());
        };
        bytes(
            "nats_manager_jetstream_store_used",
            "Bytes of messages in a server's store (file, memory)",
            &self.stores,
        );
        bytes(
            "nats_manager_jetstream_store_reserved",
            "Bytes that streams have reserved in a server's store (file, memory)",
            &self.reserved,
        );
        bytes("nats_manager_jetstream_store_limit", "Limit of a server's store (file, memory)", &self.limits);
        self.streams.register(registry);
    }

    /// Sets the metrics from an assessment, and removes servers that are gone.
    pub(super) fn show(&self, assessment: &Assessment) {
        self.clear();
        self.healthy.set(assessment.issues.is_empty().into());
        let is_leaderless = |kind: &IssueKind| matches!(kind, IssueKind::NoStreamLeader { .. });
        let leaderless = assessment.issues.iter().filter(|issue| is_leaderless(&issue.kind)).count();
        self.leaderless.set(i64::try_from(leaderless).unwrap_or(i64::MAX));
        for (name, answer) in &assessment.snapshot.servers {
            let is_up = answer.as_ref().is_ok_and(|server| !server.disabled);
            let is_healthy = answer.as_ref().is_ok_and(|server| server.healthz == Healthz::Ok);
            let labels = ServerLabels { server: name.clone() };
            self.up.get_or_create(&labels).set(is_up.into());
            self.server_healthy.get_or_create(&labels).set(is_healthy.into());
            if let Ok(server) = answer {
                self.store(name, "file", server.file);
                self.store(name, "memory", server.memory);
            }
        }
        self.streams.show(&Inventory::of(&assessment.snapshot, &[]));
    }

    /// Removes all series: no server is left, or this replica no longer leads.
    pub(super) fn clear(&self) {
        self.up.clear();
        self.server_healthy.clear();
        self.healthy.set(0);
        self.leaderless.set(0);
        for family in [&self.stores, &self.reserved, &self.limits] {
            family.clear();
        }
        self.streams.clear();
    }

    fn store(&self, server: &str, store: &'static str, usage: StoreUsage) {
        let labels = StoreLabels { server: server.to_owned(), store };
        let set = |family: &Family<StoreLabels, Gauge>, bytes: u64| {
            family.get_or_create(&labels).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        };
        set(&self.stores, usage.used);
        set(&self.reserved, usage.reserved);
        set(&self.limits, usage.limit);
    }
}

impl StreamMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "nats_manager_jetstream_stream_used",
            "Bytes of a stream that rejects new messages at a limit in bytes (the 10 fullest)",
            Unit::Bytes,
            self.used_bytes.clone(),
        );
        registry.register_with_unit(
            "nats_manager_jetstream_stream_limit",
            "Limit in bytes of a stream that rejects new messages at it (the 10 fullest)",
            Unit::Bytes,
            self.limit_bytes.clone(),
        );
        registry.register(
            "nats_manager_jetstream_stream_used_messages",
            "Messages of a stream that rejects new messages at a limit in messages (the 10 fullest)",
            self.used_messages.clone(),
        );
        registry.register(
            "nats_manager_jetstream_stream_limit_messages",
            "Limit in messages of a stream that rejects new messages at it (the 10 fullest)",
            self.limit_messages.clone(),
        );
    }

    /// Shows the fullest streams. A limit that a stream does not have has no series.
    fn show(&self, inventory: &Inventory) {
        for (id, stream) in inventory.fullest_streams().into_iter().take(MAX_STREAMS) {
            let labels = StreamLabels { stream: id.to_string() };
            for (used, limit, used_family, limit_family) in [
                (stream.bytes, stream.limits.bytes, &self.used_bytes, &self.limit_bytes),
                (stream.messages, stream.limits.messages, &self.used_messages, &self.limit_messages),
            ] {
                if limit > 0 {
                    used_family.get_or_create(&labels).set(i64::try_from(used).unwrap_or(i64::MAX));
                    limit_family.get_or_create(&labels).set(i64::try_from(limit).unwrap_or(i64::MAX));
                }
            }
        }
    }

    fn clear(&self) {
        for family in [&self.used_bytes, &self.limit_bytes, &self.used_messages, &self.limit_messages] {
            family.clear();
        }
    }
}
