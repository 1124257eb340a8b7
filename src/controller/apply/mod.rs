//! The apply stage, which also corrects drift: takes the desired and the live objects, and sends those that differ.
//!
//! Server-side apply drops fields of ours that an apply leaves out. So an object is sent with all its fields. Each child
//! is applied whatever happened to the others, and the errors are collected.
//!
//! | file | content |
//! |---|---|
//! | `compare` | the difference between a live and a desired object |
//! | `fields` | the fields of others that are removed |
//! | `drift`, `contested` | a Pod template that others have changed, or change again and again |
//! | `immutable` | the immutable fields, for which an object is replaced |
//! | `overridden`, `refused` | the writes that an admission webhook changes, and those that fail |
//! | `child`, `pod_template`, `replace` | the requests for one child |
//! | `disabled` | the deletion of a child that the resource turns off |
//! | `error` | the failures |

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::StatefulSet, core::v1::Secret},
};
use kube::{Api, Client, Resource, ResourceExt, core::DynamicObject};
use nats_manager_api::{Reason, naming};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

mod child;
pub(crate) mod compare;
mod contested;
mod disabled;
mod drift;
mod error;
mod fields;
mod immutable;
mod overridden;
mod pod_template;
mod refused;
mod replace;

pub(super) use error::{ApplyError, ApplyErrors};

use self::{
    child::{ApplyTarget, check_controller},
    contested::Corrections,
    error::STATEFUL_SET,
    immutable::ImmutableDifference,
    overridden::OverriddenWrites,
    refused::RefusedWrites,
};
use crate::{
    controller::{
        observe::LiveObjects,
        ownership::{Control, Owner},
        resources::Children,
        status::Announcement,
    },
    watch::{CachedObject, Caches, Istio},
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
    /// True if the plan's action may be carried out: the StatefulSet and what its Pods mount are as planned.
    pub may_act: bool,
}

/// Objects by kind, which may be Secrets.
#[derive(Default)]
pub(crate) struct DeletedObjects(BTreeMap<&'static str, Value>);

impl Debug for DeletedObjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Outcomes of earlier writes, which are not repeated in vain.
#[derive(Debug, Default)]
pub(crate) struct WriteMemory {
    overridden: OverriddenWrites,
    corrections: Corrections,
    /// Hashes of the immutable fields of a StatefulSet that was recreated: the desired ones, and those that came back.
    recreated: Option<(u64, u64)>,
    pub(super) refused: RefusedWrites,
    /// Objects that were deleted to be created again, until that is complete.
    deleted: DeletedObjects,
}

/// Everything that the apply stage needs beside the desired objects.
pub(crate) struct ApplyContext<'a> {
    pub client: &'a Client,
    pub caches: &'a Caches,
    pub live: &'a LiveObjects,
    pub owner: Owner<'a>,
    /// True if ConfigMap and StatefulSet may be written.
    pub may_build: bool,
    pub scope: ApplyScope,
}

/// Children that are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApplyScope {
    All,
    /// Only those that do not exist.
    Missing,
}

/// Applies `children`. ConfigMap and StatefulSet are left out where the plan does not allow them.
pub(crate) async fn apply(context: &ApplyContext<'_>, children: &Children, writes: &mut WriteMemory) -> Applied {
    // No `..`: the compiler then reports a new field of `Children` that is not applied here.
    let Children { secret, config_map, service, network_policy, stateful_set, pod_disruption_budget, destination_rule } =
        children;
    let ApplyContext { client, caches, live, owner, may_build, scope } = context;
    let namespace = &owner.id.namespace;
    let mut all =
        ChildApplier { owner, scope: *scope, writes, notices: Vec::new(), errors: Vec::new(), corrected: Vec::new() };

    all.apply("Secret", &typed(client, namespace), live.secret.as_ref(), secret, &caches.secret).await;
    if *may_build {
        let (live, cache) = (live.config_map.as_ref(), &caches.config_map);
        all.apply("ConfigMap", &typed(client, namespace), live, config_map, cache).await;
    }
    let has_mounts = all.errors.is_empty();
    all.apply("Service", &typed(client, namespace), live.service.as_ref(), service, &caches.service).await;
    let (live_policy, cache) = (live.network_policy.as_ref(), &caches.network_policy);
    match network_policy {
        Some(policy) => _ = all.apply(NETWORK_POLICY, &typed(client, namespace), live_policy, policy, cache).await,
        None => all.errors.extend(disabled::delete(&typed(client, namespace), owner, live_policy).await.err()),
    }
    let (budget, cache) = (live.pod_disruption_budget.as_ref(), &caches.pod_disruption_budget);
    all.apply("PodDisruptionBudget", &typed(client, namespace), budget, pod_disruption_budget, cache).await;
    let set = live.stateful_set.as_ref().filter(|_| *may_build);
    let mut applied_set = set.cloned();
    if *may_build && (has_mounts || !starts_servers(set.map(AsRef::as_ref), stateful_set)) {
        let cache = &caches.stateful_set;
        let applied = all.apply(STATEFUL_SET, &typed(client, namespace), set, stateful_set, cache).await;
        applied_set = applied.or(applied_set);
    } else if let Some(set) = set {
        all.errors.extend(check_controller(STATEFUL_SET, owner, set.as_ref()).err());
    }
    if live.is_istio_installed {
        let api: Api<DynamicObject> = Api::namespaced_with((*client).clone(), namespace, &Istio::resource());
        let (rule, cache) = (live.destination_rule.as_ref(), &caches.istio.destination_rule);
        all.apply(DESTINATION_RULE, &api, rule, destination_rule, cache).await;
    }
    // The servers of another controller are not ours.
    let is_ours = |set: &Arc<StatefulSet>| matches!(owner.control(&set.metadata), Control::Ours);
    let ChildApplier { writes, notices, errors, corrected, .. } = all;
    // A child that was not attempted, or no longer fails, is not waited for.
    writes.refused.retain(|kind| errors.iter().any(|error| error.kind() == kind));
    let errors = ApplyErrors::of(errors);
    let has_failed = errors.as_ref().is_some_and(ApplyErrors::has_server_object);
    let may_act = !has_failed && !corrected.contains(&STATEFUL_SET);
    Applied { stateful_set: applied_set.filter(is_ours), errors, notices, may_act }
}

