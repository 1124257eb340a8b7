//! The containers of a Pod: the server, the config reloader and the metrics exporter.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, ExecAction, HTTPGetAction, Lifecycle,
        LifecycleHandler, ObjectFieldSelector, Probe, ResourceRequirements, SecurityContext, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
use nats_manager_api::{RawQuantity, ResolvedCluster};
use nats_manager_planner::actual::ConfigKey;

use super::{nats_conf, ports, secret::RESOLVER_KEY, volumes};
use crate::settings::Images;

/// Soft memory limit of the Go runtime (`GOMEMLIMIT`) in percent of the container's limit. Beyond it the garbage
/// collector runs more often, before the kernel kills the server. The rest is for memory that Go does not count.
const GO_MEMORY_SHARE: u64 = 80;

/// Failed startup probes until the kubelet restarts the container: about a day, at one per ten seconds.
const STARTUP_PROBES: i32 = 8640;

/// Builds all containers. The order is that of the predecessor: `kubectl logs` shows the first by default.
pub(super) fn all(cluster: &ResolvedCluster, images: &Images, key: ConfigKey) -> Vec<Container> {
    vec![config_reloader(images, key), exporter(images), server(cluster, images, key)]
}

fn server(cluster: &ResolvedCluster, images: &Images, key: ConfigKey) -> Container {
    Container {
        command: Some(args(["nats-server", "--config", &config_file(key)])),
        env: Some(environment(cluster)),
        lifecycle: Some(Lifecycle {
            // Lame duck mode: clients move to other servers before this one stops.
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction {
                    command: Some(args(["nats-server", &format!("-sl=ldm={}", nats_conf::PID_FILE)])),
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        // The startup probe is the full health check: a server that catches up is not ready, so the disruption budget
        // allows no further eviction. A server with an unreadable stream, or a large store, is reported and not killed.
        startup_probe: Some(Probe {
            failure_threshold: Some(STARTUP_PROBES),
            period_seconds: Some(10),
            ..probe("/healthz")
        }),
        readiness_probe: Some(Probe {
            failure_threshold: Some(3),
            period_seconds: Some(10),
            ..probe("/healthz?js-server-only=true")
        }),
        // Liveness checks less than readiness: a restart does not help a server that waits for the others.
        liveness_probe: Some(Probe {
            failure_threshold: Some(5),
            period_seconds: Some(30),
            ..probe("/healthz?js-enabled-only=true")
        }),
        ports: Some(vec![
            port("client", ports::CLIENT),
            port("leafnodes", ports::LEAFNODES),
            port("gateways", ports::GATEWAYS),
            port("cluster", ports::CLUSTER),
            port("monitor", ports::MONITOR),
        ]),
        resources: Some(ResourceRequirements {
            limits: Some(quantities(&cluster.limits)),
            requests: Some(quantities(&cluster.requests)),
            ..ResourceRequirements::default()
        }),
        volume_mounts: Some(vec![
            accounts_mount(),
            config_mount(),
            run_mount(),
            mount(&volumes::store(cluster), nats_conf::STORE_FOLDER),
        ]),
        ..container("nats", &images.nats)
    }
}

fn config_reloader(images: &Images, key: ConfigKey) -> Container {
    let accounts = format!("{}/{}/{RESOLVER_KEY}", nats_conf::FOLDER, nats_conf::ACCOUNTS);
    Container {
        command: Some(args([
            "nats-server-config-reloader",
            "-pid",
            nats_conf::PID_FILE,
            "-config",
            &config_file(key),
            "-config",
            &accounts,
        ])),
        resources: Some(sidecar_resources()),
        volume_mounts: Some(vec![config_mount(), run_mount(), accounts_mount()]),
        ..container("config-reloader", &images.config_reloader)
    }
}

fn exporter(images: &Images) -> Container {
    Container {
        args: Some(args([
            &format!("-port={}", ports::METRICS),
            "-connz",
            "-routez",
            "-subz",
            "-varz",
            "-healthz",
            "-prefix=nats",
            "-use_internal_server_id",
            "-jsz=all",
            &format!("http://localhost:{}/", ports::MONITOR),
        ])),
        ports: Some(vec![port("metrics", ports::METRICS)]),
        resources: Some(sidecar_resources()),
        ..container("metrics", &images.exporter)
    }
}

fn environment(cluster: &ResolvedCluster) -> Vec<EnvVar> {
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: path.to_owned() }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let value = |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), ..EnvVar::default() };
    let advertised = format!("$(POD_NAME).{}.$(POD_NAMESPACE).svc.{}", cluster.id.name, cluster.domain);
    let mut all = vec![
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        value("CLUSTER_ADVERTISE", advertised),
        value("SERVER_NAME", "$(POD_NAME)".to_owned()),
    ];
    let memory = cluster.memory_limit.map(|limit| limit.percent(GO_MEMORY_SHARE).get());
    all.extend(memory.map(|bytes| value("GOMEMLIMIT", format!("{bytes}B"))));
    all
}

/// Builds a container without privileges and capabilities, and with a read-only root file system.
fn container(name: &str, image: &str) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(args(["ALL"])), ..Capabilities::default() }),
            privileged: Some(false),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn sidecar_resources() -> ResourceRequirements {
    let amounts = |cpu: &str, memory: &str| {
        let pairs = [("cpu", cpu), ("memory", memory)];
        Some(pairs.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))).into())
    };
    ResourceRequirements {
        limits: amounts("50m", "32Mi"),
        requests: amounts("10m", "20Mi"),
        ..ResourceRequirements::default()
    }
}

fn quantities(amounts: &BTreeMap<String, RawQuantity>) -> BTreeMap<String, Quantity> {
    amounts.iter().map(|(name, amount)| (name.clone(), Quantity(amount.text.clone()))).collect()
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(ports::MONITOR.into()),
            ..HTTPGetAction::default()
        }),
        initial_delay_seconds: Some(10),
        success_threshold: Some(1),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn port(name: &str, port: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: port.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn config_file(key: ConfigKey) -> String {
    format!("{}/{}", nats_conf::FOLDER, nats_conf::file(key))
}

fn config_mount() -> VolumeMount {
    mount(volumes::CONFIG, nats_conf::FOLDER)
}

fn accounts_mount() -> VolumeMount {
    mount(volumes::ACCOUNTS, &format!("{}/{}", nats_conf::FOLDER, nats_conf::ACCOUNTS))
}

fn run_mount() -> VolumeMount {
    mount(volumes::RUN, nats_conf::RUN_FOLDER)
}

fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

fn args<const N: usize>(args: [&str; N]) -> Vec<String> {
    args.map(str::to_owned).into()
}
