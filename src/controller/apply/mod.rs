//! The apply stage, which also corrects drift: takes the desired and the live objects, and sends those that differ.
//!
//! Server-side apply drops fields of ours that an apply leaves out. So an object is sent with all its fields. Each child
//! is applied whatever happened to the others, and the errors are collected.
//!
//! | file | content |
//! |---|---|
//! | `compare` | the difference between a live and a desired object |
//! | `fields` | the fields of others that are removed |
//! | `immutable` | the immutable fields, for which an object is replaced |
//! | `overridden`, `refused` | the writes that an admission webhook changes, and those that fail |
//! | `child` | the requests for one child |
//! | `ownership`, `error` | the controller of an object, the failures |

use std::sync::Arc;

use k8s_openapi::{NamespaceResourceScope, api::apps::v1::StatefulSet};
use kube::{Api, Client, Resource, ResourceExt, core::DynamicObject};
use nats_manager_api::naming;

mod child;
pub(crate) mod compare;
mod error;
mod fields;
mod immutable;
mod overridden;
mod ownership;
mod refused;

pub(super) use child::recreate_stateful_set;
pub(super) use error::{ApplyError, ApplyErrors};
pub(super) use ownership::{Control, Owner};

use self::{
    child::{ApplyTarget, check_controller},
    error::STATEFUL_SET,
    immutable::ImmutableDifference,
    overridden::OverriddenWrites,
    refused::RefusedWrites,
};
use crate::{
    controller::{observe::LiveObjects, resources::Children, status::Announcement},
    watch::{Caches, Istio},
};

/// Result of the apply stage. Only this stage creates it, so a status is never computed from objects that were not
/// applied.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The StatefulSet as the apiserver returned it, or the live one where it was not applied.
    pub stateful_set: Option<Arc<StatefulSet>>,
    /// The children that could not be applied.
    pub errors: Option<ApplyErrors>,
    /// Changes of what was applied, each of which is reported once.
    pub notices: Vec<Announcement>,
}

/// Outcomes of earlier writes, which are not repeated in vain.
#[derive(Debug, Default)]
pub(crate) struct WriteMemory {
    overridden: OverriddenWrites,
    pub(super) refused: RefusedWrites,
}

/// Everything that the apply stage needs beside the desired objects.
pub(crate) struct ApplyContext<'a> {
    pub client: &'a Client,
    pub caches: &'a Caches,
    pub live: &'a LiveObjects,
    pub owner: Owner<'a>,
    /// True if ConfigMap and StatefulSet may be written.
    pub may_build: bool,
}

/// Applies `children`. ConfigMap and StatefulSet are left out where the plan does not allow them.
pub(crate) async fn apply(context: &ApplyContext<'_>, children: &Children, writes: &mut WriteMemory) -> Applied {
    // No `..`: the compiler then reports a new field of `Children` that is not applied here.
    let Children { secret, config_map, service, stateful_set, pod_disruption_budget, destination_rule } = children;
    let ApplyContext { client, caches, live, owner, may_build } = context;
    let namespace = &owner.id.namespace;
    let (mut errors, mut notices) = (Vec::new(), Vec::new());
    macro_rules! apply {
        ($kind:expr, $api:expr, $live:expr, $desired:expr, $cache:expr) => {{
            let mut target = ApplyTarget { kind: $kind, owner, writes: &mut *writes, notices: &mut notices };
            Box::pin(target.apply($api, $live, $desired, $cache)).await
        }};
    }

    let api = typed(client, namespace);
    errors.extend(apply!("Secret", &api, live.secret.as_ref(), secret, &caches.secret).err());
    if *may_build {
        let api = typed(client, namespace);
        errors.extend(apply!("ConfigMap", &api, live.config_map.as_ref(), config_map, &caches.config_map).err());
    }
    let has_mounts = errors.is_empty();
    let api = typed(client, namespace);
    errors.extend(apply!("Service", &api, live.service.as_ref(), service, &caches.service).err());
    let api = typed(client, namespace);
    let (budget, cache) = (live.pod_disruption_budget.as_ref(), &caches.pod_disruption_budget);
    errors.extend(apply!("PodDisruptionBudget", &api, budget, pod_disruption_budget, cache).err());
    let mut applied_set = live.stateful_set.clone().filter(|_| *may_build);
    if *may_build && (has_mounts || !starts_servers(live.stateful_set.as_deref(), stateful_set)) {
        let api = typed(client, namespace);
        match apply!(STATEFUL_SET, &api, live.stateful_set.as_ref(), stateful_set, &caches.stateful_set) {
            Ok(set) => applied_set = Some(set),
            Err(error) => errors.push(error),
        }
    } else if let Some(set) = live.stateful_set.as_deref().filter(|_| *may_build) {
        errors.extend(check_controller(STATEFUL_SET, owner, set).err());
    }
    // Servers of another controller are not ours.
    applied_set = applied_set.filter(|set| matches!(owner.control(set.meta()), Control::Ours));
    if live.is_istio_installed {
        let api: Api<DynamicObject> = Api::namespaced_with((*client).clone(), namespace, &Istio::resource());
        let (rule, cache) = (live.destination_rule.as_ref(), &caches.istio.destination_rule);
        match apply!("DestinationRule", &api, rule, destination_rule, cache) {
            // Its CRD is being created or deleted. The watches trigger a reconcile when that is complete.
            Err(error) if error.is_kind_not_served() => tracing::info!(%error, "skipped object of unserved kind"),
            result => errors.extend(result.err()),
        }
    }
    Applied { stateful_set: applied_set, errors: ApplyErrors::of(errors), notices }
}

/// Returns whether the existing StatefulSet has to be replaced, because an immutable field differs that NATS Manager may
/// replace.
pub(super) fn must_recreate(live: &StatefulSet, desired: &StatefulSet) -> bool {
    let json = |set: &StatefulSet| serde_json::to_value(set).unwrap_or_default();
    let difference = ImmutableDifference::of(STATEFUL_SET, &json(live), &json(desired));
    difference.replacement() == Some(immutable::Replacement::Orphan)
}

/// Returns whether writing the StatefulSet starts servers with another template or configuration. Then the objects that
/// they mount have to be applied before.
fn starts_servers(live: Option<&StatefulSet>, desired: &StatefulSet) -> bool {
    let Some(live) = live else { return true };
    let template = |set: &StatefulSet| set.annotations().get(naming::TEMPLATE_HASH).cloned();
    let partition = |set: &StatefulSet| {
        let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
        strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.partition).unwrap_or(0)
    };
    template(live) != template(desired) || partition(desired) < partition(live)
}

fn typed<K>(client: &Client, namespace: &str) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), namespace)
}
