//! Pods of the NATS servers.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
};
use nats_manager_harness::{Seen, eventually, http_get};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::world::{NAME, NAMESPACE, SOON, World};

const SERVERS: &str = "nats_cluster=eventing-nats";
/// Monitoring port of a server.
pub const MONITOR_PORT: u16 = 8222;
const POLL: Duration = Duration::from_millis(100);

/// Background task that records how many servers are not ready at a time, until dropped.
pub struct Watch {
    worst: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl World<'_> {
    /// Returns the name of the server with an ordinal.
    pub fn server(ordinal: usize) -> String {
        format!("{NAME}-{ordinal}")
    }

    /// Returns the Pods of the servers, sorted by name.
    pub async fn pods(&self) -> Vec<Pod> {
        servers(&self.client).await.unwrap()
    }

    /// Returns a Pod by its name.
    pub async fn pod(&self, name: &str) -> Pod {
        self.api::<Pod>().get(name).await.unwrap()
    }

    /// Deletes a Pod as an eviction does, without waiting for its end.
    pub async fn delete_pod(&self, name: &str) {
        self.api::<Pod>().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until there are `count` servers, all ready and none of them among the `old` Pods. Returns their Pods.
    pub async fn servers_are_ready(&self, count: usize, old: &[Pod]) -> Vec<Pod> {
        eventually(&format!("{count} servers are ready"), SOON, || async {
            let pods = servers(&self.client).await?;
            let is_new = |pod: &Pod| old.iter().all(|old| old.uid() != pod.uid());
            let ready = pods.iter().filter(|pod| is_ready(pod) && is_new(pod)).count();
            let seen = format!("{ready} of {} are", pods.len());
            Ok::<_, kube::Error>(if ready == count && pods.len() == count {
                Seen::Done(pods)
            } else {
                Seen::NotYet(seen)
            })
        })
        .await
    }

    /// Returns the JSON of a path of the monitoring port, such as `/varz` or `/jsz`.
    pub async fn monitor(&self, pod: &Pod, path: &str) -> Value {
        let (status, body) = http_get(SocketAddr::new(address(pod).unwrap(), MONITOR_PORT), path).await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Starts to watch `count` servers.
    pub fn watch_servers(&self, count: usize) -> Watch {
        let worst = Arc::new(AtomicUsize::new(0));
        let (client, seen) = (self.client.clone(), Arc::clone(&worst));
        let task = tokio::spawn(async move {
            loop {
                if let Ok(pods) = servers(&client).await {
                    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
                    seen.fetch_max(count.saturating_sub(ready), Ordering::Relaxed);
                }
                tokio::time::sleep(POLL).await;
            }
        });
        Watch { worst, task }
    }
}

impl Watch {
    /// Returns the highest number of servers that were not ready at a time.
    pub fn worst(&self) -> usize {
        self.worst.load(Ordering::Relaxed)
    }

    /// Checks that at most one server was down at a time.
    pub fn at_most_one_server_down(&self) {
        let worst = self.worst();
        assert!(worst <= 1, "{worst} servers were down at a time");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the addresses of the servers that are ready.
pub async fn addresses(client: &Client) -> kube::Result<Vec<IpAddr>> {
    Ok(servers(client).await?.iter().filter(|pod| is_ready(pod)).filter_map(address).collect())
}

/// Returns the address of a Pod.
pub fn address(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

/// Returns whether a Pod is ready and not terminating.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn servers(client: &Client) -> kube::Result<Vec<Pod>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let mut pods = api.list(&ListParams::default().labels(SERVERS)).await?.items;
    pods.sort_by_key(ResourceExt::name_any);
    Ok(pods)
}
