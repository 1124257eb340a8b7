//! Pods that cannot run as they are: waiting does not help them, another template may.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// Why a container waits, where it does so for good (`pkg/kubelet/images`, `pkg/kubelet/container`).
const HOPELESS: [&str; 8] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
];

/// The longest cause, in bytes.
const LONGEST: usize = 200;

/// Why the pod cannot run, if it cannot.
pub fn broken(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let mut causes = containers.filter_map(container).chain(unschedulable(pod));
    causes.next().map(short)
}

fn container(status: &ContainerStatus) -> Option<String> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| HOPELESS.contains(reason))?;
    // Its message tells seconds and counts, and some reasons take turns.
    let what = match reason {
        "CrashLoopBackOff" => "keeps crashing; see kubectl logs",
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => "cannot pull its image",
        _ => "cannot be started",
    };
    Some(format!("container {} {what} ({})", status.name, status.image))
}

fn unschedulable(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled =
        conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    (scheduled.reason.as_deref() == Some("Unschedulable"))
        .then(|| format!("no node takes it: {}", scheduled.message.as_deref().unwrap_or_default()))
}

fn short(mut cause: String) -> String {
    cause.truncate(cause.floor_char_boundary(LONGEST));
    cause
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_is_broken_when_waiting_does_not_help() {
        let waiting = |reason: &str| {
            json!({"containerStatuses": [{"name": "nats", "image": "n", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": "Back-off 10s"}}}]})
        };
        let scheduled = |reason: &str| json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": reason, "message": "0/3 nodes"}]});
        for (expected, status) in [
            (Some("container nats cannot pull its image (n)"), waiting("ImagePullBackOff")),
            (Some("container nats keeps crashing; see kubectl logs (n)"), waiting("CrashLoopBackOff")),
            (None, waiting("ContainerCreating")),
            (Some("no node takes it: 0/3 nodes"), scheduled("Unschedulable")),
            (None, scheduled("SchedulingGated")),
            (None, json!({})),
        ] {
            let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "n-0"}, "status": status})).unwrap();
            assert_eq!(broken(&pod).as_deref(), expected, "{status}");
        }
    }
}
