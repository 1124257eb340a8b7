//! Tests of the real nodes that the tests of running servers use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod removal;
mod volumes;

use std::{
    io::Write,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
};
use nats_manager_harness::{
    NatsVersion, RealCluster, Seen, Tool, eventually,
    real::{IMAGES, is_required},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SOON: Duration = Duration::from_mins(2);
const PORT: u16 = 7777;

fn is_skipped() -> bool {
    match RealCluster::available() {
        Err(reason) if !is_required() => {
            // Written to stderr directly, since the capture of test output would hide that the test did not run.
            let _ = writeln!(std::io::stderr(), "LEFT OUT: {reason}");
            true
        }
        _ => false,
    }
}

/// Runs a test in the network of a leased cluster.
fn real(test: impl AsyncFnOnce(&RealCluster) + Send) {
    if !is_skipped() {
        let cluster = RealCluster::lease().unwrap();
        cluster.block_on(async || test(&cluster).await).unwrap();
    }
}

#[test]
fn pods_on_every_node_are_reachable_through_a_service() {
    real(async |cluster| {
        let client = cluster.client("test").await.unwrap();
        let (pods, services) = (Api::<Pod>::default_namespaced(client.clone()), Api::default_namespaced(client));
        for node in RealCluster::NODES {
            create(&pods, pod(&format!("web-{node}"), node)).await;
        }
        let ports = [json!({"port": 80, "targetPort": PORT})];
        let service: Service = create(
            &services,
            json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": ports}}),
        )
        .await;
        for node in RealCluster::NODES {
            becomes_ready(&pods, &format!("web-{node}")).await;
        }

        let address = service.spec.unwrap().cluster_ip.unwrap();
        let resolved = cluster.enter("getent").args(["ahostsv4", "web.default.svc.cluster.local"]).output().unwrap();
        assert!(String::from_utf8_lossy(&resolved.stdout).starts_with(&address), "{resolved:?}");
        eventually("the service responds", SOON, || async {
            get(&address, 80).await.map(|response| response.contains("stand_in"))
        })
        .await;
        let logs = cluster.kubectl().args(["logs", "web-node-c"]).output().await.unwrap();
        assert!(String::from_utf8_lossy(&logs.stdout).contains("stand-in"), "{logs:?}");

        services.delete("web", &DeleteParams::default()).await.unwrap();
        for node in RealCluster::NODES {
            pods.delete(&format!("web-{node}"), &DeleteParams::default().grace_period(1)).await.unwrap();
        }
    });
}

#[test]
fn stopped_node_is_unreachable_until_it_is_started() {
    real(async |cluster| {
        let client = cluster.client("test").await.unwrap();
        let (pods, nodes) = (Api::<Pod>::default_namespaced(client.clone()), Api::<Node>::all(client));
        create(&pods, pod("lamp", "node-b")).await;
        let address = becomes_ready(&pods, "lamp").await;
        get(&address, PORT).await.unwrap();

        cluster.stop_node("node-b").await.unwrap();
        let response = tokio::time::timeout(Duration::from_secs(1), get(&address, PORT)).await;
        assert!(!matches!(response, Ok(Ok(_))), "its pod still responds: {response:?}");
        ready_condition_becomes(&nodes, "Unknown").await;
        cluster.start_node("node-b").await.unwrap();
        ready_condition_becomes(&nodes, "True").await;
        // The pod has no controller, so an evicted one is not created again.
        if pods.get_opt("lamp").await.unwrap().is_some_and(|pod| pod.metadata.deletion_timestamp.is_none()) {
            let address = becomes_ready(&pods, "lamp").await;
            get(&address, PORT).await.unwrap();
            pods.delete("lamp", &DeleteParams::default().grace_period(1)).await.unwrap();
        }
        cluster.stop_node("node-x").await.unwrap_err();
    });
}

#[test]
fn limited_link_slows_what_pods_receive() {
    const BITS_PER_SECOND: u32 = 4_000_000;
    const SENT: usize = 2_000_000;
    real(async |cluster| {
        let pods = Api::<Pod>::default_namespaced(cluster.client("test").await.unwrap());
        create(&pods, pod("far", "node-b")).await;
        let address = becomes_ready(&pods, "far").await;
        let quick = Duration::from_secs(2);
        assert!(send(&address, SENT).await < quick);

        cluster.limit_link("node-b", BITS_PER_SECOND).await.unwrap();
        let slow = send(&address, SENT).await;
        // 4 s, less the burst.
        assert!(slow > Duration::from_secs(3) && slow < Duration::from_secs(8), "{slow:?}");
        for _ in 0..2 {
            cluster.unlimit_link("node-b").await.unwrap();
        }
        assert!(send(&address, SENT).await < quick);
        cluster.limit_link("node-x", BITS_PER_SECOND).await.unwrap_err();
        pods.delete("far", &DeleteParams::default().grace_period(1)).await.unwrap();
    });
}

#[test]
fn other_nats_servers_are_loaded_on_request() {
    if is_skipped() {
        return;
    }
    let version = NatsVersion::V2_15_3;
    Tool::NatsServer(version).path_blocking().unwrap();
    real(async |cluster| {
        cluster.load_nats_server(version).await.unwrap();
        let pods = Api::<Pod>::default_namespaced(cluster.client("test").await.unwrap());
        let container = json!({"name": "nats", "image": version.image(), "args": ["--version"]});
        let spec = json!({"nodeName": "node-c", "restartPolicy": "Never", "containers": [container]});
        create(&pods, json!({"metadata": {"name": "version"}, "spec": spec})).await;
        eventually("it prints its version", SOON, || async {
            let output = cluster.kubectl().args(["logs", "version"]).output().await.unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if text.trim() == format!("nats-server: v{version}") { Ok(true) } else { Err(format!("{output:?}")) }
        })
        .await;
        pods.delete("version", &DeleteParams::default().grace_period(1)).await.unwrap();
    });
}

/// Returns a pod that serves `/metrics`.
fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "web",
                "image": IMAGES.exporter,
                "args": [format!("-port={PORT}")],
                "readinessProbe": {"httpGet": {"path": "/metrics", "port": PORT}, "periodSeconds": 1},
            }],
        },
    })
}

