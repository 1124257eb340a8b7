//! Snapshots of the NATS resource and its Pods.

use std::collections::BTreeMap;

use console::style;
use k8s_openapi::{
    api::core::v1::{Node, Pod},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{Api, Client, ResourceExt, api::ListParams};
use nats_manager_api::{ConditionType, ModuleState, NamespacedName, Nats, NatsStatus};

use crate::{
    local::{NAME, NAMESPACE},
    table::Table,
};

/// Source of snapshots.
pub(super) struct SnapshotSource {
    nats: Api<Nats>,
    pods: Api<Pod>,
    zones: BTreeMap<String, String>,
}

/// NATS resource and its Pods at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    nats: Option<Nats>,
    pods: Vec<PodPlacement>,
}

/// Pod with its node and zone.
#[derive(Debug, Clone)]
struct PodPlacement {
    name: String,
    phase: String,
    ready: bool,
    node: String,
    zone: String,
}

const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

impl SnapshotSource {
    /// Reads the zones of the nodes.
    pub(super) async fn open(client: Client) -> kube::Result<Self> {
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?;
        let zone = |node: Node| Some((node.name_any(), node.labels().get(ZONE_LABEL)?.clone()));
        Ok(Self {
            nats: Api::namespaced(client.clone(), NAMESPACE),
            pods: Api::namespaced(client, NAMESPACE),
            zones: nodes.into_iter().filter_map(zone).collect(),
        })
    }

    /// Takes a snapshot.
    pub(super) async fn take(&self) -> kube::Result<Snapshot> {
        let nats = self.nats.get_opt(NAME).await?;
        let labels = NamespacedName::new(NAMESPACE, NAME).label_query();
        let pods = self.pods.list(&ListParams::default().labels(&labels)).await?;
        Ok(Snapshot { nats, pods: pods.into_iter().map(|pod| self.place(&pod)).collect() })
    }

    fn place(&self, pod: &Pod) -> PodPlacement {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        let status = pod.status.clone().unwrap_or_default();
        let is_ready = |condition: &k8s_openapi::api::core::v1::PodCondition| {
            condition.type_ == "Ready" && condition.status == "True"
        };
        let phase =
            if pod.metadata.deletion_timestamp.is_some() { Some("Terminating".to_owned()) } else { status.phase };
        PodPlacement {
            name: pod.name_any(),
            phase: phase.unwrap_or_default(),
            ready: status.conditions.iter().flatten().any(is_ready),
            zone: self.zones.get(&node).cloned().unwrap_or_default(),
            node,
        }
    }
}

impl Snapshot {
    /// Returns whether the NATS resource exists.
    pub(super) fn exists(&self) -> bool {
        self.nats.is_some()
    }

    /// Returns whether all servers run the current spec. With `or_warning`, the state Warning is accepted too, as in
    /// clusters with few zones.
    pub(super) fn is_ready(&self, or_warning: bool) -> bool {
        let Some(nats) = &self.nats else { return false };
        let status = self.status();
        let is_true = |kind| status.condition(kind).is_some_and(|condition| condition.status == "True");
        let is_good = |state: ModuleState| status.state == state.to_string();
        (is_good(ModuleState::Ready) || or_warning && is_good(ModuleState::Warning))
            && status.observed_generation == nats.metadata.generation
            && is_true(ConditionType::Available)
            && is_true(ConditionType::StatefulSet)
    }

    /// Formats the snapshot as one line, for a log.
    pub(super) fn summary(&self) -> String {
        if !self.exists() {
            return format!("no NATS resource, {} Pods", self.pods.len());
        }
        let status = self.status();
        let describe = |condition: &Condition| {
            let needs_message = condition.status != "True" && !condition.message.is_empty();
            let message = if needs_message { format!(" ({})", condition.message) } else { String::new() };
            format!("{}={}{message}", condition.type_, condition.reason)
        };
        let conditions: Vec<_> = status.conditions.iter().map(describe).collect();
        let ready = self.pods.iter().filter(|pod| pod.ready).count();
        let places =
            self.pods.iter().map(|pod| format!("{} {} {}", pod.name, pod.phase, pod.zone).trim_end().to_owned());
        let state = [format!("state {}", or_dash(&status.state))];
        let pods = [format!("{ready}/{} Pods ready", self.pods.len()), places.collect::<Vec<_>>().join(", ")];
        let parts = [&state[..], &conditions, &pods].concat();
        parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" | ")
    }

    /// Formats the snapshot as tables, for a terminal.
    pub(super) fn lines(&self) -> Vec<String> {
        if !self.exists() && self.pods.is_empty() {
            return vec![style("no NATS resource").dim().to_string()];
        }
        let status = self.status();
        let mut lines = vec![format!("{}  {}  {}", style(NAME).bold(), coloured(&status.state), status.url)];
        let mut conditions = Table::new(&["CONDITION", "STATUS", "REASON", "MESSAGE"]);
        for condition in status.conditions {
            let (status, reason) = (coloured(&condition.status), condition.reason);
            conditions.row([condition.type_, status, reason, condition.message]);
        }
        lines.extend(conditions.lines());
        let mut pods = Table::new(&["POD", "PHASE", "READY", "NODE", "ZONE"]);
        for pod in self.pods.iter().cloned() {
            let ready = if pod.ready { "yes" } else { "no" };
            pods.row([pod.name, coloured(&pod.phase), ready.to_owned(), pod.node, pod.zone]);
        }
        lines.extend(pods.lines());
        lines
    }

    fn status(&self) -> NatsStatus {
        self.nats.as_ref().and_then(|nats| nats.status.clone()).unwrap_or_default()
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn coloured(word: &str) -> String {
    let text = style(or_dash(word));
    match word {
        "Ready" | "True" | "Running" => text.green().to_string(),
        "Error" | "Failed" => text.red().to_string(),
        _ => text.yellow().to_string(),
    }
}
