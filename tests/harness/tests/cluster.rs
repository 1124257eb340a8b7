//! Tests of the control plane that the tests of the manager run on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, fs, path::Path, process::Stdio, time::Duration};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use nats_manager_harness::{ClusterOptions, KubernetesVersion, LocalCluster, Seen, Tool, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

const SOON: Duration = Duration::from_secs(30);

async fn namespace(client: &Client, name: &str) {
    create::<Namespace>(&Api::all(client.clone()), json!({"metadata": {"name": name}})).await;
}

async fn create<K>(api: &Api<K>, object: Value) -> K
where
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
}

#[tokio::test]
async fn nodes_are_in_three_zones() {
    let cluster = LocalCluster::lease().await.unwrap();
    let nodes: Api<Node> = Api::all(cluster.client("test").await.unwrap());
    let zones: Vec<_> = nodes
        .list(&ListParams::default())
        .await
        .unwrap()
        .into_iter()
        .map(|node| (node.name_any(), node.labels()["topology.kubernetes.io/zone"].clone()))
        .collect();
    let expected = ["a", "b", "c"].map(|letter| (format!("node-{letter}"), format!("zone-{letter}")));
    assert_eq!(zones, expected);
}

#[tokio::test]
async fn stateful_set_gets_volumes_in_three_zones() {
    let cluster = LocalCluster::lease().await.unwrap();
    let client = cluster.client("test").await.unwrap();
    namespace(&client, "volumes").await;
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), "volumes");
    create(&sets, stateful_set()).await;
    eventually("three pods are ready", SOON, || async {
        let status = sets.get("web").await?.status.unwrap_or_default();
        let ready = status.ready_replicas.unwrap_or_default();
        Ok::<_, kube::Error>(if ready == 3 { Seen::Done(()) } else { Seen::NotYet(format!("{ready} are")) })
    })
    .await;

    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let ours = || async {
        let list = volumes.list(&ListParams::default()).await.unwrap();
        let namespace_of = |volume: &PersistentVolume| volume.spec.as_ref()?.claim_ref.as_ref()?.namespace.clone();
        list.into_iter().filter(|volume| namespace_of(volume).as_deref() == Some("volumes")).collect::<Vec<_>>()
    };
    let zones: BTreeSet<_> = ours().await.iter().map(zone).collect();
    assert_eq!(zones, BTreeSet::from(["zone-a", "zone-b", "zone-c"].map(String::from)));

    let pvcs: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "volumes");
    let phases: Vec<_> = pvcs.list(&ListParams::default()).await.unwrap().into_iter().map(phase).collect();
    assert_eq!(phases, ["Bound", "Bound", "Bound"]);

    // Volumes are deleted with their PVCs, PVCs after the pods that use them.
    sets.delete("web", &DeleteParams::foreground()).await.unwrap();
    pvcs.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    eventually("the volumes are gone", SOON, || async { ours().await.is_empty() }).await;
    let pods: Api<Pod> = Api::namespaced(client, "volumes");
    assert!(pods.list(&ListParams::default()).await.unwrap().items.is_empty());
}

fn stateful_set() -> Value {
    let labels = json!({"app": "web"});
    json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3,
            "serviceName": "web",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "topologySpreadConstraints": [{
                        "maxSkew": 1,
                        "topologyKey": "topology.kubernetes.io/zone",
                        "whenUnsatisfiable": "DoNotSchedule",
                        "labelSelector": {"matchLabels": labels},
                    }],
                    "containers": [{
                        "name": "web",
                        "image": "web",
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }],
                },
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }],
        },
    })
}

fn zone(volume: &PersistentVolume) -> String {
    serde_json::to_value(volume)
        .unwrap()
        .pointer("/spec/nodeAffinity/required/nodeSelectorTerms/0/matchExpressions/0/values/0")
        .and_then(Value::as_str)
        .unwrap()
        .to_owned()
}

fn phase(pvc: PersistentVolumeClaim) -> String {
    pvc.status.and_then(|status| status.phase).unwrap_or_default()
}

