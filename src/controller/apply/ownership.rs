//! Whose the objects are: told by the owner reference that controls them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use nats_manager_api::{NamespacedName, Nats};

/// The resource that objects are made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    /// The resource's name.
    pub id: &'a NamespacedName,
    /// Its uid.
    pub uid: &'a str,
}

/// Who controls an object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Control<'a> {
    /// This resource, or nobody.
    Ours,
    /// An earlier resource of the same name.
    Earlier,
    /// Somebody else.
    Foreign(&'a OwnerReference),
}

impl Owner<'_> {
    /// Who controls an object of our name.
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
    fn what_somebody_else_controls_is_not_ours() {
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
