//! Watch of Pods: node, revision and state of each server.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, reflector, watcher::Config},
};

use nats_manager_api::naming;

use super::task::{WatchTask, events, trigger_of_change};

pub(super) async fn watch_pods(
    task: WatchTask,
    api: Api<Pod>,
    config: Config,
    mut writer: reflector::store::Writer<Pod>,
) {
    let events = events(api, config).modify(keep_needed_fields);
    task.run(events, move |event| {
        writer.apply_watcher_event(&event);
        trigger_of_change(&event)
    })
    .await;
}

/// Keeps the labels of a Pod (one is the revision), its node, the images of its containers (one has the version), its
/// spread and the memory store that it was restarted for, which no other object has without a StatefulSet, and its
/// status, which has the reason for which it does not run. The rest is most of its size.
pub(crate) fn keep_needed_fields(pod: &mut Pod) {
    pod.annotations_mut().retain(|name, _| name == naming::RESTARTED_FOR_MEMORY_STORE);
    if let Some(spec) = &mut pod.spec {
        let node_name = spec.node_name.take();
        let reduced = |Container { name, image, .. }| Container { name, image, ..Container::default() };
        let containers = std::mem::take(&mut spec.containers).into_iter().map(reduced).collect();
        let mut spread = spec.topology_spread_constraints.take();
        spread.iter_mut().flatten().for_each(|constraint| constraint.label_selector = None);
        *spec = PodSpec { node_name, containers, topology_spread_constraints: spread, ..PodSpec::default() };
    }
}
