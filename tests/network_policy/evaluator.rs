//! Evaluation of NetworkPolicies, as the Kubernetes API defines them
//! (<https://kubernetes.io/docs/concepts/services-networking/network-policies/>).

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

type Labels = BTreeMap<String, String>;

/// One end of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    Pod {
        namespace: String,
        namespace_labels: Labels,
        labels: Labels,
    },
    /// Address that belongs to no Pod, such as an apiserver outside of the cluster.
    Address(IpAddr),
}

/// Port of the destination.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub(crate) number: i32,
    pub(crate) protocol: &'static str,
}

/// Returns whether the policies allow a connection: those that select its source and those that select its destination.
pub(crate) fn is_allowed(policies: &[NetworkPolicy], from: &Endpoint, to: &Endpoint, port: Port) -> bool {
    is_allowed_by(policies, from, "Egress", |spec| {
        let rules = spec.egress.iter().flatten();
        rules.into_iter().any(|rule| matches(spec, rule.to.as_deref(), to, rule.ports.as_deref(), port))
    }) && is_allowed_by(policies, to, "Ingress", |spec| {
        let rules = spec.ingress.iter().flatten();
        rules.into_iter().any(|rule| matches(spec, rule.from.as_deref(), from, rule.ports.as_deref(), port))
    })
}

/// Policy with the namespace that peers without a namespace selector are in.
struct NamespacedSpec<'a> {
    namespace: &'a str,
    spec: &'a NetworkPolicySpec,
}

impl std::ops::Deref for NamespacedSpec<'_> {
    type Target = NetworkPolicySpec;

    fn deref(&self) -> &NetworkPolicySpec {
        self.spec
    }
}

/// Returns whether no policy of a type selects the endpoint, or one of them has a rule for the connection.
fn is_allowed_by(
    policies: &[NetworkPolicy],
    endpoint: &Endpoint,
    policy_type: &str,
    has_rule: impl Fn(&NamespacedSpec<'_>) -> bool,
) -> bool {
    let Endpoint::Pod { namespace, labels, .. } = endpoint else { return true };
    let mut selecting = policies
        .iter()
        .filter(|policy| policy.metadata.namespace.as_ref() == Some(namespace))
        .filter_map(|policy| Some(NamespacedSpec { namespace, spec: policy.spec.as_ref()? }))
        .filter(|spec| spec.pod_selector.as_ref().is_none_or(|selector| selects(selector, labels)))
        .filter(|spec| spec.policy_types.iter().flatten().any(|known| known == policy_type))
        .peekable();
    selecting.peek().is_none() || selecting.any(|spec| has_rule(&spec))
}

/// Evaluates a rule: a missing or empty list of peers or ports matches all.
fn matches(
    spec: &NamespacedSpec<'_>,
    peers: Option<&[NetworkPolicyPeer]>,
    peer: &Endpoint,
    ports: Option<&[NetworkPolicyPort]>,
    port: Port,
) -> bool {
    let all_peers = peers.is_none_or(<[_]>::is_empty);
    let all_ports = ports.is_none_or(<[_]>::is_empty);
    (all_peers || peers.into_iter().flatten().any(|rule| is_peer(spec.namespace, rule, peer)))
        && (all_ports || ports.into_iter().flatten().any(|rule| is_port(rule, port)))
}

fn is_peer(own_namespace: &str, rule: &NetworkPolicyPeer, peer: &Endpoint) -> bool {
    match peer {
        Endpoint::Address(address) => rule.ip_block.as_ref().is_some_and(|block| {
            assert!(block.except.is_none(), "not supported: except");
            // Only blocks of all addresses of a family occur.
            match block.cidr.as_str() {
                "0.0.0.0/0" => address.is_ipv4(),
                "::/0" => address.is_ipv6(),
                other => panic!("not supported: {other}"),
            }
        }),
        // Whether a block of addresses matches Pods depends on the network, so no rule may rely on it.
        Endpoint::Pod { namespace, namespace_labels, labels } => {
            let is_in = match &rule.namespace_selector {
                Some(selector) => selects(selector, namespace_labels),
                None => namespace == own_namespace,
            };
            rule.ip_block.is_none() && is_in && rule.pod_selector.as_ref().is_none_or(|known| selects(known, labels))
        }
    }
}

fn is_port(rule: &NetworkPolicyPort, port: Port) -> bool {
    assert!(rule.end_port.is_none(), "not supported: endPort");
    let is_number = match &rule.port {
        None => true,
        Some(IntOrString::Int(number)) => *number == port.number,
        Some(IntOrString::String(name)) => panic!("not supported: port {name}"),
    };
    is_number && rule.protocol.as_deref().unwrap_or("TCP") == port.protocol
}

/// Evaluates a label selector. An empty one selects everything.
fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let has_labels = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    has_labels
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let value = labels.get(&requirement.key);
            let is_listed = || value.is_some_and(|value| requirement.values.iter().flatten().any(|one| one == value));
            match requirement.operator.as_str() {
                "In" => is_listed(),
                "NotIn" => !is_listed(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                other => panic!("not supported: {other}"),
            }
        })
}