/// Kind that a resource can turn off.
pub(super) const NETWORK_POLICY: &str = "NetworkPolicy";

/// Kind whose CRD may be missing.
const DESTINATION_RULE: &str = "DestinationRule";

/// Applies one child after the other, and collects what is reported.
struct ChildApplier<'a> {
    owner: &'a Owner<'a>,
    scope: ApplyScope,
    writes: &'a mut WriteMemory,
    notices: Vec<Announcement>,
    errors: Vec<ApplyError>,
    corrected: Vec<&'static str>,
}

impl ChildApplier<'_> {
    /// Applies a child. Returns it as it is in the cluster, or `None` if it could not be applied.
    async fn apply<K>(
        &mut self,
        kind: &'static str,
        api: &Api<K>,
        live: Option<&Arc<K>>,
        desired: &K,
        cache: &CachedObject<K>,
    ) -> Option<Arc<K>>
    where
        K: Resource + Serialize + DeserializeOwned + Clone + Debug,
    {
        if let Some(live) = live.filter(|_| self.scope == ApplyScope::Missing) {
            return Some(live.clone());
        }
        let Self { owner, writes, notices, corrected, .. } = self;
        let mut target = ApplyTarget { kind, owner, writes, notices, corrected };
        match Box::pin(target.apply(api, live, desired, cache)).await {
            Ok(applied) => return Some(applied),
            // Its CRD is being created or deleted. The watches trigger a reconcile when that is complete.
            Err(error) if kind == DESTINATION_RULE && error.is_kind_not_served() => {
                tracing::info!(%error, "skipped object of unserved kind");
            }
            Err(error) => self.errors.push(error),
        }
        None
    }
}

impl WriteMemory {
    /// Returns the Secret that was deleted to be created again. `None` if there is none.
    pub(super) fn deleted_secret(&self) -> Option<Secret> {
        serde_json::from_value(self.deleted.0.get("Secret")?.clone()).ok()
    }

    /// Returns whether the existing StatefulSet has to be replaced, because an immutable field differs that NATS Manager
    /// may replace, and that the last replacement did not have in vain.
    pub(super) fn must_recreate(&self, live: &StatefulSet, desired: &StatefulSet) -> bool {
        let (live, desired) = (json(live), json(desired));
        let difference = ImmutableDifference::of(STATEFUL_SET, &live, &desired);
        difference.replacement() == Some(immutable::Replacement::Orphan)
            && self.recreated != Some(immutable_hashes(&live, &desired))
    }

    /// Records a StatefulSet that was recreated. Returns a notice if admission has replaced an immutable field, so that
    /// it would be recreated for ever.
    pub(super) fn recreated(&mut self, created: &StatefulSet, desired: &StatefulSet) -> Option<Announcement> {
        let (live, desired) = (json(created), json(desired));
        let difference = ImmutableDifference::of(STATEFUL_SET, &live, &desired);
        difference.replacement()?;
        self.recreated = Some(immutable_hashes(&live, &desired));
        let message = format!(
            "{STATEFUL_SET} {}: an admission webhook or policy replaces the immutable field {}. NATS Manager recreates it \
             again only after another change",
            created.name_any(),
            difference.fields()
        );
        Some(Announcement { is_warning: true, reason: Reason::FieldOverridden, message })
    }
}

fn immutable_hashes(live: &Value, desired: &Value) -> (u64, u64) {
    let hash = |set: &Value| overridden::content_hash(&immutable::values(STATEFUL_SET, set));
    (hash(desired), hash(live))
}

fn json(set: &StatefulSet) -> Value {
    serde_json::to_value(set).unwrap_or_default()
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
