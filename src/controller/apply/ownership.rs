//! Ownership of objects, from the owner reference with `controller: true`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use nats_manager_api::{NamespacedName, Nats};

/// The resource that owns the objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub id: &'a NamespacedName,
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

    #[test]
    fn object_with_another_controller_is_foreign() {
        let id = NamespacedName::new("kyma-system", "eventing-nats");
        let reference = |uid: &str, controller| OwnerReference {
            uid: uid.to_owned(),
            controller: Some(controller),
            ..OwnerReference::default()
        };
        let earlier = OwnerReference { kind: "NATS".to_owned(), name: id.name.clone(), ..reference("earlier", true) };
        for (is_foreign, owners) in [
            (false, vec![]),
            (false, vec![reference("ours", true)]),
            (false, vec![earlier]),
            (false, vec![reference("ours", true), reference("theirs", false)]),
            (true, vec![reference("theirs", true)]),
            (true, vec![reference("ours", false), reference("theirs", true)]),
        ] {
            let meta = ObjectMeta { owner_references: Some(owners.clone()), ..ObjectMeta::default() };
            let control = Owner { id: &id, uid: "ours" }.control(&meta);
            assert_eq!(matches!(control, Control::Foreign(_)), is_foreign, "{owners:?}");
        }
    }
}