async fn create<K>(api: &Api<K>, object: Value) -> K
where
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let object = serde_json::from_value(object).unwrap();
    // The default service account exists a moment after its namespace.
    eventually("the object is created", SOON, || async { api.create(&PostParams::default(), &object).await.map(Some) })
        .await
}

/// Waits until a pod is ready and returns its address.
async fn becomes_ready(pods: &Api<Pod>, name: &str) -> String {
    eventually(&format!("{name} is ready"), SOON, || async {
        let status = pods.get(name).await?.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        Ok::<_, kube::Error>(match status.pod_ip {
            Some(address) if ready => Seen::Done(address),
            _ => Seen::NotYet(format!("{:?}", status.container_statuses)),
        })
    })
    .await
}

async fn ready_condition_becomes(nodes: &Api<Node>, expected: &str) {
    eventually(&format!("Ready of node-b is {expected}"), SOON, || async {
        let node = nodes.get("node-b").await?;
        let name = node.name_any();
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready").map(|ready| ready.status);
        Ok::<_, kube::Error>(match ready {
            Some(status) if status == expected => Seen::Done(()),
            other => Seen::NotYet(format!("{name}: {other:?}")),
        })
    })
    .await;
}

/// Sends `bytes` bytes as headers to a pod of [`pod`], and returns the time until it has responded to all requests.
async fn send(address: &str, bytes: usize) -> Duration {
    const REQUEST: usize = 50_000;
    let started = Instant::now();
    let mut stream = TcpStream::connect((address, PORT)).await.unwrap();
    let request = format!("HEAD /metrics HTTP/1.1\r\nHost: pod\r\nFiller: {}\r\n\r\n", "-".repeat(REQUEST));
    for _ in 0..bytes.div_ceil(REQUEST) {
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    stream.write_all(b"HEAD /metrics HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut responses = String::new();
    stream.read_to_string(&mut responses).await.unwrap();
    assert_eq!(responses.matches("200 OK").count(), bytes.div_ceil(REQUEST) + 1);
    started.elapsed()
}

async fn get(address: &str, port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((address, port)).await?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}
