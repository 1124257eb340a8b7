//! Background watches of a story.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};
use nats_manager_harness::http_get;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{
    servers::{MONITOR_PORT, address, is_ready},
    world::{NAMESPACE, World},
};

const POLL: Duration = Duration::from_millis(200);
const PVC_PREFIX: &str = "eventing-nats-js-pvc-";

/// Background task that records the worst observed value with a description, until dropped.
pub struct Worst<T> {
    seen: Arc<Mutex<Option<(T, String)>>>,
    task: JoinHandle<()>,
}

impl<T> Drop for Worst<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T: Copy + Send + 'static> Worst<T> {
    /// Returns the worst observed value with its description; `None` before the first one.
    pub fn get(&self) -> Option<(T, String)> {
        self.seen.lock().unwrap().clone()
    }
}

impl World<'_> {
    /// Watches how many members are unavailable. A member is a server whose PVC is not terminating, so a leaving server
    /// `size_becomes` as unavailable until its PVC is deleted, which is the end of its removal.
    pub fn watch_members(&self) -> Worst<usize> {
        let client = self.client.clone();
        self.watch(move || unavailable(client.clone()), |new, worst| new > worst)
    }

    /// Watches how many servers have all messages of a stream without writes.
    pub fn watch_complete_replicas(&self, stream: &'static str, last: u64) -> Worst<usize> {
        let client = self.client.clone();
        self.watch(move || complete(client.clone(), stream, last), |new, worst| new < worst)
    }

    #[allow(clippy::unused_self, reason = "a watch belongs to a world")]
    fn watch<T, F>(&self, probe: impl Fn() -> F + Send + 'static, is_worse: fn(T, T) -> bool) -> Worst<T>
    where
        T: Copy + Send + 'static,
        F: Future<Output = Option<(T, String)>> + Send,
    {
        let seen = Arc::new(Mutex::new(None));
        let worst: Arc<Mutex<Option<(T, String)>>> = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                if let Some((new, text)) = probe().await {
                    let mut worst = worst.lock().unwrap();
                    if worst.as_ref().is_none_or(|(old, _)| is_worse(new, *old)) {
                        *worst = Some((new, text));
                    }
                }
                tokio::time::sleep(POLL).await;
            }
        });
        Worst { seen, task }
    }
}

impl Worst<usize> {
    /// Checks that at most one member was unavailable at a time.
    pub fn at_most_one_unavailable(&self) {
        let (worst, text) = self.get().expect("no value was observed");
        assert!(worst <= 1, "{worst} members were unavailable at a time: {text}");
    }
}

async fn unavailable(client: Client) -> Option<(usize, String)> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pvcs: Api<PersistentVolumeClaim> = Api::namespaced(client, NAMESPACE);
    let (pods, pvcs) = tokio::try_join!(
        async { pods.list(&ListParams::default().labels("nats_cluster=eventing-nats")).await },
        async { pvcs.list(&ListParams::default()).await }
    )
    .ok()?;
    let is_unavailable = |server: &String| !pods.items.iter().any(|pod| pod.name_any() == *server && is_ready(pod));
    let kept = pvcs.items.iter().filter(|pvc| pvc.metadata.deletion_timestamp.is_none());
    let members = kept.filter_map(|pvc| Some(pvc.name_any().strip_prefix(PVC_PREFIX)?.to_owned()));
    let unavailable: Vec<String> = members.filter(is_unavailable).collect();
    Some((unavailable.len(), unavailable.join(", ")))
}

async fn complete(client: Client, stream: &str, last: u64) -> Option<(usize, String)> {
    let replicas = replicas(client, stream).await?;
    let complete = replicas.values().filter(|sequence| **sequence >= last).count();
    Some((complete, format!("of {last}: {replicas:?}")))
}

/// Returns the last sequence of each replica of a stream by server, as that server reports it.
pub async fn replicas(client: Client, stream: &str) -> Option<BTreeMap<String, u64>> {
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let pods = pods.list(&ListParams::default().labels("nats_cluster=eventing-nats")).await.ok()?.items;
    let mut all = BTreeMap::new();
    for pod in &pods {
        let Some(ip) = address(pod) else { continue };
        let response = http_get(SocketAddr::new(ip, MONITOR_PORT), "/jsz?accounts=true&streams=true").await;
        let Ok((200, body)) = response else { continue };
        let jsz: Value = serde_json::from_str(&body).ok()?;
        let streams = jsz["account_details"].as_array().into_iter().flatten();
        let mut details = streams.flat_map(|account| account["stream_detail"].as_array().into_iter().flatten());
        if let Some(found) = details.find(|detail| detail["name"] == stream) {
            all.insert(pod.name_any(), found["state"]["last_seq"].as_u64().unwrap_or_default());
        }
    }
    Some(all)
}
