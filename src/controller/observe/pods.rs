//! Conversion of Pods to the state that the planner takes.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ContainerStatus, Pod, PodSpec},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use nats_manager_api::Nats;
use nats_manager_planner::{Time, Version, actual::PodState};

use super::is_older;

/// Label of a Pod with the revision of its template (`apps/v1.ControllerRevisionHashLabelKey`).
const REVISION_LABEL: &str = "controller-revision-hash";
/// Name of the container that runs nats-server.
pub(crate) const NATS_CONTAINER: &str = "nats";

/// Waiting reasons that do not pass without a change (`pkg/kubelet/images`, `pkg/kubelet/container`).
const PERMANENT_WAITING_REASONS: [&str; 8] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
];

/// Longest cause in bytes. The rest is cut off.
const MAX_CAUSE_BYTES: usize = 200;

/// Returns the state of a Pod of the StatefulSet with this name.
pub(crate) fn pod_state(pod: &Pod, stateful_set: &str) -> PodState {
    let statuses = || pod.status.iter().filter_map(|status| status.container_statuses.as_ref()).flatten();
    let servers = || statuses().filter(|status| status.name == NATS_CONTAINER);
    let name = pod.name_any();
    let mut conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    let ready = conditions.find(|condition| condition.type_ == "Ready");
    let ordinal = name.strip_prefix(stateful_set).and_then(|rest| rest.strip_prefix('-')?.parse().ok());
    PodState {
        uid: pod.uid().unwrap_or_default(),
        ordinal,
        created: pod.meta().creation_timestamp.as_ref().map(|time| to_time(time.0)),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        revision: pod.labels().get(REVISION_LABEL).cloned(),
        version: pod.spec.as_ref().and_then(version),
        started: servers().any(has_started),
        running: servers().any(|status| {
            status.started == Some(true) && status.state.as_ref().is_some_and(|state| state.running.is_some())
        }),
        ready: ready.is_some_and(|condition| condition.status == "True"),
        ready_changed: ready.and_then(|condition| condition.last_transition_time.as_ref()).map(|time| to_time(time.0)),
        terminating: pod.meta().deletion_timestamp.as_ref().map(|time| deletion_requested_at(to_time(time.0), pod)),
        broken: broken_cause(pod),
        stranded: is_stranded(pod),
        name,
    }
}

/// Returns the NATS version from the tag of the server's image.
fn version(spec: &PodSpec) -> Option<Version> {
    let server = spec.containers.iter().find(|container| container.name == NATS_CONTAINER)?;
    Version::of_image(server.image.as_deref()?)
}

/// Returns the time at which the deletion was requested. The deletion timestamp is the end of the grace period.
fn deletion_requested_at(ends: Time, pod: &Pod) -> Time {
    let grace = pod.meta().deletion_grace_period_seconds.unwrap_or_default();
    Time::from_millis(ends.as_millis() - grace.saturating_mul(1000))
}

pub(super) fn to_time(time: k8s_openapi::jiff::Timestamp) -> Time {
    Time::from_millis(time.as_millisecond())
}

fn has_started(status: &ContainerStatus) -> bool {
    let now = status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some());
    let before = status.last_state.as_ref().is_some_and(|state| state.terminated.is_some());
    now || before || status.restart_count > 0
}

/// Returns the cause for which the Pod cannot run: it does not pass by itself, but another template may remove it.
fn broken_cause(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let mut causes = containers.filter_map(permanent_waiting_cause).chain(unschedulable_cause(pod));
    causes.next().map(truncated)
}

fn permanent_waiting_cause(status: &ContainerStatus) -> Option<String> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| PERMANENT_WAITING_REASONS.contains(reason))?;
    // The kubelet's message has seconds and counts, and some reasons alternate.
    let what = match reason {
        "CrashLoopBackOff" => "crashes repeatedly; see kubectl logs",
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => "cannot pull its image",
        _ => "cannot be started",
    };
    Some(format!("container {} {what} ({})", status.name, status.image))
}

