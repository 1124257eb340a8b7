//! The observe stage: reads the watch caches only, and returns the existing objects as [`Observed`].

mod actual;
mod clock;
mod deployed;
mod expansion;
mod failed_create;
mod pods;
mod replicas;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Resource, ResourceExt, api::DynamicObject};
use nats_manager_api::{NamespacedName, Nats, Provider, Spread, rules::ClusterFacts};
use nats_manager_planner::{Time, actual::ActualState, snapshot::PeerId};

use self::pods::PodOwner;

pub(super) use self::{
    clock::now, expansion::failed_expansions, failed_create::failed_create, pods::pod_state, replicas::foreign_scaler,
};
use crate::{
    controller::ownership::Owner,
    watch::{Caches, ZonesByNode},
};

/// Output of the observe stage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    pub live: LiveObjects,
    /// Live StatefulSet, unless it is a leftover of an earlier resource.
    pub stateful_set: Option<Arc<StatefulSet>>,
    /// Facts that the validation rules depend on.
    pub cluster_facts: ClusterFacts,
    /// Actual state that the plan depends on.
    pub actual: ActualState,
    /// Peers that were removed from the meta group, each with the recorded time.
    pub removed: BTreeMap<PeerId, Time>,
    /// IP address of each Pod that has one, by Pod name.
    pub addresses: BTreeMap<String, IpAddr>,
    /// Zone label of each node, by node name.
    pub node_zones: Arc<ZonesByNode>,
}

/// Live children of one resource. `None` for a child that does not exist.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveObjects {
    /// Secret with the system account.
    pub secret: Option<Arc<Secret>>,
    pub config_map: Option<Arc<ConfigMap>>,
    pub service: Option<Arc<Service>>,
    pub network_policy: Option<Arc<NetworkPolicy>>,
    pub stateful_set: Option<Arc<StatefulSet>>,
    pub pod_disruption_budget: Option<Arc<PodDisruptionBudget>>,
    /// True if the apiserver serves DestinationRules.
    pub is_istio_installed: bool,
    pub destination_rule: Option<Arc<DynamicObject>>,
}

/// Observes the cluster of one resource. Sends no request.
pub(crate) fn observe(caches: &Caches, id: &NamespacedName, nats: &Nats) -> Observed {
    let uid = nats.uid().unwrap_or_default();
    let owner = Owner { id, uid: &uid };
    let live = LiveObjects::from_caches(caches);
    let stateful_set = owner.without_leftover(live.stateful_set.as_deref());
    let pods = caches.pods.state();
    let pvcs = caches.pvcs.state();
    let mut cluster_facts = cached_cluster_facts(caches, &owner);
    let leftover = live.stateful_set.as_deref().filter(|_| stateful_set.is_none());
    let pods_of = PodOwner { stateful_set, leftover, nats };
    if cluster_facts.deployed.is_none() {
        let template = pods.iter().find(|pod| pods_of.may_have_created(pod));
        cluster_facts.deployed = deployed::from_pvcs(&pvcs)
            .map(|deployed| deployed::with_template_of(deployed, template.map(AsRef::as_ref)));
    }
    let status = nats.status.as_ref();
    let objects = actual::Objects {
        stateful_set,
        config_map: owner.without_leftover(live.config_map.as_deref()),
        pods: &pods,
        pvcs: &pvcs,
    };
    let recorded_members = status.and_then(|status| status.members);
    let started = servers_started(&pods_of, &pods, &pvcs);
    let actual = actual::actual_state(id, &objects, recorded_members, started);
    let polled = pods.iter().filter(|pod| pods_of.has(pod));
    let addresses = polled.filter_map(|pod| address(pod)).collect();
    Observed {
        actual,
        removed: actual::removed_peers(id, stateful_set),
        stateful_set: live.stateful_set.clone().filter(|_| stateful_set.is_some()),
        live,
        cluster_facts,
        addresses,
        node_zones: caches.zones.snapshot(),
    }
}

/// Returns the cluster facts around a resource from the caches, which are all that the validation rules need.
pub(crate) fn cached_cluster_facts(caches: &Caches, owner: &Owner<'_>) -> ClusterFacts {
    let stateful_set = caches.stateful_set.get();
    ClusterFacts {
        domain: caches.domain.clone(),
        provider: provider(caches.shoot_info.get().as_deref()),
        deployed: owner.without_leftover(stateful_set.as_deref()).and_then(deployed::from_stateful_set),
        zones: Some(caches.zones.count()),
        ..ClusterFacts::default()
    }
}

/// Returns whether a server of the resource ever started, so that data may exist. PVCs that are older than the resource
/// count as a start, since its record began after them. `Some(false)` needs a record from before the first start.
fn servers_started(pods_of: &PodOwner<'_>, pods: &[Arc<Pod>], pvcs: &[Arc<PersistentVolumeClaim>]) -> Option<bool> {
    let nats = pods_of.nats;
    let recorded = nats.status.as_ref().and_then(|status| status.servers_started);
    let may_be_own = |pod: &&Arc<Pod>| pods_of.may_have_created(pod);
    let has_pod = pods.iter().filter(may_be_own).any(|pod| pod_state(pod, &nats.name_any()).started);
    let has_older_pvc =
        pvcs.iter().filter(|pvc| pvc.metadata.deletion_timestamp.is_none()).any(|pvc| is_older(pvc.as_ref(), nats));
    if has_pod || has_older_pvc {
        return Some(true);
    }
    let is_new = pods_of.stateful_set.is_none() && pvcs.is_empty();
    recorded.or(is_new.then_some(false))
}

/// Returns whether an object was created before the resource.
fn is_older<K: Resource>(object: &K, nats: &Nats) -> bool {
    let created = |meta: &ObjectMeta| meta.creation_timestamp.as_ref().map(|time| time.0);
    created(object.meta()).zip(created(&nats.metadata)).is_some_and(|(object, nats)| object < nats)
}

fn address(pod: &Pod) -> Option<(String, IpAddr)> {
    Some((pod.name_any(), pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?))
}

impl Observed {
    /// Returns the spread of a cluster that does not exist yet: hard with three zones and no existing PVCs, which pin
    /// Pods to zones.
    pub(crate) fn new_spread(&self) -> Spread {
        let is_new = self.actual.stateful_set.is_none() && self.actual.pvcs.is_empty();
        if is_new && self.cluster_facts.zones >= Some(3) { Spread::Hard } else { Spread::Soft }
    }
}

impl LiveObjects {
    fn from_caches(caches: &Caches) -> Self {
        Self {
            secret: caches.secret.get(),
            config_map: caches.config_map.get(),
            service: caches.service.get(),
            network_policy: caches.network_policy.get(),
            stateful_set: caches.stateful_set.get(),
            pod_disruption_budget: caches.pod_disruption_budget.get(),
            is_istio_installed: caches.istio.is_installed(),
            destination_rule: caches.istio.destination_rule.get(),
        }
    }
}

fn provider(shoot_info: Option<&ConfigMap>) -> Provider {
    shoot_info
        .and_then(|info| info.data.as_ref()?.get("provider"))
        .map_or(Provider::default(), |name| Provider::parse(name))
}
