//! Deletion of the resource's namespace. It deletes every object in the namespace, also the Roles of the manager, and
//! nothing new can be created.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use nats_manager_planner::actual::ActualState;

/// Returns whether the namespace is being deleted. A namespace that cannot be read counts as one that stays.
pub(super) async fn is_terminating(client: &Client, name: &str) -> bool {
    match Api::<Namespace>::all(client.clone()).get_metadata_opt(name).await {
        Ok(namespace) => namespace.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some()),
        Err(error) => {
            tracing::warn!(%error, namespace = name, "failed to read the namespace");
            false
        }
    }
}

/// Returns whether the finalizer is removed in a namespace that is being deleted: the deletion is forced, or nothing is
/// left to guard. The watch caches decide: the Role for requests may be gone.
pub(super) fn may_go(is_forced: bool, actual: &ActualState) -> bool {
    is_forced || is_data_lost(actual)
}

/// Returns whether the end of all data is decided: every PVC and every Pod is gone or terminating, and Kubernetes reverts
/// no deletion.
fn is_data_lost(actual: &ActualState) -> bool {
    actual.pvcs.iter().all(|pvc| pvc.terminating) && actual.pods.iter().all(|pod| pod.terminating.is_some())
}

#[cfg(test)]
mod tests {
    use nats_manager_planner::{
        Time,
        actual::{PodState, PvcState},
    };

    use super::*;

    #[test]
    fn finalizer_goes_with_its_namespace_if_forced_or_if_every_pvc_and_pod_is_gone_or_terminating() {
        let pvc = |terminating| PvcState { terminating, ..PvcState::default() };
        let pod = |is_terminating: bool| PodState {
            terminating: is_terminating.then(|| Time::from_millis(1)),
            ..PodState::default()
        };
        let intact = (vec![pvc(false)], vec![pod(false)]);
        for (is_forced, (pvcs, pods), expected) in [
            (false, (vec![], vec![]), true),
            (false, (vec![pvc(true), pvc(true)], vec![pod(true)]), true),
            (false, (vec![pvc(true), pvc(false)], vec![]), false),
            (false, (vec![pvc(true)], vec![pod(false)]), false),
            (false, (vec![], vec![pod(true), pod(false)]), false),
            (false, intact.clone(), false),
            (true, intact, true),
            (true, (vec![], vec![]), true),
        ] {
            let case = format!("forced: {is_forced}, {pvcs:?} {pods:?}");
            let actual = ActualState { pvcs, pods, ..ActualState::default() };
            assert_eq!(may_go(is_forced, &actual), expected, "{case}");
        }
    }
}
