//! The apply stage, which also corrects drift: takes the desired and the live objects, and sends those that differ.
//!
//! Server-side apply drops fields of ours that an apply leaves out. So an object is sent with all its fields.

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

/// Result of the apply stage. Only this stage creates it, so a status is never computed from objects that were not
/// applied.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The StatefulSet as the apiserver returned it. `None` where the plan does not allow its creation.
    pub stateful_set: Option<Arc<StatefulSet>>,
    /// Outcome for the DestinationRule. A failure does not keep servers from being deployed.
    pub destination_rule: Result<(), ApplyError>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// An object of that name with another controller.
    #[error(
        "{kind} {name} belongs to {owner} and is not taken over; delete it, or remove its owner reference, to let NATS Manager create its own"
    )]
    Foreign {
        kind: &'static str,
        name: String,
        /// Kind and name of its controller.
        owner: String,
    },
    /// An object of a deleted resource of the same name. The garbage collector removes it soon.
    #[error("{kind} {name} of the deleted NATS resource is not gone yet")]
    Leftover { kind: &'static str, name: String },
    /// A request that the apiserver rejected or did not answer.
    #[error("cannot apply {kind} {name}: {}", summary(cause))]
    Rejected { kind: &'static str, name: String, cause: kube::Error },
    /// An object of ours that cannot be serialized, which is a bug in NATS Manager.
    #[error("cannot serialize {kind}: {cause}")]
    Serialize { kind: &'static str, cause: serde_json::Error },
}

/// Kind of the object that creates the servers, which has a condition of its own.
const STATEFUL_SET: &str = "StatefulSet";

impl ApplyError {
    /// Returns whether the StatefulSet is the object that could not be applied.
    pub(crate) fn is_stateful_set(&self) -> bool {
        let (Self::Foreign { kind, .. }
        | Self::Leftover { kind, .. }
        | Self::Rejected { kind, .. }
        | Self::Serialize { kind, .. }) = self;
        *kind == STATEFUL_SET
    }

    /// Returns whether the apiserver does not serve the kind (404), or accepts no more objects of it (405).
    fn is_kind_not_served(&self) -> bool {
        matches!(self, Self::Rejected { cause: kube::Error::Api(status), .. } if matches!(status.code, 404 | 405))
    }

    /// Returns whether a retry is expected to succeed: another client wrote at the same time, or a leftover is not
    /// collected yet.
    pub(crate) fn is_conflict(&self) -> bool {
        match self {
            Self::Leftover { .. } => true,
            Self::Rejected { cause: kube::Error::Api(status), .. } => status.code == 409,
            _ => false,
        }
    }
}

/// Applies `children`. ConfigMap and StatefulSet are left out unless `may_build`.
pub(crate) async fn apply(
    client: &Client,
    caches: &Caches,
    live: &LiveObjects,
    owner: &Owner<'_>,
    children: Children,
    may_build: bool,
) -> Result<Applied, ApplyError> {
    // No `..`: the compiler then reports a new field of `Children` that is not applied here.
    let Children { secret, config_map, service, stateful_set, pod_disruption_budget, destination_rule } = children;
    let namespace = &owner.id.namespace;
    let target = |kind| ApplyTarget { kind, owner };

    target("Secret").apply(&typed(client, namespace), live.secret.as_ref(), secret, &caches.secret).await?;
    if may_build {
        let (api, cache) = (typed(client, namespace), &caches.config_map);
        target("ConfigMap").apply(&api, live.config_map.as_ref(), config_map, cache).await?;
    }
    target("Service").apply(&typed(client, namespace), live.service.as_ref(), service, &caches.service).await?;
    let (api, cache) = (typed(client, namespace), &caches.pod_disruption_budget);
    let budget = live.pod_disruption_budget.as_ref();
    target("PodDisruptionBudget").apply(&api, budget, pod_disruption_budget, cache).await?;
    let mut applied = Applied { stateful_set: None, destination_rule: Ok(()) };
    if may_build {
        let api = typed(client, namespace);
        let live = live.stateful_set.as_ref();
        let stateful_set = target(STATEFUL_SET).apply(&api, live, stateful_set, &caches.stateful_set).await?;
        applied.stateful_set = Some(stateful_set);
    }
    if live.is_istio_installed {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &Istio::resource());
        let cache = &caches.istio.destination_rule;
        match target("DestinationRule").apply(&api, live.destination_rule.as_ref(), destination_rule, cache).await {
            // Its CRD is being created or deleted. The watches trigger a reconcile when that is complete.
            Err(error) if error.is_kind_not_served() => tracing::info!(%error, "skipped object of unserved kind"),
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
    /// Sends the object if it differs from the live one, and returns it as it is in the cluster.
    async fn apply<K>(
        &self,
        api: &Api<K>,
        live: Option<&Arc<K>>,
        desired: K,
        cache: &CachedObject<K>,
    ) -> Result<Arc<K>, ApplyError>
    where
        K: Resource + Serialize + DeserializeOwned + Clone + std::fmt::Debug,
    {
        let kind = self.kind;
        let name = desired.name_any();
        let serialize =
            |object: &K| serde_json::to_value(object).map_err(|cause| ApplyError::Serialize { kind, cause });
        if let Some(live) = live {
            self.check_controller(live.as_ref())?;
            if compare::is_applied(&serialize(live)?, &serialize(&desired)?) {
                return Ok(live.clone());
            }
        }
        tracing::info!(kind, name, exists = live.is_some(), "applying");
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api
            .patch(&name, &parameters, &Patch::Apply(&desired))
            .await
            .map_err(|cause| ApplyError::Rejected { kind, name, cause })?;
        cache.written(applied.clone());
        Ok(Arc::new(applied))
    }

    /// Rejects a live object that this resource does not control.
    fn check_controller<K: Resource>(&self, live: &K) -> Result<(), ApplyError> {
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
