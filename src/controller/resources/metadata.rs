//! What all objects have in common: names, labels, annotations, the owner, the hash.

use std::{collections::BTreeMap, fmt::Write};

use aws_lc_rs::digest::{SHA256, digest};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource;
use nats_manager_api::{Nats, ResolvedCluster, naming};
use serde::Serialize;

/// Hex digits of a hash: 64 bits tell two versions of one object apart.
const HASH_LENGTH: usize = 16;

/// The metadata of a child, with these annotations and no others.
pub(super) fn object(cluster: &ResolvedCluster, name: String, annotations: BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.id.namespace.clone()),
        labels: Some(overlaid(&cluster.labels, cluster.id.labels())),
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        owner_references: Some(vec![owner(cluster)]),
        ..ObjectMeta::default()
    }
}

/// The user's annotations, and ours, which win.
pub(super) fn annotations<const N: usize>(
    cluster: &ResolvedCluster,
    own: [(&str, String); N],
) -> BTreeMap<String, String> {
    overlaid(&cluster.annotations, own.map(|(key, value)| (key.to_owned(), value)))
}

/// The labels of the pods.
pub(super) fn pod_labels(cluster: &ResolvedCluster) -> BTreeMap<String, String> {
    overlaid(&cluster.labels, cluster.id.pod_labels())
}

/// The selector of the StatefulSet and the PodDisruptionBudget.
pub(super) fn selector(cluster: &ResolvedCluster) -> LabelSelector {
    LabelSelector { match_labels: Some(cluster.id.selector()), ..LabelSelector::default() }
}

/// The object with the hash of what it is without one ([`naming::APPLIED_HASH`]).
///
/// The fields of the types and the keys of the maps are written in a fixed order, so their JSON is
/// canonical. Types with text keys only always have one.
pub(super) fn stamped<K: Resource + Serialize>(mut object: K) -> K {
    stamp(&mut object);
    object
}

/// Stamps an object anew after a change.
pub(super) fn stamp<K: Resource + Serialize>(object: &mut K) {
    object.meta_mut().annotations.get_or_insert_default().remove(naming::APPLIED_HASH);
    let hash = hash(&serde_json::to_vec(object).unwrap_or_default());
    object.meta_mut().annotations.get_or_insert_default().insert(naming::APPLIED_HASH.to_owned(), hash);
}

/// A short hash of some text, the same in every version of the manager.
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

fn overlaid(
    base: &BTreeMap<String, String>,
    above: impl IntoIterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    let mut all = base.clone();
    all.extend(above);
    all
}
