//! Conversion of cached objects to the actual state that the planner takes.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::{StatefulSet, StatefulSetStatus},
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod},
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use nats_manager_api::{Amount, Bytes, NamespacedName, naming};
use nats_manager_planner::{
    Time,
    actual::{ActualState, ConfigKey, LiveConfig, MAX_SERVERS, PvcState, Replacement, ReplicaCounts, StatefulSetState},
    snapshot::PeerId,
};

use super::{
    expansion::expansion,
    pods::{NATS_CONTAINER, pod_state},
};
use crate::controller::{
    foreign_finalizers::foreign_finalizers,
    resources::{CONFIG_FOLDER, config_file, file_store_in, routes_in},
};

/// Cached objects that the actual state is read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Objects<'a> {
    pub(super) stateful_set: Option<&'a StatefulSet>,
    pub(super) config_map: Option<&'a ConfigMap>,
    pub(super) pods: &'a [std::sync::Arc<Pod>],
    pub(super) pvcs: &'a [std::sync::Arc<PersistentVolumeClaim>],
}

/// Returns the actual state. `recorded_members` is the status field `members`.
pub(super) fn actual_state(
    id: &NamespacedName,
    objects: &Objects<'_>,
    recorded_members: Option<u32>,
    servers_started: Option<bool>,
) -> ActualState {
    let recorded_size = objects.stateful_set.and_then(|set| annotation(set, naming::SIZE)?.parse().ok());
    // The caches have no order, and messages name the first Pods.
    let mut pods: Vec<_> = objects.pods.iter().map(|pod| pod_state(pod, &id.name)).collect();
    pods.sort_by(|one, other| (one.ordinal, &one.name).cmp(&(other.ordinal, &other.name)));
    let mut pvcs: Vec<_> = objects.pvcs.iter().filter_map(|pvc| pvc_state(pvc, id)).collect();
    pvcs.sort_by_key(|pvc| pvc.ordinal);
    ActualState {
        name: id.name.clone(),
        namespace: id.namespace.clone(),
        stateful_set: objects.stateful_set.and_then(stateful_set_state),
        pods,
        pvcs,
        config: objects.config_map.map(live_config),
        // The annotation is written together with the replicas, so it takes precedence over the status.
        members: recorded_size.filter(|members| (1..=MAX_SERVERS).contains(members)).or(recorded_members),
        servers_started,
    }
}

/// Returns the peers that were removed from the meta group, each with the time of its removal.
pub(super) fn removed_peers(id: &NamespacedName, stateful_set: Option<&StatefulSet>) -> BTreeMap<PeerId, Time> {
    let Some(set) = stateful_set else { return BTreeMap::new() };
    if let Some(peers) = annotation(set, naming::REMOVED_PEERS) {
        let pairs = peers.split(',').filter_map(|pair| pair.split_once('='));
        return pairs.filter_map(|(id, at)| Some((PeerId(id.to_owned()), seconds(at)?))).collect();
    }
    // An earlier version recorded one time for all peers that it had removed.
    let Some(at) = annotation(set, naming::SERVERS_REMOVED_AT).and_then(seconds) else { return BTreeMap::new() };
    let remaining = set.spec.as_ref().and_then(|spec| u32::try_from(spec.replicas?).ok()).unwrap_or(0);
    (remaining..MAX_SERVERS).map(|ordinal| (PeerId::of(&id.server(ordinal)), at)).collect()
}

fn seconds(text: &str) -> Option<Time> {
    Some(Time::from_millis(text.parse::<i64>().ok()?.checked_mul(1000)?))
}

fn annotation<'a>(set: &'a StatefulSet, key: &str) -> Option<&'a str> {
    set.annotations().get(key).map(String::as_str)
}

