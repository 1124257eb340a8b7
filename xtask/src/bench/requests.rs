//! Requests of the manager, counted in the audit log of the apiserver.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use nats_manager_api::{ModuleState, NamespacedName, Nats, NatsSpec};
use nats_manager_harness::{AuditEvent, AuditEvents};
use serde_json::json;
use tokio::time::sleep;

use super::{BenchError, measure::Measure};
use crate::{
    local::{Local, LocalError, NAME, NAMESPACE},
    terminal::note,
};

/// Most writes from the creation of a resource with three servers until it is ready: nine of other objects, three of the
/// resource, and one of its status each time that a reconcile sees one or two servers ready. How many of these it sees
/// depends on the time between them. The e2e test `new_resource_becomes_ready_with_few_writes` asserts the parts.
pub(super) const MOST_WRITES_UNTIL_READY: u32 = 9 + 3 + 2;
/// Start of the manager's user agent in the audit log.
const AGENT: &str = "nats-manager/";

const READY_LIMIT: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(100);
const REVIEWED_LIMIT: Duration = Duration::from_secs(20);
/// Time for writes that follow the last change.
const TRAILING_WRITES: Duration = Duration::from_secs(5);
/// Interval between changes of a Pod's status while nothing else changes.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// Creates a resource with defaults, and counts the writes until it is ready and 5 s longer.
pub(super) async fn until_ready(local: &Local) -> Result<Vec<Measure>, BenchError> {
    let audit = local.cluster().audit().map_err(LocalError::from)?;
    let api: Api<Nats> = Api::namespaced(local.client(), NAMESPACE);
    let nats = Nats::new(NAME, NatsSpec::default());
    wait_until_reviewed(&api, &nats).await?;
    let mark = audit.mark().await.map_err(LocalError::from)?;
    api.create(&PostParams::default(), &nats).await?;
    wait_until_ready(&api).await?;
    sleep(TRAILING_WRITES).await;
    let events = audit.since(mark).await.map_err(LocalError::from)?;
    let writes: Vec<_> = ours(&events).filter(|event| event.is_write() && !is_lease(event)).collect();
    print_requests(&writes);
    Ok(vec![Measure::count("writes from create to Ready", writes.len(), MOST_WRITES_UNTIL_READY)])
}

/// Waits until the apiserver calls the webhook of the running manager. It loads a changed configuration with a delay, and
/// each start of the manager has a port of its own.
pub(super) async fn wait_until_reviewed(api: &Api<Nats>, nats: &Nats) -> Result<(), BenchError> {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let begun = Instant::now();
    loop {
        match api.create(&dry_run, nats).await {
            Ok(_) => return Ok(()),
            Err(error) if begun.elapsed() > REVIEWED_LIMIT => return Err(error.into()),
            Err(_) => sleep(POLL).await,
        }
    }
}

/// Counts the requests of a steady cluster, other than watches and the lease, while the status of its Pods changes.
pub(super) async fn steady(local: &Local, time: Duration) -> Result<Vec<Measure>, BenchError> {
    let audit = local.cluster().audit().map_err(LocalError::from)?;
    let pods: Api<Pod> = Api::namespaced(local.client(), NAMESPACE);
    let labels = NamespacedName::new(NAMESPACE, NAME).label_query();
    let names: Vec<String> =
        pods.list(&ListParams::default().labels(&labels)).await?.iter().map(ResourceExt::name_any).collect();
    let mark = audit.mark().await.map_err(LocalError::from)?;
    let started = Instant::now();
    let mut names = names.iter().cycle();
    while started.elapsed() < time {
        sleep(STATUS_INTERVAL.min(time.saturating_sub(started.elapsed()))).await;
        if let Some(name) = names.next() {
            let patch = json!({"status": {"message": format!("{} s", started.elapsed().as_secs())}});
            pods.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        }
    }
    let events = audit.since(mark).await.map_err(LocalError::from)?;
    let requests: Vec<_> = ours(&events).filter(|event| event.verb != "watch" && !is_lease(event)).collect();
    print_requests(&requests);
    let writes = requests.iter().filter(|event| event.is_write()).count();
    Ok(vec![
        Measure::count("writes of a steady cluster", writes, 0),
        Measure::count("reads of a steady cluster, without watches", requests.len() - writes, 0),
    ])
}

async fn wait_until_ready(api: &Api<Nats>) -> Result<(), BenchError> {
    let started = Instant::now();
    loop {
        let status = api.get(NAME).await?.status.unwrap_or_default();
        if status.state == ModuleState::Ready.to_string() {
            return Ok(());
        }
        if started.elapsed() > READY_LIMIT {
            let seen = serde_json::to_string(&status).unwrap_or_default();
            return Err(BenchError::NotReady { within: READY_LIMIT, seen });
        }
        sleep(POLL).await;
    }
}

/// Counts the writes of the manager, without those of the lease.
pub(super) fn writes(events: &AuditEvents) -> usize {
    ours(events).filter(|event| event.is_write() && !is_lease(event)).count()
}

/// Returns the requests of the manager.
fn ours(events: &AuditEvents) -> impl Iterator<Item = &AuditEvent> {
    events.iter().filter(|event| event.user_agent.starts_with(AGENT))
}

/// Returns whether a request is for the lease: leader election writes it every few seconds in any cluster.
fn is_lease(event: &AuditEvent) -> bool {
    event.resource == "leases"
}

/// Prints requests, so that the count can be checked.
fn print_requests(events: &[&AuditEvent]) {
    for event in events {
        let resource = [&*event.resource, &*event.subresource].join("/");
        note(format!("  {} {} {} {}", event.verb, resource.trim_end_matches('/'), event.name, event.code));
    }
}
