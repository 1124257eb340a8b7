//! The first stage: what exists, as a value. From the caches alone; only a cluster whose
//! StatefulSet is missing is looked at more closely.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod, Secret, Service},
    policy::v1::PodDisruptionBudget,
};
use k8s_openapi::jiff::Timestamp;
use kube::{Client, Resource, ResourceExt, api::DynamicObject};
use nats_manager_api::{NamespacedName, Provider, Spread, rules::Surroundings};

use super::{claims, deployed, rollout::broken, watch::Watches};

/// Everything that a reconcile decides upon.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The children as they are.
    pub live: Live,
    /// What the rules depend on.
    pub surroundings: Surroundings,
    /// The servers' pods.
    pub pods: Vec<ServerPod>,
    /// The zone of each node.
    pub node_zones: BTreeMap<String, Option<String>>,
    /// Claims of servers. `None` where nobody looked, because the StatefulSet exists.
    pub claims: Option<Vec<String>>,
}

/// The children, each as it is in the cluster.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// The Secret with the system account.
    pub secret: Option<Arc<Secret>>,
    /// The ConfigMap with `nats.conf`.
    pub config_map: Option<Arc<ConfigMap>>,
    /// The headless Service.
    pub service: Option<Arc<Service>>,
    /// The servers.
    pub stateful_set: Option<Arc<StatefulSet>>,
    /// Their disruption budget.
    pub pod_disruption_budget: Option<Arc<PodDisruptionBudget>>,
    /// The DestinationRule; `None` where the cluster does not know the kind.
    pub destination_rule: Option<Option<Arc<DynamicObject>>>,
}

/// A pod of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerPod {
    /// Its name, which is the server's.
    pub name: String,
    /// Which pod of that name it is.
    pub uid: Option<String>,
    /// Its place in the StatefulSet.
    pub ordinal: Option<u32>,
    /// The node that it is bound to.
    pub node: Option<String>,
    /// Where it can be reached.
    pub address: Option<IpAddr>,
    /// The revision of the template that it was made from.
    pub revision: Option<String>,
    /// Whether its NATS container ever started.
    pub started: bool,
    /// Whether its NATS container runs, and has finished its startup.
    pub running: bool,
    /// Whether the kubelet says that it is ready.
    pub ready: bool,
    /// Since when it is on its way out.
    pub terminating: Option<Timestamp>,
    /// Why it cannot run as it is: its template must change, or what it depends on.
    pub broken: Option<String>,
}

/// Where the StatefulSet controller notes the revision (`apps/v1.ControllerRevisionHashLabelKey`).
const REVISION_LABEL: &str = "controller-revision-hash";
/// The NATS container in a pod.
pub const NATS_CONTAINER: &str = "nats";

/// Observes the cluster of one resource. Lists claims only while there is no StatefulSet to tell
/// what is deployed.
pub async fn observe(watches: &Watches, client: &Client, id: &NamespacedName) -> Result<Observed, kube::Error> {
    let live = Live::cached(watches);
    let mut surroundings = cached_surroundings(watches);
    let mut claims = None;
    if surroundings.deployed.is_none() {
        let found = claims::list(client, id).await?;
        surroundings.deployed = deployed::by_claims(&found, id);
        claims = Some(found.iter().map(ResourceExt::name_any).collect());
    }
    Ok(Observed {
        live,
        surroundings,
        pods: watches.pods.state().iter().map(|pod| server_pod(pod)).collect(),
        node_zones: watches.zones.snapshot(),
        claims,
    })
}

/// What the caches say around the one resource: enough for the rules.
pub fn cached_surroundings(watches: &Watches) -> Surroundings {
    Surroundings {
        provider: provider(watches.shoot_info.get().as_deref()),
        deployed: watches.stateful_set.get().as_deref().and_then(deployed::by_stateful_set),
        zones: Some(count_zones(watches.zones.snapshot().values())),
        storage_classes: None,
        jet_stream: None,
    }
}

impl Observed {
    /// Whether a server may have stored something: one started, or nobody knows.
    pub fn servers_started(&self, recorded: Option<bool>) -> Option<bool> {
        if self.pods.iter().any(|pod| pod.started) { Some(true) } else { recorded }
    }