fn stateful_set_state(set: &StatefulSet) -> Option<StatefulSetState> {
    let spec = set.spec.as_ref()?;
    let status = set.status.clone().unwrap_or_default();
    let replicas = spec.replicas.map_or(1, |replicas| u32::try_from(replicas).unwrap_or(0));
    let strategy = spec.update_strategy.as_ref();
    let is_on_delete = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete");
    let partition = strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.partition);
    let partition = partition.and_then(|partition| u32::try_from(partition).ok()).unwrap_or(0);
    Some(StatefulSetState {
        uid: set.uid().unwrap_or_default(),
        resource_version: set.resource_version(),
        replicas,
        partition: if is_on_delete { replicas } else { partition },
        template_hash: annotation(set, naming::TEMPLATE_HASH).map(str::to_owned),
        config_key: config_key(set),
        memory_store: annotation(set, naming::MEMORY_STORE).and_then(|bytes| bytes.parse().ok()),
        file_store: annotation(set, naming::FILE_STORE).and_then(|bytes| bytes.parse().ok()),
        volume_size: spec
            .volume_claim_templates
            .as_ref()
            .and_then(|templates| requested_size(templates.first()?))
            .map(Bytes::get),
        is_observed: status.observed_generation >= set.metadata.generation,
        counts: counts(&status),
        current_revision: status.current_revision,
        update_revision: status.update_revision,
    })
}

fn counts(status: &StatefulSetStatus) -> ReplicaCounts {
    let count = |count: i32| u32::try_from(count).unwrap_or(0);
    ReplicaCounts {
        present: count(status.replicas),
        updated: count(status.updated_replicas.unwrap_or(0)),
        ready: count(status.ready_replicas.unwrap_or(0)),
    }
}

/// Returns the ConfigMap key that the command of the servers names.
fn config_key(set: &StatefulSet) -> ConfigKey {
    let pod = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let server = pod.and_then(|pod| pod.containers.iter().find(|container| container.name == NATS_CONTAINER));
    let command = server.and_then(|server| server.command.as_ref());
    let formed = format!("{CONFIG_FOLDER}/{}", config_file(ConfigKey::Clustered));
    let is_formed = command.is_some_and(|command| command.contains(&formed));
    if is_formed { ConfigKey::Clustered } else { ConfigKey::Main }
}

fn live_config(config_map: &ConfigMap) -> LiveConfig {
    let text = |key| config_map.data.as_ref()?.get(config_file(key)).map(String::as_str);
    let (main, clustered) = (text(ConfigKey::Main), text(ConfigKey::Clustered));
    LiveConfig {
        main_routes: main.map(routes_in),
        clustered_routes: clustered.map(routes_in),
        file_store: main.and_then(file_store_in).max(clustered.and_then(file_store_in)),
    }
}

fn pvc_state(pvc: &PersistentVolumeClaim, id: &NamespacedName) -> Option<PvcState> {
    let pvc_status = pvc.status.as_ref();
    Some(PvcState {
        ordinal: id.pvc_ordinal(&pvc.name_any())?,
        uid: pvc.uid().unwrap_or_default(),
        resource_version: pvc.resource_version(),
        requested: requested_size(pvc).map_or(0, Bytes::get),
        capacity: pvc_status.and_then(|status| bytes_of(status.capacity.as_ref()?)).map(Bytes::get),
        expansion: pvc_status.map(expansion).unwrap_or_default(),
        terminating: pvc.metadata.deletion_timestamp.is_some(),
        kept_by: foreign_finalizers(&pvc.metadata),
        replacement: replacement(pvc),
    })
}

/// Returns the request to replace the server of a PVC; `None` without one, and for any other value.
fn replacement(pvc: &PersistentVolumeClaim) -> Option<Replacement> {
    match pvc.annotations().get(naming::REPLACE_SERVER)?.as_str() {
        "true" => Some(Replacement::KeepStreams),
        "force" => Some(Replacement::LoseStreams),
        _ => None,
    }
}

/// Returns the requested size of a PVC, rounded up to bytes.
pub(super) fn requested_size(pvc: &PersistentVolumeClaim) -> Option<Bytes> {
    bytes_of(pvc.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?)
}

