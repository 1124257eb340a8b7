//! Metadata that all objects have in common: names, labels, annotations, the owner and the hash.

use std::{collections::BTreeMap, fmt::Write};

use aws_lc_rs::digest::{SHA256, digest};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource;
use nats_manager_api::{Nats, ResolvedCluster, naming};
use serde::Serialize;

/// Length of a hash in hex digits: 64 bits distinguish two versions of one object.
const HASH_LENGTH: usize = 16;

/// Builds the metadata of a child, with exactly these annotations.
pub(super) fn object(cluster: &ResolvedCluster, name: String, annotations: BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.id.namespace.clone()),
        labels: Some(merged(&cluster.labels, cluster.id.labels())),
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        owner_references: Some(vec![owner(cluster)]),
        ..ObjectMeta::default()
    }
}

/// Merges the annotations of the spec with `own`, which take precedence.
pub(super) fn annotations<const N: usize>(
    cluster: &ResolvedCluster,
    own: [(&str, String); N],
) -> BTreeMap<String, String> {
    merged(&cluster.annotations, own.map(|(key, value)| (key.to_owned(), value)))
}

/// Returns the labels of the Pods.
pub(super) fn pod_labels(cluster: &ResolvedCluster) -> BTreeMap<String, String> {
    merged(&cluster.labels, cluster.id.pod_labels())
}

/// Returns the selector of the StatefulSet and the PodDisruptionBudget.
pub(super) fn selector(cluster: &ResolvedCluster) -> LabelSelector {
    LabelSelector { match_labels: Some(cluster.id.selector()), ..LabelSelector::default() }
}

/// Returns the object with the hash of its content without a hash ([`naming::APPLIED_HASH`]).
///
/// Fields of types and keys of maps are serialized in a fixed order, so the JSON is canonical. Types whose keys are
/// texts are always serializable.
pub(super) fn stamped<K: Resource + Serialize>(mut object: K) -> K {
    stamp(&mut object);
    object
}

/// Computes the hash of an object, and replaces a previous one.
pub(super) fn stamp<K: Resource + Serialize>(object: &mut K) {
    object.meta_mut().annotations.get_or_insert_default().remove(naming::APPLIED_HASH);
    let hash = hash(&serde_json::to_vec(object).unwrap_or_default());
    object.meta_mut().annotations.get_or_insert_default().insert(naming::APPLIED_HASH.to_owned(), hash);
}

/// Returns the first 16 hex digits of the SHA-256, which are the same in every version of the manager.
pub(super) fn hash(content: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest(&SHA256, content).as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(HASH_LENGTH);
    text
}

fn owner(cluster: &ResolvedCluster) -> OwnerReference {
    OwnerReference {
        api_version: Nats::api_version(&()).into_owned(),
        kind: Nats::kind(&()).into_owned(),
        name: cluster.id.name.clone(),
        uid: cluster.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

fn merged(
    base: &BTreeMap<String, String>,
    overrides: impl IntoIterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    let mut all = base.clone();
    all.extend(overrides);
    all
}
