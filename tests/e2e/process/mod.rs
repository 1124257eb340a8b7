//! The manager process: flags, startup, permissions, leader election.

mod metrics;
mod predecessor;
mod start;
mod unrelated;

use std::{path::Path, process::Command, time::Duration};

use k8s_openapi::{
    api::{coordination::v1::Lease, rbac::v1::Role},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use nats_manager_api::crd;
use nats_manager_harness::{Seen, Shell, documented, eventually};
use serde_json::json;

use crate::{
    manager::{ManagerOptions, ManagerProcess, http_get},
    world::{NAMESPACE, TIMEOUT, World},
};

/// Time after which a lease that is not renewed expires.
const LEASE_DURATION: Duration = Duration::from_secs(20);

#[test]
fn invalid_flag_or_variable_prints_one_line_and_exits_with_2() {
    let images =
        [("NATS_IMAGE", "a"), ("NATS_SERVER_CONFIG_RELOADER_IMAGE", "b"), ("PROMETHEUS_NATS_EXPORTER_IMAGE", "c")];
    for (args, env, expected) in [
        (&["--no-such-flag"][..], &[][..], "--no-such-flag"),
        (&["--metrics-bind-address=nowhere"], &[], "--metrics-bind-address"),
        (&["--leader-elect=perhaps"], &[], "--leader-elect"),
        (&["--nats-url=:"], &[], "--nats-url"),
        (&[], &[("LOG_LEVEL", "loud")], "LOG_LEVEL"),
        (&[], &[("NATS_CR_NAME", "No Name")], "NATS_CR_NAME"),
        (&[], &[("NATS_IMAGE", "")], "NATS_IMAGE"),
        (&[], &[("KYMA_FIPS_MODE_ENABLED", "true")], "NATS_IMAGE_FIPS"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_nats-manager"))
            .args(args)
            .env_clear()
            .envs(images)
            .envs(env.iter().copied())
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?} {env:?}: {printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
        assert!(printed.starts_with("nats-manager: ") && printed.contains(expected), "{printed}");
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn documented_offline_commands_need_no_cluster() {
    let world = World::new().await;
    let shell = Shell::new(&world.cluster);
    shell.has(Path::new(env!("CARGO_BIN_EXE_nats-manager")));
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/config/samples/default.yaml");
    std::fs::copy(sample, shell.folder().join("eventing-nats.yaml")).unwrap();
    for block in documented::blocks("README.md", "run: without a cluster") {
        let printed = shell.done(&format!("set -e\n{}", block.text)).await;
        for kind in ["CustomResourceDefinition", "StatefulSet"] {
            assert!(printed.contains(&format!("kind: {kind}\n")), "{printed}");
        }
    }
}

#[test]
fn missing_cluster_is_reported_and_exits_with_1() {
    let output = Command::new(env!("CARGO_BIN_EXE_nats-manager"))
        .args(["--metrics-bind-address=0", "--health-probe-bind-address=0"])
        .args(ManagerOptions::default().args)
        .env_clear()
        .envs(ManagerOptions::default().env)
        .env("KUBECONFIG", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(printed.contains("no cluster to work on"), "{printed}");
}

#[tokio::test]
async fn manager_waits_for_crd_and_continues_once_it_is_installed() {
    let world = World::new().await;
    let crds: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    crds.delete(crd::NAME, &DeleteParams::default()).await.unwrap();
    eventually("the CRD is deleted", TIMEOUT, || async {
        Ok::<_, kube::Error>(crds.get_opt(crd::NAME).await?.is_none())
    })
    .await;
    let waiting = format!("waiting for the CustomResourceDefinition {}", crd::NAME);
    let names_crd = |manager: &ManagerProcess| {
        let port = manager.probes;
        let waiting = waiting.clone();
        async move {
            match http_get(port, "/readyz").await {
                Ok((503, text)) if text.contains(&waiting) => Seen::Done(()),
                other => Seen::NotYet(format!("{other:?}")),
            }
        }
    };
    let first = world.spawn(&ManagerOptions::default());
    eventually("readiness names the CRD", TIMEOUT, || names_crd(&first)).await;
    assert_eq!(http_get(first.probes, "/healthz").await.unwrap().0, 200);
    assert_eq!(first.terminate().await.unwrap(), Some(0));

    let manager = world.spawn(&ManagerOptions::default());
    eventually("readiness names the CRD", TIMEOUT, || names_crd(&manager)).await;
    let folder = format!("{}/config/crd", env!("CARGO_MANIFEST_DIR"));
    world.kubectl(&["apply", "--server-side", "-k", &folder]).await.unwrap();
    let manager = manager.ready().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    assert_eq!(manager.terminate().await.unwrap(), Some(0));
}

#[tokio::test]
async fn missing_permission_is_named() {
    let world = World::new().await;
    let roles = world.api::<Role>();
    let complete = roles.get("nats-manager").await.unwrap();
    let mut reduced = complete.clone();
    let granted = reduced.rules.as_mut().unwrap();
    granted.retain(|rule| rule.resources.as_ref().is_none_or(|resources| *resources != ["services"]));
    assert_eq!(granted.len() + 1, complete.rules.as_ref().unwrap().len());
    roles.replace("nats-manager", &PostParams::default(), &reduced).await.unwrap();

    let manager = world.spawn(&ManagerOptions::default());
    let missing = "missing permission to list and watch services";
    eventually("readiness names the permission", TIMEOUT, || async {
        match manager.readyz().await {
            Some((503, text)) if text.contains(missing) => Seen::Done(()),
            other => Seen::NotYet(format!("{other:?}")),
        }
    })
    .await;
    let log = manager.log();
    let printed: Vec<_> = log.lines().filter(|line| line.contains("\"WARN\"") && line.contains(missing)).collect();
    assert_eq!(printed.len(), 1, "{printed:?}");

    let folder = format!("{}/config/rbac", env!("CARGO_MANIFEST_DIR"));
    world.kubectl(&["apply", "--server-side", "--force-conflicts", "-k", &folder]).await.unwrap();
    manager.ready().await;
}

#[tokio::test]
async fn one_replica_leads_and_another_takes_over() {
    let world = World::new().await;
    let replica = |name: &str| {
        let mut options = ManagerOptions::default();
        options.args.push("--leader-elect".to_owned());
        options.env.insert("POD_NAME".to_owned(), name.to_owned());
        options
    };
    let first = world.manager_with(&replica("first")).await;
    leader_becomes(&world, "first", TIMEOUT).await;
    let second = world.manager_with(&replica("second")).await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    assert_eq!((leads(&first).await, leads(&second).await), (true, false));
    for verb in ["patch", "apply", "create", "delete", "update"] {
        let text = http_get(second.metrics, "/metrics").await.unwrap().1;
        let writes: Vec<_> = text
            .lines()
            .filter(|line| line.contains(&format!("verb=\"{verb}\"")) && !line.contains("resource=\"leases\""))
            .collect();
        assert!(writes.is_empty(), "a replica without the lease writes nothing: {writes:?}");
    }

    // A leader that terminates releases the lease, so that another replica need not wait for its expiry.
    assert_eq!(first.terminate().await.unwrap(), Some(0));
    leader_becomes(&world, "second", Duration::from_secs(10)).await;
    let third = world.manager_with(&replica("third")).await;
    // A leader that is killed cannot release the lease: it expires.
    second.kill().await.unwrap();
    leader_becomes(&world, "third", LEASE_DURATION + Duration::from_secs(2)).await;
    crate::objects::SERVICE.comes_back(&world).await;

    // A leader that loses its lease to another holder stops at once.
    let stolen = json!({"spec": {"holderIdentity": "other-manager"}});
    let leases = world.api::<Lease>();
    leases.patch("nats-manager", &PatchParams::default(), &Patch::Merge(stolen)).await.unwrap();
    eventually("the leader stops", Duration::from_secs(5), || async { !leads(&third).await }).await;
    assert!(third.log().contains("stopped leading: the lease has another holder"), "{}", third.log());
    assert_eq!(holder(&world).await.as_deref(), Some("other-manager"), "the lease belongs to the new holder");
    // It keeps running, and competes again: the other holder does not renew.
    leader_becomes(&world, "third", TIMEOUT).await;

    // A lease that is deleted is reported with the command that restores it.
    leases.delete("nats-manager", &DeleteParams::default()).await.unwrap();
    let missing = "nats_manager_lease_missing";
    eventually("the loss is reported", TIMEOUT, || async { third.metric(missing).await == Some(1.0) }).await;
    assert!(!leads(&third).await);
    let restore = "kubectl apply --server-side -f nats-manager.yaml";
    assert!(third.log().contains(restore), "{}", third.log());
    world.kubectl(&["apply", "--server-side", "-f", "config/manager/lease.yaml"]).await.unwrap();
    leader_becomes(&world, "third", TIMEOUT).await;
    assert_eq!(third.metric(missing).await, Some(0.0));
    assert_eq!(third.terminate().await.unwrap(), Some(0));
}

/// Returns whether a replica is the leader, by its metric.
async fn leads(manager: &ManagerProcess) -> bool {
    manager.metric("nats_manager_leader").await == Some(1.0)
}

/// Returns the holder of the lease.
async fn holder(world: &World) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), NAMESPACE);
    leases.get("nats-manager").await.ok()?.spec?.holder_identity
}

/// Waits until a replica is the holder of the lease.
async fn leader_becomes(world: &World, name: &str, within: Duration) {
    let prefix = format!("{name}_");
    eventually(&format!("{name} leads"), within, || async {
        match holder(world).await {
            Some(holder) if holder.starts_with(&prefix) => Seen::Done(()),
            other => Seen::NotYet(format!("{other:?}")),
        }
    })
    .await;
}