/// Returns the storage in a list of resources, rounded up to bytes.
fn bytes_of(resources: &BTreeMap<String, Quantity>) -> Option<Bytes> {
    Amount::parse(&resources.get("storage")?.0).ok()?.bytes_rounded_up()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(spec: &serde_json::Value, annotations: &serde_json::Value) -> StatefulSet {
        let mut set = json!({
            "metadata": {"name": "n", "generation": 2, "resourceVersion": "7", "annotations": annotations},
            "spec": {"replicas": 3, "selector": {}, "serviceName": "n", "template": {}},
            "status": {"replicas": 3, "updatedReplicas": 1, "readyReplicas": 2, "observedGeneration": 2},
        });
        for (field, value) in spec.as_object().unwrap() {
            set["spec"][field] = value.clone();
        }
        serde_json::from_value(set).unwrap()
    }

    #[test]
    fn partition_is_closed_with_update_strategy_on_delete() {
        for (expected, strategy) in [
            (1, json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}})),
            (0, json!({"type": "RollingUpdate"})),
            (3, json!({"type": "OnDelete"})),
        ] {
            let state = stateful_set_state(&set(&json!({"updateStrategy": strategy}), &json!({}))).unwrap();
            assert_eq!((state.partition, state.replicas, state.is_observed), (expected, 3, true));
        }
    }

    #[test]
    fn config_key_is_read_from_the_command() {
        for (expected, file) in [
            (ConfigKey::Main, "/etc/nats-config/nats.conf"),
            (ConfigKey::Clustered, "/etc/nats-config/nats-cluster.conf"),
        ] {
            let container = json!({"name": "nats", "command": ["nats-server", "--config", file]});
            let set = set(&json!({"template": {"spec": {"containers": [container]}}}), &json!({}));
            assert_eq!(stateful_set_state(&set).unwrap().config_key, expected);
        }
    }

    #[test]
    fn replacement_is_requested_by_two_values_of_the_annotation() {
        let id = NamespacedName::new("kyma-system", "n");
        assert_eq!(naming::REPLACE_SERVER, nats_manager_planner::plan::REPLACE_SERVER);
        for (expected, value) in [
            (Some(Replacement::KeepStreams), "true"),
            (Some(Replacement::LoseStreams), "force"),
            (None, "false"),
            (None, ""),
            (None, "TRUE"),
        ] {
            let pvc = json!({"metadata": {"name": "n-js-pvc-n-1", "annotations": {naming::REPLACE_SERVER: value}}});
            let state = pvc_state(&serde_json::from_value(pvc).unwrap(), &id).unwrap();
            assert_eq!((state.ordinal, state.replacement), (1, expected), "{value}");
        }
    }

    #[test]
    fn out_of_range_size_annotation_does_not_change_the_membership() {
        let id = NamespacedName::new("kyma-system", "n");
        for (expected, annotation) in [(5, "5"), (4, "4000000000"), (4, "0"), (4, "x")] {
            let set = set(&json!({}), &json!({naming::SIZE: annotation}));
            let objects = Objects { stateful_set: Some(&set), config_map: None, pods: &[], pvcs: &[] };
            assert_eq!(actual_state(&id, &objects, Some(4), None).members, Some(expected), "{annotation}");
        }
    }

    #[test]
    fn removed_peers_are_read_in_both_spellings() {
        let id = NamespacedName::new("kyma-system", "n");
        let new = set(&json!({}), &json!({naming::REMOVED_PEERS: "abc=5,def=7"}));
        let expected = [("abc", 5_000), ("def", 7_000)].map(|(id, at)| (PeerId(id.to_owned()), Time::from_millis(at)));
        assert_eq!(removed_peers(&id, Some(&new)), expected.into());
        let old = removed_peers(&id, Some(&set(&json!({}), &json!({naming::SERVERS_REMOVED_AT: "5"}))));
        assert_eq!(old.get(&PeerId::of("n-3")), Some(&Time::from_millis(5_000)));
        assert_eq!(old.get(&PeerId::of("n-2")), None);
    }

    #[test]
    fn routes_are_counted_in_the_cluster_block() {
        let clustered =
            "port: 4222\n\ncluster {\n  routes: [\n    \"nats://n-0.n:6222\"\n    \"nats://n-1.n:6222\"\n  ]\n}\n";
        for (expected, text) in
            [(2, clustered), (1, "cluster: {"), (1, "  cluster = { name: a }"), (0, "# cluster {"), (0, "")]
        {
            assert_eq!(routes_in(text), expected, "{text}");
        }
    }
}