#[tokio::test]
async fn service_account_has_the_permissions_of_its_role() {
    let cluster = LocalCluster::lease().await.unwrap();
    let admin = cluster.client("test").await.unwrap();
    namespace(&admin, "access").await;
    create::<ServiceAccount>(&Api::namespaced(admin.clone(), "access"), json!({"metadata": {"name": "worker"}})).await;
    create::<Role>(
        &Api::namespaced(admin.clone(), "access"),
        json!({
            "metadata": {"name": "worker"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}],
        }),
    )
    .await;
    create::<RoleBinding>(
        &Api::namespaced(admin.clone(), "access"),
        json!({
            "metadata": {"name": "worker"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "worker"},
            "subjects": [{"kind": "ServiceAccount", "name": "worker", "namespace": "access"}],
        }),
    )
    .await;

    let kubeconfig = cluster.kubeconfig_for("access", "worker").await.unwrap();
    let worker = cluster.client_of(&kubeconfig, "worker/1").await.unwrap();
    let mark = cluster.audit().unwrap().mark().await.unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(worker);
    let map = json!({"metadata": {"name": "made-by-worker"}});
    // The authorizer gets a new role through a watch, with a delay.
    eventually("the role takes effect", SOON, || async {
        maps.create(&PostParams::default(), &serde_json::from_value(map.clone()).unwrap()).await.map(Some)
    })
    .await;
    let rejection = maps.delete("made-by-worker", &DeleteParams::default()).await.unwrap_err();
    assert!(matches!(&rejection, kube::Error::Api(status) if status.code == 403), "{rejection}");

    let events = cluster.audit().unwrap().since(mark).await.unwrap();
    let user = "system:serviceaccount:access:worker";
    let deletion = events.iter().find(|event| event.verb == "delete" && event.user == user).unwrap();
    assert_eq!((deletion.resource.as_str(), deletion.name.as_str()), ("configmaps", "made-by-worker"));
    assert_eq!((deletion.namespace.as_str(), deletion.code), ("access", 403));
    assert_eq!(events.writes_of_user(user), events.writes_of_agent("worker/"));
    assert!(events.writes_of_user(user) >= 2);
    assert_eq!(events.writes_of_agent("test"), 0);
}

#[tokio::test]
async fn kubectl_uses_this_cluster() {
    let cluster = LocalCluster::lease().await.unwrap();
    let output = cluster.kubectl().args(["get", "storageclass", "-o", "name"]).output().await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "storageclass.storage.k8s.io/standard\n");
}

#[tokio::test]
async fn kubernetes_1_37_honours_max_unavailable() {
    let options = ClusterOptions { kubernetes: Some(KubernetesVersion::V1_37_2), ..ClusterOptions::default() };
    let cluster = LocalCluster::start(options).await.unwrap();
    let get = async |path: &str| {
        let output = cluster.kubectl().args(["get", "--raw", path]).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let version: Value = serde_json::from_str(&get("/version").await).unwrap();
    assert_eq!(version["gitVersion"], "v1.37.2");
    let metrics = get("/metrics").await;
    let feature = metrics.lines().find(|line| line.contains("name=\"MaxUnavailableStatefulSet\"")).unwrap();
    assert!(feature.ends_with(" 1"), "{feature}");
}

#[tokio::test]
async fn nothing_is_left_after_shutdown() {
    let options = ClusterOptions { nodes: 1, zones: 1, keep: false, ..ClusterOptions::default() };
    let cluster = LocalCluster::start(options).await.unwrap();
    let folder = cluster.folder().to_owned();
    assert!(processes_of(&folder) >= 6);
    cluster.shutdown().await.unwrap();
    assert_eq!(processes_of(&folder), 0);
    assert!(!folder.exists());
}

#[tokio::test]
async fn nothing_is_left_of_a_killed_supervisor() {
    let parent = tempfile::tempdir().unwrap();
    let killed = parent.path().join("killed");
    let mut supervisor = supervise(&killed).await;
    supervisor.start_kill().unwrap();
    supervisor.wait().await.unwrap();
    eventually("its components are gone", SOON, || async { processes_of(&killed) == 0 }).await;

    // The start of another supervisor beside it deletes the folder, but not that of a running supervisor.
    let next = supervise(&parent.path().join("next")).await;
    assert!(!killed.exists());
    let last = supervise(&parent.path().join("last")).await;
    assert!(parent.path().join("next").exists());
    for mut supervisor in [next, last] {
        drop(supervisor.stdin.take());
        assert!(supervisor.wait().await.unwrap().success());
    }
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

/// Starts `cluster up` without the harness and waits until it is ready.
async fn supervise(folder: &Path) -> tokio::process::Child {
    let mut child = tokio::process::Command::new(Tool::Cluster(KubernetesVersion::default()).path().await.unwrap())
        .args(["up", "--nodes=1", "--zones=1", "--dir"])
        .arg(folder)
        .arg("--kwok")
        .arg(Tool::Kwok.path().await.unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next_line().await.unwrap();
    assert!(line.is_some_and(|line| line.contains("kubeconfig")));
    child
}

/// Counts the processes whose command line contains the folder.
fn processes_of(folder: &Path) -> usize {
    let folder = folder.to_str().unwrap();
    let commands =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    commands.filter(|command| String::from_utf8_lossy(command).contains(folder)).count()
}
