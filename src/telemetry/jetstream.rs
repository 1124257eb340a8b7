//! The metrics of JetStream, as the manager sees it. The label `server` has as many values as there
//! are servers: 99 at most.

use nats_manager_api::Bytes;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::jetstream::{Look, Store};

/// How full the servers are, and whether they are whole.
#[derive(Debug, Default)]
pub(super) struct JetStreamMetrics {
    up: Family<ServerLabels, Gauge>,
    whole: Gauge,
    stores: Family<StoreLabels, Gauge>,
    reserved: Family<StoreLabels, Gauge>,
    limits: Family<StoreLabels, Gauge>,
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
            "nats_manager_jetstream_whole",
            "1 while every server, leader and copy is there and current",
            self.whole.clone(),
        );
        let mut bytes = |name: &str, help: &str, family: &Family<StoreLabels, Gauge>| {
            registry.register_with_unit(name, help, Unit::Bytes, family.clone());
        };
        bytes(
            "nats_manager_jetstream_store_used",
            "What messages take in a server's store (file, memory)",
            &self.stores,
        );
        bytes(
            "nats_manager_jetstream_store_reserved",
            "What streams have been promised in a server's store (file, memory)",
            &self.reserved,
        );
        bytes("nats_manager_jetstream_store_limit", "What a server's store (file, memory) may hold", &self.limits);
    }

    /// Shows what was seen; servers that are there no more are forgotten.
    pub(super) fn show(&self, look: &Look, is_whole: bool) {
        self.forget();
        self.whole.set(is_whole.into());
        for (name, answer) in &look.servers {
            let is_up = answer.as_ref().is_ok_and(|server| !server.disabled);
            self.up.get_or_create(&ServerLabels { server: name.clone() }).set(is_up.into());
            if let Ok(server) = answer {
                self.store(name, "file", server.file);
                self.store(name, "memory", server.memory);
            }
        }
    }

    /// Nobody is there any more, or this replica leads no more.
    pub(super) fn forget(&self) {
        self.up.clear();
        self.whole.set(0);
        for family in [&self.stores, &self.reserved, &self.limits] {
            family.clear();
        }
    }

    fn store(&self, server: &str, store: &'static str, Store { used, reserved, limit }: Store) {
        let labels = StoreLabels { server: server.to_owned(), store };
        let set = |family: &Family<StoreLabels, Gauge>, bytes: Bytes| {
            family.get_or_create(&labels).set(i64::try_from(bytes.get()).unwrap_or(i64::MAX));
        };
        set(&self.stores, used);
        set(&self.reserved, reserved);
        set(&self.limits, limit);
    }
}
