//! The StatefulSet, whose Pods are the servers.

use k8s_openapi::{
    api::{
        apps::v1::{
            RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetOrdinals,
            StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
        },
        core::v1::{
            ConfigMapVolumeSource, EmptyDirVolumeSource, PersistentVolumeClaim, PersistentVolumeClaimSpec,
            PodSecurityContext, PodSpec, PodTemplateSpec, SeccompProfile, SecretVolumeSource, Volume,
            VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use nats_manager_api::{Bytes, FileStore, ResolvedCluster, naming};
use nats_manager_planner::{
    actual::ServerMode,
    plan::{Plan, Variant},
};

use super::{containers, metadata, nats_conf, spread, volumes};
use crate::settings::Images;

/// Size limit of that volume. A server without a file store writes only the Raft logs of JetStream, which are some
/// megabytes. A Pod that writes more is evicted before its node runs out of space.
const TEMPORARY_STORE_SIZE: Bytes = Bytes::gibi(1);

/// Termination grace period in seconds: lame duck mode takes 10 + 120.
const GRACE_PERIOD: i64 = 150;

/// Builds the StatefulSet with replicas, partition, template and records of the plan.
pub(crate) fn build(cluster: &ResolvedCluster, images: &Images, plan: &Plan) -> StatefulSet {
    let mut annotations = metadata::annotations(
        cluster,
        [
            (naming::SPREAD, cluster.spread.as_str().to_owned()),
            (naming::SIZE, plan.members.to_string()),
            (naming::MEMORY_STORE, plan.memory_store.to_string()),
            (naming::FILE_STORE, plan.file_store.to_string()),
        ],
    );
    let template = template(cluster, images, plan.variant, plan.memory_store);
    annotations.insert(naming::TEMPLATE_HASH.to_owned(), hash(&template));
    annotations.extend(removed_peers(plan).map(|peers| (naming::REMOVED_PEERS.to_owned(), peers)));
    let mut stateful_set = metadata::stamped(StatefulSet {
        metadata: metadata::object(cluster, cluster.id.name.clone(), annotations),
        spec: Some(StatefulSetSpec {
            min_ready_seconds: Some(0),
            ordinals: Some(StatefulSetOrdinals { start: Some(0) }),
            // Otherwise the deletion of the StatefulSet would delete the data.
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some("Retain".to_owned()),
                when_scaled: Some("Retain".to_owned()),
            }),
            pod_management_policy: Some("Parallel".to_owned()),
            replicas: Some(i32::try_from(plan.replicas).unwrap_or(i32::MAX)),
            selector: metadata::selector(cluster),
            service_name: Some(cluster.id.name.clone()),
            template,
            update_strategy: Some(strategy(plan.partition)),
            volume_claim_templates: pvc_template(cluster).map(|pvc| vec![pvc]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    });
    // Not part of the hash. A stale cache causes a conflict instead of a wrong write.
    stateful_set.metadata.resource_version.clone_from(&plan.precondition);
    stateful_set
}

/// Returns the hash of the Pod template for a configuration variant and a memory store in bytes.
pub fn template_hash(cluster: &ResolvedCluster, images: &Images, variant: Variant, memory_store: u64) -> String {
    hash(&template(cluster, images, variant, memory_store))
}

fn hash(template: &PodTemplateSpec) -> String {
    metadata::hash(&serde_json::to_vec(template).unwrap_or_default())
}

fn removed_peers(plan: &Plan) -> Option<String> {
    let all: Vec<String> =
        plan.removed.iter().map(|(peer, at)| format!("{}={}", peer.0, at.as_millis() / 1000)).collect();
    (!all.is_empty()).then(|| all.join(","))
}

fn strategy(partition: u32) -> StatefulSetUpdateStrategy {
    StatefulSetUpdateStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateStatefulSetStrategy {
            partition: Some(i32::try_from(partition).unwrap_or(i32::MAX)),
            ..RollingUpdateStatefulSetStrategy::default()
        }),
    }
}

fn template(cluster: &ResolvedCluster, images: &Images, variant: Variant, memory_store: u64) -> PodTemplateSpec {
    // A change of the number of routes, or a raised file store, needs no restart.
    let routes = u32::from(variant.kind == ServerMode::Clustered);
    let layout = nats_conf::Layout { routes, memory_store, file_store: 0 };
    let mut annotations = metadata::annotations(
        cluster,
        [
            // Prometheus scrapes the Service, so that a scraped Pod would be counted twice.
            ("prometheus.io/scrape", "false".to_owned()),
            ("sidecar.istio.io/inject", "false".to_owned()),
            (naming::CONFIG_HASH, nats_conf::restart_hash(cluster, layout)),
        ],
    );
    if let Some(store) = cluster.deployed_memory_store.restarted_for(Bytes::new(memory_store)) {
        annotations.insert(naming::RESTARTED_FOR_MEMORY_STORE.to_owned(), store.get().to_string());
    }
    if matches!(cluster.file_store, FileStore::Volume { .. }) {
        annotations.insert(naming::LOCAL_VOLUMES.to_owned(), volumes::RUN.to_owned());
    }
    let scheduling = &cluster.scheduling;
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            annotations: Some(annotations),
            labels: Some(metadata::pod_labels(cluster)),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            affinity: Some(spread::affinity(cluster)),
            containers: containers::all(cluster, images, variant.key),
            enable_service_links: Some(false),
            node_selector: Some(scheduling.node_selector.clone()).filter(|labels| !labels.is_empty()),
            tolerations: Some(scheduling.tolerations.clone()).filter(|tolerations| !tolerations.is_empty()),
            priority_class_name: Some("nats-manager-priority-class".to_owned()),
            security_context: Some(PodSecurityContext {
                fs_group: Some(10001),
                fs_group_change_policy: Some("OnRootMismatch".to_owned()),
                run_as_group: Some(10001),
                run_as_non_root: Some(true),
                run_as_user: Some(1000),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            // The config reloader signals the process of the server.
            share_process_namespace: Some(true),
            termination_grace_period_seconds: Some(GRACE_PERIOD),
            topology_spread_constraints: Some(spread::constraints(cluster)),
            volumes: Some(volumes(cluster)),
            ..PodSpec::default()
        }),
    }
}

fn volumes(cluster: &ResolvedCluster) -> Vec<Volume> {
    let volume = |name: &str| Volume { name: name.to_owned(), ..Volume::default() };
    let mut volumes = vec![
        Volume {
            secret: Some(SecretVolumeSource {
                secret_name: Some(cluster.id.secret()),
                ..SecretVolumeSource::default()
            }),
            ..volume(volumes::ACCOUNTS)
        },
        Volume {
            config_map: Some(ConfigMapVolumeSource {
                name: cluster.id.config_map(),
                ..ConfigMapVolumeSource::default()
            }),
            ..volume(volumes::CONFIG)
        },
        Volume { empty_dir: Some(EmptyDirVolumeSource::default()), ..volume(volumes::RUN) },
    ];
    if cluster.file_store == FileStore::MemoryOnly {
        volumes.push(Volume {
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(Quantity(TEMPORARY_STORE_SIZE.to_string())),
                ..EmptyDirVolumeSource::default()
            }),
            ..volume(volumes::TEMPORARY_STORE)
        });
    }
    volumes
}

fn pvc_template(cluster: &ResolvedCluster) -> Option<PersistentVolumeClaim> {
    let FileStore::Volume { size, class } = &cluster.file_store else { return None };
    let requests = [("storage".to_owned(), Quantity(size.to_string()))].into();
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some(cluster.id.pvc_template()), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(requests),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: class.clone(),
            volume_mode: Some("Filesystem".to_owned()),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    })
}