fn unschedulable_cause(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled =
        conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    (scheduled.reason.as_deref() == Some("Unschedulable"))
        .then(|| format!("no node accepts it: {}", scheduled.message.as_deref().unwrap_or_default()))
}

/// Returns whether no node accepts the Pod for a cause that another template does not remove. Only `Insufficient`
/// resources depend on the template.
fn is_stranded(pod: &Pod) -> bool {
    let is_bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    !is_bound && unschedulable_cause(pod).is_some_and(|cause| !cause.contains("Insufficient"))
}

fn truncated(mut cause: String) -> String {
    cause.truncate(cause.floor_char_boundary(MAX_CAUSE_BYTES));
    cause
}

/// The resource and the StatefulSet that the Pods of the present cluster belong to.
#[derive(Clone, Copy, Debug)]
pub(super) struct PodOwner<'a> {
    /// The StatefulSet of the resource; `None` if there is none.
    pub(super) stateful_set: Option<&'a StatefulSet>,
    /// A StatefulSet that is a leftover of an earlier resource.
    pub(super) leftover: Option<&'a StatefulSet>,
    pub(super) nats: &'a Nats,
}

impl PodOwner<'_> {
    /// Returns whether a Pod belongs to the present cluster. Pods of a StatefulSet that was deleted still answer until
    /// they have terminated: they show nothing of the servers that a new StatefulSet creates under the same names. Pods
    /// without a controller are adopted by the StatefulSet.
    pub(super) fn has(&self, pod: &Pod) -> bool {
        match (controller(pod), self.stateful_set) {
            (None, _) => true,
            (Some(controller), Some(set)) => is_controller(set, controller),
            (Some(_), None) => pod.metadata.deletion_timestamp.is_none() && self.may_have_created(pod),
        }
    }

    /// Returns whether a StatefulSet of the resource may have created the Pod, a deleted one included. The garbage
    /// collector deletes those of an earlier resource.
    pub(super) fn may_have_created(&self, pod: &Pod) -> bool {
        let Some(controller) = controller(pod) else { return true };
        let is_of = |set| is_controller(set, controller);
        self.stateful_set.is_some_and(is_of) || !(is_older(pod, self.nats) || self.leftover.is_some_and(is_of))
    }
}

fn is_controller(stateful_set: &StatefulSet, controller: &OwnerReference) -> bool {
    stateful_set.metadata.uid.as_ref() == Some(&controller.uid)
}