    /// A server that cannot start as it is, and why.
    pub fn broken_server(&self) -> Option<String> {
        let mut stay = self.pods.iter().filter(|pod| pod.terminating.is_none());
        stay.find_map(|pod| Some(format!("{} does not start: {}", pod.name, pod.broken.as_ref()?)))
    }

    /// Whether a pod is of an older template than the newest.
    pub fn is_outdated(&self, pod: &ServerPod) -> bool {
        let status = self.live.stateful_set.as_ref().and_then(|live| live.status.as_ref());
        status
            .and_then(|status| status.update_revision.as_ref())
            .is_some_and(|newest| pod.revision.as_ref() != Some(newest))
    }

    /// Whether all pods of `size` servers are there and ready, and none is to be replaced.
    pub fn is_calm(&self, size: i64) -> bool {
        let spec = self.live.stateful_set.as_ref().and_then(|live| live.spec.as_ref());
        let partition = spec.and_then(|spec| spec.update_strategy.as_ref()?.rolling_update.as_ref()?.partition);
        let deployed = self.surroundings.deployed.as_ref();
        deployed.is_some_and(|deployed| i64::from(deployed.size) == size && deployed.resizing.leaving_from.is_none())
            && partition.unwrap_or(0) == 0
            && i64::try_from(self.pods.len()) == Ok(size)
            && self.pods.iter().all(ServerPod::is_serving)
    }

    /// How a cluster that does not exist yet is spread: strictly where there are three zones and no
    /// volumes from before, which pin pods to zones.
    pub fn new_spread(&self) -> Spread {
        let no_claims = self.claims.as_ref().is_some_and(Vec::is_empty);
        if no_claims && count_zones(self.node_zones.values()) >= 3 { Spread::Hard } else { Spread::Soft }
    }
}

impl ServerPod {
    /// Whether it is ready, and is to stay.
    pub fn is_serving(&self) -> bool {
        self.ready && self.terminating.is_none()
    }
}

impl Live {
    fn cached(watches: &Watches) -> Self {
        Self {
            secret: watches.secret.get(),
            config_map: watches.config_map.get(),
            service: watches.service.get(),
            stateful_set: watches.stateful_set.get(),
            pod_disruption_budget: watches.pod_disruption_budget.get(),
            destination_rule: watches.istio.is_installed().then(|| watches.istio.destination_rule.get()),
        }
    }
}

/// How many different zones.
pub fn count_zones<'a>(zones: impl IntoIterator<Item = &'a Option<String>>) -> usize {
    zones.into_iter().flatten().collect::<BTreeSet<_>>().len()
}

fn provider(shoot_info: Option<&ConfigMap>) -> Provider {
    shoot_info
        .and_then(|info| info.data.as_ref()?.get("provider"))
        .map_or(Provider::default(), |name| Provider::parse(name))
}

/// What matters of a server's pod.
pub(super) fn server_pod(pod: &Pod) -> ServerPod {
    let statuses = || pod.status.iter().filter_map(|status| status.container_statuses.as_ref()).flatten();
    let servers = || statuses().filter(|status| status.name == NATS_CONTAINER);
    let started = servers().any(|status| {
        let now = status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some());
        let before = status.last_state.as_ref().is_some_and(|state| state.terminated.is_some());
        now || before || status.restart_count > 0
    });
    let name = pod.name_any();
    let conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    ServerPod {
        uid: pod.uid(),
        ordinal: name.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok()),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        address: pod.status.as_ref().and_then(|status| status.pod_ip.as_ref()?.parse().ok()),
        revision: pod.labels().get(REVISION_LABEL).cloned(),
        started,
        running: servers().any(|status| {
            status.started == Some(true) && status.state.as_ref().is_some_and(|state| state.running.is_some())
        }),
        ready: conditions.filter(|condition| condition.type_ == "Ready").any(|condition| condition.status == "True"),
        terminating: pod.meta().deletion_timestamp.as_ref().map(|time| time.0),
        broken: broken(pod),
        name,
    }
}
