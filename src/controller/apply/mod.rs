//! The stage that writes: sends the objects that differ from what is there, each whole.
//!
//! Server-side apply drops the fields of ours that an apply leaves out, so an object is sent whole
//! or not at all.

use std::sync::Arc;

use k8s_openapi::{NamespaceResourceScope, api::apps::v1::StatefulSet};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use nats_manager_api::naming::FIELD_MANAGER;
use serde::{Serialize, de::DeserializeOwned};

pub(crate) mod compare;
mod ownership;

pub(super) use ownership::{Control, Owner};

use crate::{
    controller::{observe::LiveObjects, resources::Children},
    error_message::summary,
    watch::{CachedObject, Caches, Istio},
};

/// What is in the cluster now: only the apply stage makes one, so a status is never computed from
/// what was not applied.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The StatefulSet, as the apiserver has it; `None` where the plan does not let it be created.
    pub stateful_set: Option<Arc<StatefulSet>>,
    /// Whether the DestinationRule could be applied: no server waits for it.
    pub destination_rule: Result<(), ApplyError>,
}

/// An object could not be made as wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// Somebody else controls an object of that name.
    #[error(
        "{kind} {name} belongs to {owner} and is not taken over; delete it, or remove its owner reference, to let NATS Manager create its own"
    )]
    Foreign {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Kind and name of its controller.
        owner: String,
    },
    /// The object belongs to a resource of the same name that is gone, and follows it soon.
    #[error("{kind} {name} of the deleted NATS resource is not gone yet")]
    Leftover {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The apiserver refused, or did not answer.
    #[error("cannot apply {kind} {name}: {}", summary(cause))]
    Refused {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the apiserver said.
        cause: kube::Error,
    },
    /// Our own object cannot be written down, which is a mistake in the code.
    #[error("cannot serialize {kind}: {cause}")]
    Serialize {
        /// Its kind.
        kind: &'static str,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
}

/// The kind of the servers' object, which has a condition of its own.
const STATEFUL_SET: &str = "StatefulSet";

impl ApplyError {
    /// Whether it is the servers that could not be applied.
    pub(crate) fn is_stateful_set(&self) -> bool {
        let (Self::Foreign { kind, .. }
        | Self::Leftover { kind, .. }
        | Self::Refused { kind, .. }
        | Self::Serialize { kind, .. }) = self;
        *kind == STATEFUL_SET
    }

    /// Whether the apiserver does not know the kind, or takes no more objects of it.
    fn is_unserved(&self) -> bool {
        matches!(self, Self::Refused { cause: kube::Error::Api(status), .. } if matches!(status.code, 404 | 405))
    }

    /// Whether it passes by itself (somebody wrote at the same time): worth no more than another try.
    pub(crate) fn is_conflict(&self) -> bool {
        match self {
            Self::Leftover { .. } => true,
            Self::Refused { cause: kube::Error::Api(status), .. } => status.code == 409,
            _ => false,
        }
    }
}

/// Makes the cluster hold `children`.
pub(crate) async fn apply(
    client: &Client,
    caches: &Caches,
    live: &LiveObjects,
    owner: &Owner<'_>,
    children: Children,
    may_build: bool,
) -> Result<Applied, ApplyError> {
    // No `..`: an object that is new in `Children` cannot be forgotten here.
    let Children { secret, config_map, service, stateful_set, pod_disruption_budget, destination_rule } = children;
    let namespace = &owner.id.namespace;
    let target = |kind| ApplyTarget { kind, owner };

    target("Secret").apply(&typed(client, namespace), live.secret.as_ref(), secret, &caches.secret).await?;
    if may_build {
        let (api, slot) = (typed(client, namespace), &caches.config_map);
        target("ConfigMap").apply(&api, live.config_map.as_ref(), config_map, slot).await?;
    }
    target("Service").apply(&typed(client, namespace), live.service.as_ref(), service, &caches.service).await?;
    let (api, slot) = (typed(client, namespace), &caches.pod_disruption_budget);
    let budget = live.pod_disruption_budget.as_ref();
    target("PodDisruptionBudget").apply(&api, budget, pod_disruption_budget, slot).await?;
    let mut applied = Applied { stateful_set: None, destination_rule: Ok(()) };
    if may_build {
        let api = typed(client, namespace);
        let live = live.stateful_set.as_ref();
        let stateful_set = target(STATEFUL_SET).apply(&api, live, stateful_set, &caches.stateful_set).await?;
        applied.stateful_set = Some(stateful_set);
    }
    if live.is_istio_installed {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &Istio::resource());
        let slot = &caches.istio.destination_rule;
        match target("DestinationRule").apply(&api, live.destination_rule.as_ref(), destination_rule, slot).await {
            // Its CRD is being created or deleted; the watches show when that is complete.
            Err(error) if error.is_unserved() => tracing::info!(%error, "the kind is not served"),
            rule => applied.destination_rule = rule.map(|_| ()),
        }
    }
    Ok(applied)
}

struct ApplyTarget<'a> {
    kind: &'static str,
    owner: &'a Owner<'a>,
}

impl ApplyTarget<'_> {
    /// The object as it is in the cluster, after it was sent if it differed.
    async fn apply<K>(
        &self,
        api: &Api<K>,
        live: Option<&Arc<K>>,
        wanted: K,
        slot: &CachedObject<K>,
    ) -> Result<Arc<K>, ApplyError>
    where
        K: Resource + Serialize + DeserializeOwned + Clone + std::fmt::Debug,
    {
        let kind = self.kind;
        let name = wanted.name_any();
        let serialize =
            |object: &K| serde_json::to_value(object).map_err(|cause| ApplyError::Serialize { kind, cause });
        if let Some(live) = live {
            self.refuse_foreign(live.as_ref())?;
            if compare::holds(&serialize(live)?, &serialize(&wanted)?) {
                return Ok(live.clone());
            }
        }
        tracing::info!(kind, name, exists = live.is_some(), "applying");
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api
            .patch(&name, &parameters, &Patch::Apply(&wanted))
            .await
            .map_err(|cause| ApplyError::Refused { kind, name, cause })?;
        slot.written(applied.clone());
        Ok(Arc::new(applied))
    }

    fn refuse_foreign<K: Resource>(&self, live: &K) -> Result<(), ApplyError> {
        match self.owner.control(live.meta()) {
            Control::Ours => Ok(()),
            Control::Earlier => Err(ApplyError::Leftover { kind: self.kind, name: live.name_any() }),
            Control::Foreign(owner) => Err(ApplyError::Foreign {
                kind: self.kind,
                name: live.name_any(),
                owner: format!("{} {}", owner.kind, owner.name),
            }),
        }
    }
}

fn typed<K>(client: &Client, namespace: &str) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), namespace)
}
