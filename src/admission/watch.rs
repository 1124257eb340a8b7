//! Caches that only the webhook uses.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt, Stream, StreamExt, stream::FuturesUnordered};
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    core::v1::Secret,
    rbac::v1::ClusterRole,
    storage::v1::StorageClass,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::PartialObjectMeta,
    runtime::watcher::{self, Config, Event},
};
use nats_manager_api::rules::StorageClasses;
use tokio::sync::broadcast;

use super::{
    CA_SECRET, Certificates, WebhookSettings,
    configuration::{CONFIGURATION, OWNER_ROLE},
};
use crate::{
    telemetry::{Metrics, Readiness},
    watch::{CachedObject, Trigger, WatchGroup, WatchTask, WatchTasks, by_name, events, without_managed_fields},
};

/// Caches of the webhook, each filled by a watch.
#[derive(Debug)]
pub(crate) struct WebhookCaches {
    /// Secret with the CA, and with the CAs of other sources.
    pub ca: CachedObject<Secret>,
    pub mutating: CachedObject<MutatingWebhookConfiguration>,
    pub validating: CachedObject<ValidatingWebhookConfiguration>,
    /// ClusterRole that owns the configurations.
    pub owner: CachedObject<PartialObjectMeta<ClusterRole>>,
    storage_classes: Mutex<BTreeMap<String, Class>>,
    group: WatchGroup,
}

/// StorageClass, as far as rules depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Class {
    is_default: bool,
    is_expandable: bool,
}

/// Annotation of the default StorageClass
/// (<https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass>).
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Prepares the watches that the settings require. Nothing is cached until the future is polled.
pub(crate) fn watch_all(
    client: &Client,
    own_namespace: &str,
    settings: &WebhookSettings,
    metrics: &Metrics,
    readiness: &Readiness,
) -> (Arc<WebhookCaches>, WatchTasks) {
    let group = WatchGroup::new();
    let task = |resource, cache| group.task(resource, cache, metrics, readiness);
    let webhook_caches = Arc::new(WebhookCaches {
        ca: CachedObject::default(),
        mutating: CachedObject::default(),
        validating: CachedObject::default(),
        owner: CachedObject::default(),
        storage_classes: Mutex::default(),
        group: group.clone(),
    });
    let all: FuturesUnordered<WatchTasks> = FuturesUnordered::new();
    if settings.certificates == Certificates::Own || settings.managed {
        let events = events(Api::namespaced(client.clone(), own_namespace), by_name(CA_SECRET));
        all.push(named(task("secrets", "webhook-ca"), events, &webhook_caches, |all| &all.ca));
    }
    if settings.managed {
        let of = task("mutatingwebhookconfigurations", "mutating-configuration");
        all.push(named(of, events(Api::all(client.clone()), by_name(CONFIGURATION)), &webhook_caches, |all| {
            &all.mutating
        }));
        let of = task("validatingwebhookconfigurations", "validating-configuration");
        all.push(named(of, events(Api::all(client.clone()), by_name(CONFIGURATION)), &webhook_caches, |all| {
            &all.validating
        }));
        let of = task("clusterroles", "webhook-owner");
        let metadata = without_managed_fields(watcher::watcher(Api::all(client.clone()), by_name(OWNER_ROLE)));
        all.push(named(of, metadata, &webhook_caches, |all| &all.owner));
    }
    let api = Api::<StorageClass>::all(client.clone());
    let classes = task("storageclasses", "storage-classes");
    all.push(watch_classes(classes, api, webhook_caches.clone()).boxed());
    (webhook_caches, all.collect::<()>().boxed())
}

fn named<K>(
    task: WatchTask,
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + Unpin + 'static,
    webhook_caches: &Arc<WebhookCaches>,
    slot: fn(&WebhookCaches) -> &CachedObject<K>,
) -> WatchTasks
where
    K: Resource + Send + Sync + 'static,
{
    let webhook_caches = webhook_caches.clone();
    async move { task.watch_named(events, slot(&webhook_caches)).await }.boxed()
}

impl WebhookCaches {
    /// Resolves when every watch has delivered its first list.
    pub(crate) async fn filled(&self) {
        self.group.filled().await;
    }

    /// Subscribes to changes from now on.
    pub(crate) fn subscribe(&self) -> Changes {
        Changes(self.group.subscribe())
    }

    /// Returns the StorageClasses, and which of them is the default.
    pub(crate) fn storage_classes(&self) -> StorageClasses {
        let classes = self.storage_classes.lock().unwrap_or_else(PoisonError::into_inner);
        StorageClasses {
            all: classes.iter().map(|(name, class)| (name.clone(), class.is_expandable)).collect(),
            default: classes.iter().find(|(_, class)| class.is_default).map(|(name, _)| name.clone()),
        }
    }

    fn change_classes(&self, change: impl FnOnce(&mut BTreeMap<String, Class>)) {
        change(&mut self.storage_classes.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Subscription to changes of the caches.
#[derive(Debug)]
pub(crate) struct Changes(broadcast::Receiver<Trigger>);

impl Changes {
    /// Resolves at the next change. Never resolves after the caches are gone.
    pub(crate) async fn next(&mut self) {
        if let Err(broadcast::error::RecvError::Closed) = self.0.recv().await {
            std::future::pending::<()>().await;
        }
    }
}

async fn watch_classes(task: WatchTask, api: Api<StorageClass>, webhook_caches: Arc<WebhookCaches>) {
    let entry = |class: &StorageClass| {
        let is_default = class.annotations().get(DEFAULT_CLASS).is_some_and(|value| value == "true");
        let is_expandable = class.allow_volume_expansion == Some(true);
        (class.name_any(), Class { is_default, is_expandable })
    };
    let mut listed = BTreeMap::new();
    task.run(events(api, Config::default()), |event| {
        match event {
            Event::Apply(class) => webhook_caches.change_classes(|classes| classes.extend([entry(&class)])),
            Event::Delete(class) => webhook_caches.change_classes(|classes| {
                classes.remove(&class.name_any());
            }),
            Event::Init => listed.clear(),
            Event::InitApply(class) => listed.extend([entry(&class)]),
            Event::InitDone => webhook_caches.change_classes(|classes| *classes = std::mem::take(&mut listed)),
        }
        // StorageClasses affect only the next review.
        None
    })
    .await;
}
