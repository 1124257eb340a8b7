//! Kill of a server by SIGKILL, and restarts of its container.

use std::fs;

use k8s_openapi::api::core::v1::Pod;
use nats_manager_harness::{Seen, eventually};
use tokio::process::Command;

use crate::{
    servers::is_ready,
    world::{SOON, World},
};

impl World<'_> {
    /// Kills the server in a Pod as the kernel does when memory runs out. Waits until its container has restarted and
    /// is ready.
    pub async fn kill_server(&self, name: &str) {
        let pod = self.pod(name).await;
        let before = restarts(&pod);
        let pid = server_of(pod.metadata.uid.as_deref().unwrap()).expect("the server has a process");
        assert!(Command::new("kill").args(["-KILL", &pid]).status().await.unwrap().success());
        eventually(&format!("the container of {name} has restarted"), SOON, || async {
            let pod = self.pod(name).await;
            let restarted = restarts(&pod) > before && is_ready(&pod);
            if restarted { Seen::Done(()) } else { Seen::NotYet(format!("{} restarts", restarts(&pod))) }
        })
        .await;
    }
}

/// Returns the restart count of the container `nats`.
pub fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    statuses.iter().filter(|status| status.name == "nats").map(|status| status.restart_count).sum()
}

/// Returns the process ID of the server in a Pod. Containers are processes of this machine, in the cgroup of their Pod.
fn server_of(uid: &str) -> Option<String> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    pids.find(|pid| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        read("comm").trim() == "nats-server" && read("cgroup").contains(uid)
    })
}
