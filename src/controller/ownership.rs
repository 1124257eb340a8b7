//! Ownership of objects, from the owner reference with `controller: true`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use nats_manager_api::{NamespacedName, Nats};

/// The resource that owns the objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub id: &'a NamespacedName,
    /// Uid of the resource; empty while it is being created, since it owns nothing yet.
    pub uid: &'a str,
}

/// Controller of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Control<'a> {
    /// This resource, or none.
    Ours,
    /// An earlier resource of the same name, which is deleted.
    Earlier,
    /// Another controller.
    Foreign(&'a OwnerReference),
}

impl Owner<'_> {
    /// Returns the object unless it is a leftover of an earlier resource. No decision is taken from a leftover: it is
    /// about to be deleted, or is deleted and the watch has not reported it yet.
    pub(crate) fn without_leftover<'k, K: Resource>(&self, object: Option<&'k K>) -> Option<&'k K> {
        object.filter(|object| !matches!(self.control(object.meta()), Control::Earlier))
    }

    /// Returns the controller of an object that has one of our names.
    pub(crate) fn control<'m>(&self, meta: &'m ObjectMeta) -> Control<'m> {
        let controller = meta.owner_references.iter().flatten().find(|reference| reference.controller == Some(true));
        match controller {
            Some(other) if other.uid == self.uid => Control::Ours,
            Some(other) if other.kind == Nats::kind(&()) && other.name == self.id.name => Control::Earlier,
            Some(other) => Control::Foreign(other),
            None => Control::Ours,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    #[test]
    fn object_with_another_controller_is_foreign_or_a_leftover() {
        let id = NamespacedName::new("kyma-system", "eventing-nats");
        let reference = |uid: &str, controller| OwnerReference {
            uid: uid.to_owned(),
            controller: Some(controller),
            ..OwnerReference::default()
        };
        let earlier = OwnerReference { kind: "NATS".to_owned(), name: id.name.clone(), ..reference("earlier", true) };
        for (is_foreign, is_leftover, owners) in [
            (false, false, vec![]),
            (false, false, vec![reference("ours", true)]),
            (false, true, vec![earlier]),
            (false, false, vec![reference("ours", true), reference("theirs", false)]),
            (true, false, vec![reference("theirs", true)]),
            (true, false, vec![reference("ours", false), reference("theirs", true)]),
        ] {
            let metadata = ObjectMeta { owner_references: Some(owners.clone()), ..ObjectMeta::default() };
            let owner = Owner { id: &id, uid: "ours" };
            assert_eq!(matches!(owner.control(&metadata), Control::Foreign(_)), is_foreign, "{owners:?}");
            let object = ConfigMap { metadata, ..ConfigMap::default() };
            assert_eq!(owner.without_leftover(Some(&object)).is_none(), is_leftover, "{owners:?}");
        }
    }
}
