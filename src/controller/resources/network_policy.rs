//! The NetworkPolicy of the servers. Policies add up: others can allow more, but a port that this one leaves out stays
//! closed to everybody else.
//!
//! The kubelet of the node reaches its Pods whatever the policies are, so probes need no rule
//! (<https://kubernetes.io/docs/concepts/services-networking/network-policies/>).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};
use nats_manager_api::{
    NetworkPolicyMode, ResolvedCluster,
    network_policy::{ALLOWED, CLIENT_LABEL, SCRAPER_LABEL},
};

use super::{metadata, ports};

/// Namespace of Kyma's modules.
const KYMA: &str = "kyma-system";
/// Label that each namespace has.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";
/// Label of `kube-system` in a cluster of Gardener.
const GARDENER_LABEL: (&str, &str) = ("gardener.cloud/purpose", "kube-system");
/// Pods of the Eventing module that use NATS, by `app.kubernetes.io/name`.
const EVENTING: [&str; 2] = ["eventing-manager", "eventing-publisher-proxy"];

/// Builds the policy, unless the resource turns it off.
pub(super) fn build(cluster: &ResolvedCluster) -> Option<NetworkPolicy> {
    let is_restricted = match cluster.network_policy {
        NetworkPolicyMode::Disabled => return None,
        NetworkPolicyMode::Internal => false,
        NetworkPolicyMode::Restricted => true,
    };
    let types = ["Ingress", "Egress"].map(str::to_owned);
    Some(metadata::stamped(NetworkPolicy {
        metadata: metadata::object(cluster, cluster.id.network_policy(), metadata::annotations(cluster, [])),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(metadata::selector(cluster)),
            policy_types: Some(types.into()),
            ingress: Some(ingress(cluster, is_restricted)),
            // Without a rule, a namespace that denies all traffic would cut the routes and DNS.
            egress: Some(if is_restricted { egress(cluster) } else { vec![NetworkPolicyEgressRule::default()] }),
        }),
    }))
}

fn ingress(cluster: &ResolvedCluster, is_restricted: bool) -> Vec<NetworkPolicyIngressRule> {
    let clients = if is_restricted { clients(cluster) } else { Vec::new() };
    vec![
        from(clients, &[ports::CLIENT]),
        from(vec![servers(cluster)], &[ports::CLUSTER]),
        from(vec![manager(cluster)], &[ports::CLIENT, ports::MONITOR]),
        from(vec![in_kyma(matching(&[(SCRAPER_LABEL, ALLOWED)]))], &[ports::METRICS]),
    ]
}

fn egress(cluster: &ResolvedCluster) -> Vec<NetworkPolicyEgressRule> {
    let to = |to: Vec<NetworkPolicyPeer>, ports| NetworkPolicyEgressRule { ports: Some(ports), to: Some(to) };
    let dns = |port: u16| vec![protocol(port, "UDP"), protocol(port, "TCP")];
    let in_gardener = |app: &str| peer(matching(&[GARDENER_LABEL]), matching(&[("k8s-app", app)]));
    let in_kube_system = peer(matching(&[(NAMESPACE_LABEL, "kube-system")]), matching(&[("k8s-app", "kube-dns")]));
    let address = |cidr: &str| NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.to_owned(), except: None }),
        ..NetworkPolicyPeer::default()
    };
    vec![
        to(vec![servers(cluster)], vec![protocol(ports::CLUSTER, "TCP")]),
        // The address of a node-local cache belongs to no Pod.
        to(vec![address("0.0.0.0/0"), address("::/0")], dns(53)),
        // CoreDNS of Gardener listens on 8053.
        to(vec![in_gardener("kube-dns")], dns(8053)),
        to(vec![in_gardener("node-local-dns"), in_kube_system], dns(53)),
    ]
}

/// Returns the peers that may connect to the client port where it is closed.
fn clients(cluster: &ResolvedCluster) -> Vec<NetworkPolicyPeer> {
    // An empty selector would do as well, but Kyma forbids it.
    let any_namespace = expression(NAMESPACE_LABEL, "Exists", None);
    vec![
        peer(any_namespace, matching(&[(CLIENT_LABEL, ALLOWED)])),
        in_kyma(expression("app.kubernetes.io/name", "In", Some(EVENTING.map(str::to_owned).into()))),
        servers(cluster),
    ]
}

/// Returns the servers of this cluster, in its own namespace.
fn servers(cluster: &ResolvedCluster) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(metadata::selector(cluster)), ..NetworkPolicyPeer::default() }
}

/// Returns the Pods of the manager, in the namespace of the installation or beside the servers.
fn manager(cluster: &ResolvedCluster) -> NetworkPolicyPeer {
    let namespaces = BTreeSet::from([KYMA.to_owned(), cluster.id.namespace.clone()]);
    let labels = [("app.kubernetes.io/name", "nats-manager"), ("nats.operator.kyma-project.io/manager", "true")];
    peer(expression(NAMESPACE_LABEL, "In", Some(namespaces.into_iter().collect())), matching(&labels))
}

fn in_kyma(pods: LabelSelector) -> NetworkPolicyPeer {
    peer(matching(&[(NAMESPACE_LABEL, KYMA)]), pods)
}

fn peer(namespaces: LabelSelector, pods: LabelSelector) -> NetworkPolicyPeer {
    NetworkPolicyPeer { namespace_selector: Some(namespaces), pod_selector: Some(pods), ..NetworkPolicyPeer::default() }
}

fn matching(labels: &[(&str, &str)]) -> LabelSelector {
    let labels: BTreeMap<_, _> = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

fn expression(key: &str, operator: &str, values: Option<Vec<String>>) -> LabelSelector {
    let requirement = LabelSelectorRequirement { key: key.to_owned(), operator: operator.to_owned(), values };
    LabelSelector { match_expressions: Some(vec![requirement]), ..LabelSelector::default() }
}

/// Builds a rule that allows these peers, or everybody where there are none.
fn from(peers: Vec<NetworkPolicyPeer>, ports: &[u16]) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: Some(peers).filter(|peers| !peers.is_empty()),
        ports: Some(ports.iter().map(|port| protocol(*port, "TCP")).collect()),
    }
}

fn protocol(port: u16, protocol: &str) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(port.into())),
        protocol: Some(protocol.to_owned()),
        ..NetworkPolicyPort::default()
    }
}
