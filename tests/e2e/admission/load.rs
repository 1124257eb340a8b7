//! Load of changes to NATS resources, sent as dry runs: admission treats them like any other request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use nats_manager_api::Nats;
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, oneshot},
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};

use super::nats;
use crate::world::{NAME, NAMESPACE, World};

/// Requests per second during a change of certificates.
pub const PER_SECOND: u32 = 50;
/// Limit of concurrent requests: more would only wait for the apiserver.
const MAX_CONCURRENT: usize = 64;

/// Requests at a steady rate until [`Load::end`]. The NATS resource has to exist.
pub struct Load {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Tally>,
    before: f64,
}

/// Result of a load.
#[derive(Debug, Default)]
pub struct Tally {
    pub sent: usize,
    /// Requests whose response does not come from the webhook.
    pub failed: Vec<String>,
    pub took: Duration,
    pub slowest: Duration,
}

impl Load {
    /// Starts to send `per_second` requests per second.
    pub async fn start(world: &World, per_second: u32) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let client = world.client.clone();
        let before = failed_calls(world).await;
        let task = tokio::spawn(async move {
            let (mut tally, started) = (Tally::default(), Instant::now());
            let semaphore = Arc::new(Semaphore::new(MAX_CONCURRENT));
            let mut running = JoinSet::new();
            let mut ticker = interval(Duration::from_secs(1) / per_second);
            ticker.set_missed_tick_behavior(MissedTickBehavior::Burst);
            loop {
                tokio::select! {
                    _ = ticker.tick() => {}
                    _ = &mut stopped => break,
                }
                let permit = semaphore.clone().acquire_owned().await.unwrap();
                let request = request(client.clone(), tally.sent);
                running.spawn(async move {
                    let sent = Instant::now();
                    let result = request.await;
                    drop(permit);
                    (result, sent.elapsed())
                });
                tally.sent += 1;
                while let Some(Ok((result, took))) = running.try_join_next() {
                    tally.count(result, took);
                }
            }
            tally.took = started.elapsed();
            while let Some(Ok((result, took))) = running.join_next().await {
                tally.count(result, took);
            }
            tally
        });
        Self { stop, task, before }
    }

    /// Ends the load, and asserts that the webhook has answered every request.
    pub async fn end(self, world: &World, what: &str) -> Tally {
        let _ = self.stop.send(());
        let tally = self.task.await.unwrap();
        println!("{what}: {tally}");
        assert!(
            tally.failed.is_empty(),
            "{what}: {} failed: {:#?}",
            tally.failed.len(),
            &tally.failed[..tally.failed.len().min(5)]
        );
        let failed = failed_calls(world).await - self.before;
        assert!(failed < 0.5, "{what}: the apiserver counts {failed} failed calls");
        tally
    }
}

impl Tally {
    fn count(&mut self, result: Result<(), String>, took: Duration) {
        self.slowest = self.slowest.max(took);
        self.failed.extend(result.err());
    }

    /// Returns the rate in requests per second.
    pub fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.sent).unwrap()) / self.took.as_secs_f64()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sent, failed, took, slowest } = self;
        write!(
            f,
            "{sent} requests in {took:.0?} ({:.0}/s), {} failed, the slowest took {slowest:.0?}",
            self.rate(),
            failed.len()
        )
    }
}

/// Sends one of three kinds of requests, each with a response that only the webhook gives.
async fn request(client: Client, number: usize) -> Result<(), String> {
    let api: Api<Nats> = Api::namespaced(client, NAMESPACE);
    let merge = |patch: Value| {
        let (api, dry_run) = (api.clone(), PatchParams { dry_run: true, ..PatchParams::default() });
        async move { api.patch(NAME, &dry_run, &Patch::Merge(patch)).await }
    };
    let rejection = |response: kube::Result<Nats>, text: &str| match response {
        Err(kube::Error::Api(status)) if status.message.contains(text) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    match number % 3 {
        // The mutating webhook restores the size.
        0 => match merge(json!({"spec": {"jetStream": {"fileStorage": {"size": null}}}})).await {
            Ok(nats) if nats.spec.jet_stream.file_storage.size.is_some() => Ok(()),
            other => Err(format!("{other:?}")),
        },
        1 => rejection(
            merge(json!({"spec": {"labels": {"nats_cluster": "mine"}}})).await,
            "is set by NATS Manager itself",
        ),
        _ => {
            let mut other = nats(json!({}));
            other["metadata"]["name"] = json!("another");
            let dry_run = PostParams { dry_run: true, ..PostParams::default() };
            let object = serde_json::from_value(other).map_err(|error| error.to_string())?;
            rejection(api.create(&dry_run, &object).await, "Only a single NATS CR")
        }
    }
}

/// Returns how often the apiserver failed to call the webhook, with either failure policy.
async fn failed_calls(world: &World) -> f64 {
    let metrics = world.kubectl(&["get", "--raw", "/metrics"]).await.unwrap();
    let is_failure = |line: &&str| {
        line.contains("nats.operator.kyma-project.io")
            && (line.starts_with("apiserver_admission_webhook_fail_open_count")
                || line.starts_with("apiserver_admission_webhook_rejection_count")
                    && line.contains("calling_webhook_error"))
    };
    metrics.lines().filter(is_failure).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
