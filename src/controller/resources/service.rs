//! The headless Service: the address for clients, and the servers' names in DNS.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use nats_manager_api::ResolvedCluster;

use super::{metadata, ports};

pub(super) fn build(cluster: &ResolvedCluster) -> Service {
    let annotations = metadata::annotations(
        cluster,
        [("prometheus.io/scrape", "true".to_owned()), ("prometheus.io/port", ports::METRICS.to_string())],
    );
    metadata::stamped(Service {
        metadata: metadata::object(cluster, cluster.id.name.clone(), annotations),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            ports: Some(vec![
                port("client", "tcp", ports::CLIENT),
                port("cluster", "tcp", ports::CLUSTER),
                port("monitor", "http", ports::MONITOR),
                port("metrics", "http", ports::METRICS),
                port("leafnodes", "tcp", ports::LEAFNODES),
                port("gateways", "tcp", ports::GATEWAYS),
            ]),
            // Servers must find each other before any of them is ready.
            publish_not_ready_addresses: Some(true),
            selector: Some(cluster.id.selector()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}

fn port(name: &str, protocol: &str, port: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        app_protocol: Some(protocol.to_owned()),
        port: port.into(),
        protocol: Some("TCP".to_owned()),
        // The default, set explicitly so that a different value from another client is corrected.
        target_port: Some(IntOrString::Int(port.into())),
        ..ServicePort::default()
    }
}
