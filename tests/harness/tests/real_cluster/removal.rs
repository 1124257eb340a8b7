//! Removal of everything that real nodes leave on the machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nats_manager_harness::{KubernetesVersion, NatsVersion, Seen, Tool, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{SOON, is_skipped, volumes::mounting_pod};

/// Parent of the cgroups of all clusters.
const CGROUPS: &str = "nats-manager-cluster";

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
