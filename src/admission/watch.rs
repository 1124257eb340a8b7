//! The caches that only the webhook needs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt, Stream, StreamExt, stream::FuturesUnordered};
use k8s_openapi::{
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        core::v1::Secret,
        storage::v1::StorageClass,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::PartialObjectMeta,
    runtime::watcher::{self, Config, Event},
};
use nats_manager_api::{crd, rules::StorageClasses};
use tokio::sync::broadcast;

use super::{CA_SECRET, Certificates, Settings, configuration::CONFIGURATION};
use crate::{
    controller::watch::{Feed, Follower, Following, Named, Wake, by_name, events, lean},
    telemetry::{Metrics, Readiness},
};

/// What the webhook has cached.
#[derive(Debug)]
pub struct Caches {
    /// The Secret with the CA.
    pub ca: Named<Secret>,
    /// The mutating configuration.
    pub mutating: Named<MutatingWebhookConfiguration>,
    /// The validating configuration.
    pub validating: Named<ValidatingWebhookConfiguration>,
    /// The definition of NATS, which owns the configurations.
    pub definition: Named<PartialObjectMeta<CustomResourceDefinition>>,
    storage_classes: Mutex<BTreeMap<String, bool>>,
    feed: Feed,
}

/// Marks the default class
/// (<https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass>).
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Starts the watches; poll the future. Only what the settings call for is watched.
pub fn caches(
    client: &Client,
    own_namespace: &str,
    settings: &Settings,
    metrics: &Metrics,
    readiness: &Readiness,
) -> (Arc<Caches>, Following) {
    let feed = Feed::new();
    let follower = |resource, cache| feed.follower((resource, cache), metrics, readiness);
    let caches = Arc::new(Caches {
        ca: Named::default(),
        mutating: Named::default(),
        validating: Named::default(),
        definition: Named::default(),
        storage_classes: Mutex::default(),
        feed: feed.clone(),
    });
    let all: FuturesUnordered<Following> = FuturesUnordered::new();
    if settings.certificates == Certificates::Own {
        let events = events(Api::namespaced(client.clone(), own_namespace), by_name(CA_SECRET));
        all.push(named(follower("secrets", "webhook-ca"), events, &caches, |all| &all.ca));
    }
    if settings.managed {
        let of = follower("mutatingwebhookconfigurations", "mutating-configuration");
        all.push(named(of, events(Api::all(client.clone()), by_name(CONFIGURATION)), &caches, |all| &all.mutating));
        let of = follower("validatingwebhookconfigurations", "validating-configuration");
        all.push(named(of, events(Api::all(client.clone()), by_name(CONFIGURATION)), &caches, |all| &all.validating));
        let of = follower("customresourcedefinitions", "definition");
        let metadata = lean(watcher::watcher(Api::all(client.clone()), by_name(crd::NAME)));
        all.push(named(of, metadata, &caches, |all| &all.definition));
    }
    let api = Api::<PartialObjectMeta<StorageClass>>::all(client.clone());
    let classes = follower("storageclasses", "storage-classes");
    all.push(follow_classes(classes, api, caches.clone()).boxed());
    (caches, all.collect::<()>().boxed())
}

fn named<K>(
    follower: Follower,
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    caches: &Arc<Caches>,
    slot: fn(&Caches) -> &Named<K>,
) -> Following
where
    K: Resource + Send + Sync + 'static,
{
    let caches = caches.clone();
    async move { follower.follow_named(events, slot(&caches)).await }.boxed()
}

impl Caches {
    /// Resolves when every watch has delivered its first list.
    pub async fn filled(&self) {
        self.feed.filled().await;
    }

    /// Tells of changes from now on.
    pub fn subscribe(&self) -> Changes {
        Changes(self.feed.subscribe())
    }

    /// The `StorageClasses`.
    pub fn storage_classes(&self) -> StorageClasses {
        let classes = self.storage_classes.lock().unwrap_or_else(PoisonError::into_inner);
        StorageClasses {
            names: classes.keys().cloned().collect(),
            default: classes.iter().find(|(_, is_default)| **is_default).map(|(name, _)| name.clone()),
        }
    }

    fn change_classes(&self, change: impl FnOnce(&mut BTreeMap<String, bool>)) {
        change(&mut self.storage_classes.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Changes of what is cached.
#[derive(Debug)]
pub struct Changes(broadcast::Receiver<Wake>);

impl Changes {
    /// Resolves at the next change; never, once the caches are gone.
    pub async fn next(&mut self) {
        if let Err(broadcast::error::RecvError::Closed) = self.0.recv().await {
            std::future::pending::<()>().await;
        }
    }
}

async fn follow_classes(follower: Follower, api: Api<PartialObjectMeta<StorageClass>>, caches: Arc<Caches>) {
    let entry = |class: &PartialObjectMeta<StorageClass>| {
        let is_default = class.annotations().get(DEFAULT_CLASS).is_some_and(|value| value == "true");
        (class.name_any(), is_default)
    };
    let mut listed = BTreeMap::new();
    follower
        .follow(lean(watcher::watcher(api, Config::default())), |event| {
            match event {
                Event::Apply(class) => caches.change_classes(|classes| classes.extend([entry(&class)])),
                Event::Delete(class) => caches.change_classes(|classes| {
                    classes.remove(&class.name_any());
                }),
                Event::Init => listed.clear(),
                Event::InitApply(class) => listed.extend([entry(&class)]),
                Event::InitDone => caches.change_classes(|classes| *classes = std::mem::take(&mut listed)),
            }
            // Nothing follows from them but the next review.
            None
        })
        .await;
}
