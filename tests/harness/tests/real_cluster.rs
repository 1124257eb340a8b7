//! Tests of the real nodes that the tests of running servers use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    core::v1::{Node, PersistentVolumeClaim, Pod, Service},
    storage::v1::StorageClass,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use nats_manager_harness::{
    KubernetesVersion, NatsVersion, RealCluster, Seen, Tool, eventually,
    real::{IMAGES, is_required},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

const SOON: Duration = Duration::from_mins(2);
const PORT: u16 = 7777;
const CGROUPS: &str = "nats-manager-cluster";

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

/// Runs a test in the network of the shared cluster.
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
        let quick = Duration::from_secs(1);
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
fn volumes_expand_as_their_class_says() {
    real(async |cluster| {
        let volumes = Volumes::new(cluster).await;
        for class in ["expands-online", "expands-at-restart", "expansion-fails", "standard"] {
            volumes.mount(class).await;
        }
        for class in ["expands-online", "expands-at-restart", "expansion-fails"] {
            volumes.raise(class).await.unwrap();
        }
        let rejected = volumes.raise("standard").await.unwrap_err().to_string();
        assert!(rejected.contains("the storageclass that provisions the pvc must support resize"), "{rejected}");

        let before = volumes.pods.get("expands-online").await.unwrap();
        volumes.becomes("expands-online", "1Gi", "").await;
        assert!(volumes.file_system("expands-online").await > 900 << 20);
        assert_eq!(volumes.pods.get("expands-online").await.unwrap().uid(), before.uid());

        volumes.becomes("expands-at-restart", "512Mi", "NodeResizePending").await;
        assert!(volumes.file_system("expands-at-restart").await < 512 << 20);
        volumes.pods.delete("expands-at-restart", &DeleteParams::default().grace_period(1)).await.unwrap();
        volumes.becomes("expands-at-restart", "1Gi", "").await;
        assert!(volumes.file_system("expands-at-restart").await > 900 << 20);

        volumes.becomes("expansion-fails", "512Mi", "ControllerResizeInfeasible").await;
        eventually("the failure is an event", SOON, || async {
            let output = cluster.kubectl().args(["get", "events"]).output().await.unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if text.contains("VolumeResizeFailed") { Ok(true) } else { Err(text) }
        })
        .await;
        volumes.set_expansion("expansion-fails", "online").await;
        volumes.becomes("expansion-fails", "1Gi", "").await;
        volumes.set_expansion("expansion-fails", "fails").await;
        volumes.delete().await;
    });
}

/// Pods with a volume of 512Mi, each of the class that is its name.
struct Volumes<'a> {
    cluster: &'a RealCluster,
    pods: Api<Pod>,
    pvcs: Api<PersistentVolumeClaim>,
    classes: Api<StorageClass>,
}

impl<'a> Volumes<'a> {
    async fn new(cluster: &'a RealCluster) -> Self {
        let client = cluster.client("test").await.unwrap();
        let (pods, pvcs) = (Api::default_namespaced(client.clone()), Api::default_namespaced(client.clone()));
        Self { cluster, pods, pvcs, classes: Api::all(client) }
    }

    /// Creates PVC and Pod.
    async fn mount(&self, class: &str) {
        let [pvc, pod] = mounting_pod(class);
        create(&self.pvcs, pvc).await;
        create(&self.pods, pod).await;
        becomes_ready(&self.pods, class).await;
    }

