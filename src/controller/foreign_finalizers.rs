//! Finalizers of others, which keep an object that is being deleted.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use nats_manager_api::naming::FINALIZER;

const OF_KUBERNETES: [&str; 3] = ["foregroundDeletion", "orphan", "kubernetes.io/pvc-protection"];

/// Returns the finalizers of others as a list for messages. `None` if there are none, or if the object is not being
/// deleted.
pub(crate) fn foreign_finalizers(meta: &ObjectMeta) -> Option<String> {
    meta.deletion_timestamp.as_ref()?;
    let all = meta.finalizers.iter().flatten().map(String::as_str);
    let foreign: Vec<&str> = all.filter(|name| *name != FINALIZER && !is_of_kubernetes(name)).collect();
    (!foreign.is_empty()).then(|| foreign.join(", "))
}

/// Returns whether Kubernetes sets and removes this finalizer by itself.
pub(crate) fn is_of_kubernetes(finalizer: &str) -> bool {
    OF_KUBERNETES.contains(&finalizer)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    use super::*;

    #[test]
    fn only_finalizers_of_others_are_foreign() {
        let of = |finalizers: &[&str], is_deleted: bool| {
            let finalizers = Some(finalizers.iter().map(|&name| name.to_owned()).collect());
            let deletion_timestamp = is_deleted.then_some(Time(Timestamp::UNIX_EPOCH));
            foreign_finalizers(&ObjectMeta { finalizers, deletion_timestamp, ..ObjectMeta::default() })
        };
        assert_eq!(
            of(&["example.com/a", FINALIZER, "example.com/b"], true).as_deref(),
            Some("example.com/a, example.com/b")
        );
        assert_eq!(of(&["example.com/a"], false), None, "it is not being deleted");
        for none in [&[][..], &[FINALIZER, "foregroundDeletion"], &["kubernetes.io/pvc-protection"], &["orphan"]] {
            assert_eq!(of(none, true), None, "{none:?}");
        }
    }
}
