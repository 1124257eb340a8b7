//! Watches that run beside a story.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{
    http,
    servers::{MONITOR_PORT, address, is_ready},
    world::{NAMESPACE, World},
};

const POLL: Duration = Duration::from_millis(200);
const PVC_PREFIX: &str = "eventing-nats-js-pvc-";

/// Records the worst that was seen, with what it was, until it is dropped.
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
    /// Returns the worst that was seen.
    pub fn get(&self) -> Option<(T, String)> {
        self.seen.lock().unwrap().clone()
    }
}

impl World<'_> {
    /// Watches the members of the cluster: servers that have a PVC which is not being deleted. One that leaves counts
    /// as away until its PVC is deleted, which is the end of its removal.
    pub fn watch_members(&self) -> Worst<usize> {
        let client = self.client.clone();
        self.watch(move || away(client.clone()), |new, worst| new > worst)
    }

    /// Watches how many servers have all messages of a stream that is not written to.
    pub fn watch_complete_replicas(&self, stream: &'static str, last: u64) -> Worst<usize> {
        let client = self.client.clone();
        self.watch(move || complete(client.clone(), stream, last), |new, worst| new < worst)
    }

    #[allow(clippy::unused_self, reason = "a watch belongs to a world")]
    fn watch<T, F>(&self, look: impl Fn() -> F + Send + 'static, is_worse: fn(T, T) -> bool) -> Worst<T>
    where
        T: Copy + Send + 'static,
        F: Future<Output = Option<(T, String)>> + Send,
    {
        let seen = Arc::new(Mutex::new(None));
        let worst: Arc<Mutex<Option<(T, String)>>> = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                if let Some((new, text)) = look().await {
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
    /// Fails when more than one member was away at a time.
    pub fn one_away_at_most(&self) {
        let (worst, text) = self.get().expect("nothing was seen");
        assert!(worst <= 1, "{worst} members were away at a time: {text}");
    }
}

async fn away(client: Client) -> Option<(usize, String)> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pvcs: Api<PersistentVolumeClaim> = Api::namespaced(client, NAMESPACE);
    let (pods, pvcs) = tokio::try_join!(
        async { pods.list(&ListParams::default().labels("nats_cluster=eventing-nats")).await },
        async { pvcs.list(&ListParams::default()).await }
    )
    .ok()?;
    let is_away = |server: &String| !pods.items.iter().any(|pod| pod.name_any() == *server && is_ready(pod));
    let kept = pvcs.items.iter().filter(|pvc| pvc.metadata.deletion_timestamp.is_none());
    let members = kept.filter_map(|pvc| Some(pvc.name_any().strip_prefix(PVC_PREFIX)?.to_owned()));
    let away: Vec<String> = members.filter(is_away).collect();
    Some((away.len(), away.join(", ")))
}

async fn complete(client: Client, stream: &str, last: u64) -> Option<(usize, String)> {
    let replicas = replicas(client, stream).await?;
    let complete = replicas.values().filter(|sequence| **sequence >= last).count();
    Some((complete, format!("of {last}: {replicas:?}")))
}

/// Returns the last sequence of each replica of a stream, as its own server reports it.
pub async fn replicas(client: Client, stream: &str) -> Option<BTreeMap<String, u64>> {
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let pods = pods.list(&ListParams::default().labels("nats_cluster=eventing-nats")).await.ok()?.items;
    let mut all = BTreeMap::new();
    for pod in &pods {
        let Some(ip) = address(pod) else { continue };
        let answer = http::get(SocketAddr::new(ip, MONITOR_PORT), "/jsz?accounts=true&streams=true").await;
        let Some((200, body)) = answer else { continue };
        let answer: Value = serde_json::from_str(&body).ok()?;
        let streams = answer["account_details"].as_array().into_iter().flatten();
        let mut details = streams.flat_map(|account| account["stream_detail"].as_array().into_iter().flatten());
        if let Some(found) = details.find(|detail| detail["name"] == stream) {
            all.insert(pod.name_any(), found["state"]["last_seq"].as_u64().unwrap_or_default());
        }
    }
    Some(all)
}