    /// Requests 1Gi.
    async fn raise(&self, class: &str) -> kube::Result<PersistentVolumeClaim> {
        let patch = json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}});
        self.pvcs.patch(class, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// Waits for a capacity and a status of the expansion.
    async fn becomes(&self, class: &str, capacity: &str, progress: &str) {
        eventually(&format!("{class} has {capacity} {progress}"), SOON, || async {
            let status = self.pvcs.get(class).await?.status.unwrap_or_default();
            let found = status.capacity.as_ref().and_then(|all| all.get("storage")).map(|size| size.0.as_str());
            let reported = status.allocated_resource_statuses.as_ref().and_then(|all| all.get("storage"));
            let is_reported = reported.map_or("", String::as_str) == progress;
            Ok::<_, kube::Error>(if found == Some(capacity) && is_reported {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{status:?}"))
            })
        })
        .await;
    }

    /// Returns the size of the file system in bytes.
    async fn file_system(&self, class: &str) -> u64 {
        let volume = self.pvcs.get(class).await.unwrap().spec.unwrap().volume_name.unwrap();
        let path = self.cluster.folder().join("volumes").join(volume);
        let mounts = self.cluster.namespace().with_file_name("mnt");
        let mut stat = Command::new("nsenter");
        stat.arg(format!("--mount={}", mounts.display())).args(["stat", "--file-system", "--format=%b %S"]);
        let output = stat.arg(path).output().unwrap();
        let figures = String::from_utf8(output.stdout).unwrap();
        figures.split_whitespace().map(|figure| figure.parse::<u64>().unwrap()).product()
    }

    /// Sets how the volumes of a class expand.
    async fn set_expansion(&self, class: &str, expansion: &str) {
        let patch = json!({"metadata": {"annotations": {"nats-manager.local/expansion": expansion}}});
        self.classes.patch(class, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn delete(&self) {
        let soon = DeleteParams::default().grace_period(1);
        let _ = self.pods.delete_collection(&soon, &kube::api::ListParams::default()).await;
        let _ = self.pvcs.delete_collection(&soon, &kube::api::ListParams::default()).await;
    }
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

#[test]
fn nothing_is_left_of_real_nodes() {
    if is_skipped() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let parent = tempfile::tempdir().unwrap();
        let killed = parent.path().join("killed");
        let (mut supervisor, cgroup) = supervise(&killed).await;
        run_a_pod(&killed, &cgroup).await;
        assert!(loop_devices(&killed) == 1 || !Path::new("/dev/loop-control").exists());
        supervisor.start_kill().unwrap();
        supervisor.wait().await.unwrap();
        eventually("its processes are gone", SOON, || async {
            match processes_of(&killed) + processes_in(&cgroup) + loop_devices(&killed) {
                0 => Seen::Done(()),
                left => Seen::NotYet(format!("{left} are left")),
            }
        })
        .await;

        // The start of another supervisor deletes folder and cgroups.
        let (mut next, its_cgroup) = supervise(&parent.path().join("next")).await;
        assert!(!killed.exists());
        assert_eq!(existing(&cgroup), Vec::<PathBuf>::new());
        drop(next.stdin.take());
        assert!(next.wait().await.unwrap().success());
        assert_eq!(existing(&its_cgroup), Vec::<PathBuf>::new());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
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

/// Returns a PVC of 512Mi and a pod that uses it. Both have the name of the StorageClass.
fn mounting_pod(class: &str) -> [Value; 2] {
    let mut pod = pod(class, "");
    // A pod with a node has no need of the scheduler, which chooses the node of the volume.
    pod["spec"].as_object_mut().unwrap().remove("nodeName");
    pod["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": class}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let spec = json!({
        "storageClassName": class,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "512Mi"}},
    });
    let pvc = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": class},
        "spec": spec,
    });
    [pvc, pod]
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

/// Starts `cluster up --real` without the harness and waits until it is ready. Returns the process and the name of its
/// cgroups.
async fn supervise(folder: &Path) -> (tokio::process::Child, String) {
    let version = NatsVersion::default();
    let mut child = tokio::process::Command::new(Tool::Cluster(KubernetesVersion::default()).path().await.unwrap())
        .args(["up", "--real", "--dir"])
        .arg(folder)
        .arg("--coredns")
        .arg(Tool::CoreDns.path().await.unwrap())
        .arg(format!("--nats-server={version}={}", Tool::NatsServer(version).path().await.unwrap().display()))
        .arg("--stand-in")
        .arg(Tool::StandIn.path().await.unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next_line().await.unwrap();
    let announced: Value = serde_json::from_str(&line.unwrap()).unwrap();
    let pid = announced["network"].as_str().unwrap().split('/').nth(2).unwrap().to_owned();
    (child, pid)
}

/// Runs a container on a cluster of [`supervise`].
async fn run_a_pod(folder: &Path, cgroup: &str) {
    let cluster = Tool::Cluster(KubernetesVersion::default()).path().await.unwrap();
    let manifest = folder.join("pod.json");
    let mut objects = mounting_pod("expands-online");
    for object in &mut objects {
        object["metadata"]["namespace"] = json!("default");
    }
    fs::write(&manifest, json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()).unwrap();
    eventually("a container runs", SOON, || async {
        let mut kubectl = Command::new("nsenter");
        kubectl.arg(format!("--net=/proc/{cgroup}/ns/net")).arg(&cluster).args(["kubectl", "apply", "--filename"]);
        let output = kubectl.arg(&manifest).env("KUBECONFIG", folder.join("admin.kubeconfig")).output();
        if processes_in(cgroup) > 1 { Seen::Done(()) } else { Seen::NotYet(format!("{output:?}")) }
    })
    .await;
}

/// Counts the loop devices with a file in the folder.
fn loop_devices(folder: &Path) -> usize {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let files = devices.filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok());
    files.filter(|file| Path::new(file).starts_with(folder)).count()
}

/// Counts the processes whose command line contains the folder.
fn processes_of(folder: &Path) -> usize {
    let folder = folder.to_str().unwrap();
    let commands =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    commands.filter(|command| String::from_utf8_lossy(command).contains(folder)).count()
}

/// Counts the processes in cgroups of this name, once for each hierarchy.
fn processes_in(cgroup: &str) -> usize {
    fn count(folder: &Path) -> usize {
        let here = fs::read_to_string(folder.join("cgroup.procs")).map_or(0, |processes| processes.lines().count());
        let children = fs::read_dir(folder).into_iter().flatten().flatten();
        here + children.filter(|entry| entry.path().is_dir()).map(|entry| count(&entry.path())).sum::<usize>()
    }
    existing(cgroup).iter().map(|folder| count(folder)).sum()
}

/// Returns the folders of the cgroups of this name, of all hierarchies.
fn existing(cgroup: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(top).unwrap().flatten().map(|entry| entry.path()).chain([top.to_owned()]);
    hierarchies.map(|hierarchy| hierarchy.join(CGROUPS).join(cgroup)).filter(|path| path.exists()).collect()
}