fn controller(pod: &Pod) -> Option<&OwnerReference> {
    pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(pod: serde_json::Value) -> PodState {
        pod_state(&serde_json::from_value(pod).unwrap(), "n")
    }

    #[test]
    fn pod_is_broken_when_its_cause_does_not_pass() {
        let waiting = |reason: &str| {
            json!({"containerStatuses": [{"name": "nats", "image": "n", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": "Back-off 10s"}}}]})
        };
        let scheduled = |reason: &str| json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": reason, "message": "0/3 nodes"}]});
        for (expected, status) in [
            (Some("container nats cannot pull its image (n)"), waiting("ImagePullBackOff")),
            (Some("container nats crashes repeatedly; see kubectl logs (n)"), waiting("CrashLoopBackOff")),
            (None, waiting("ContainerCreating")),
            (Some("no node accepts it: 0/3 nodes"), scheduled("Unschedulable")),
            (None, scheduled("SchedulingGated")),
            (None, json!({})),
        ] {
            let state = state(json!({"metadata": {"name": "n-0"}, "status": status}));
            assert_eq!(state.broken.as_deref(), expected, "{status}");
        }
    }

    #[test]
    fn server_is_running_after_its_startup_probe() {
        let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
        for (expected, started, container) in [
            (true, true, running.clone()),
            (false, false, running),
            (false, true, json!({"waiting": {"reason": "CrashLoopBackOff"}})),
        ] {
            let container = json!({"name": "nats", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "started": started, "state": container});
            let state = state(json!({"metadata": {"name": "n-0"}, "status": {"containerStatuses": [container]}}));
            assert_eq!(state.running, expected);
        }
    }

    #[test]
    fn pod_of_another_name_has_no_ordinal() {
        for (name, ordinal) in [("n-0", Some(0)), ("n-12", Some(12)), ("n-box-2", None), ("m-0", None), ("n", None)] {
            assert_eq!(state(json!({"metadata": {"name": name}})).ordinal, ordinal, "{name}");
        }
    }

    #[test]
    fn termination_begins_a_grace_period_before_the_deletion_timestamp() {
        let metadata =
            json!({"name": "n-0", "deletionTimestamp": "1970-01-01T00:10:00Z", "deletionGracePeriodSeconds": 150});
        assert_eq!(state(json!({"metadata": metadata})).terminating, Some(Time::from_millis(450_000)));
    }

    #[test]
    fn pods_of_an_earlier_stateful_set_are_no_servers_if_they_terminate_or_are_older() {
        let nats = |created: &str| -> Nats {
            serde_json::from_value(json!({
                "apiVersion": "operator.kyma-project.io/v1alpha1", "kind": "NATS", "spec": {},
                "metadata": {"name": "n", "creationTimestamp": created},
            }))
            .unwrap()
        };
        let (nats, newer_nats) = (nats("2026-11-26T11:00:00Z"), nats("2026-11-26T12:00:00Z"));
        let pod = |owner: Option<&str>, is_terminating: bool| {
            let owners = owner.map(|uid| json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "n", "uid": uid, "controller": true}]));
            let deleted = is_terminating.then_some("2026-11-26T12:00:00Z");
            let created = "2026-11-26T11:30:00Z";
            let meta = json!({
                "name": "n-0", "ownerReferences": owners, "creationTimestamp": created, "deletionTimestamp": deleted,
            });
            serde_json::from_value::<Pod>(json!({"metadata": meta})).unwrap()
        };
        let mut set = StatefulSet::default();
        set.metadata.uid = Some("new".to_owned());
        for (owner, is_terminating, of_new, without, without_and_older, of_leftover) in [
            (Some("new"), false, true, true, false, false),
            (Some("new"), true, true, false, false, false),
            (Some("old"), true, false, false, false, false),
            (Some("old"), false, false, true, false, true),
            (None, false, true, true, true, true),
            (None, true, true, true, true, true),
        ] {
            let pod = pod(owner, is_terminating);
            let case = format!("{owner:?}, terminating: {is_terminating}");
            let has = |stateful_set, leftover, nats| PodOwner { stateful_set, leftover, nats }.has(&pod);
            assert_eq!(has(Some(&set), None, &nats), of_new, "{case}");
            assert_eq!(has(Some(&set), None, &newer_nats), of_new, "{case}");
            assert_eq!(has(None, None, &nats), without, "{case}, no StatefulSet");
            assert_eq!(has(None, None, &newer_nats), without_and_older, "{case}, no StatefulSet, newer resource");
            assert_eq!(has(None, Some(&set), &nats), of_leftover, "{case}, the StatefulSet is a leftover");
            let may_be = |leftover| PodOwner { stateful_set: None, leftover, nats: &nats }.may_have_created(&pod);
            assert!(may_be(None), "{case}");
            assert_eq!(may_be(Some(&set)), owner != Some("new"), "{case}, the StatefulSet is a leftover");
        }
    }

    #[test]
    fn cached_pod_has_all_that_its_state_is_read_from() {
        let pod = json!({
            "metadata": {"name": "n-2", "uid": "u", "labels": {"controller-revision-hash": "r"}},
            "spec": {"nodeName": "a", "containers": [{"name": "nats", "image": "nats:2.14.2-scratch", "command": ["x"]}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let mut cached = pod.clone();
        crate::watch::keep_needed_fields(&mut cached);
        let state = pod_state(&cached, "n");
        assert_eq!(state, pod_state(&pod, "n"));
        assert_eq!((state.version.is_some(), state.node.is_some(), state.revision.is_some()), (true, true, true));
        assert_eq!(cached.spec.unwrap().containers[0].command, None);
    }
}
