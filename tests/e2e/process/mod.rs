//! The manager as a process among others.

mod metrics;

use std::{path::Path, process::Command, time::Duration};

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Pod, rbac::v1::Role},
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
    manager::{Manager, Options, get},
    world::{NAMESPACE, SERVICE_ACCOUNT, SOON, World, kubectl},
};

#[test]
fn a_mistake_in_flags_or_environment_is_one_line_and_code_2() {
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
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?} {env:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("nats-manager: ") && said.contains(expected), "{said}");
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn the_documented_commands_need_no_cluster() {
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
fn without_a_cluster_it_ends_with_a_reason() {
    let output = Command::new(env!("CARGO_BIN_EXE_nats-manager"))
        .args(["--metrics-bind-address=0", "--health-probe-bind-address=0"])
        .args(Options::default().args)
        .env_clear()
        .envs(Options::default().env)
        .env("KUBECONFIG", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no cluster to work on"), "{said}");
}

#[tokio::test]
async fn it_waits_for_its_definition_and_goes_on_when_it_comes() {
    let world = World::new().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    definitions.delete(crd::NAME, &DeleteParams::default()).await.unwrap();
    eventually("the definition is gone", SOON, || async {
        Ok::<_, kube::Error>(definitions.get_opt(crd::NAME).await?.is_none())
    })
    .await;
    let waiting = format!("waiting for the CustomResourceDefinition {}", crd::NAME);
    let says_so = |manager: &Manager| {
        let port = manager.probes_port;
        let waiting = waiting.clone();
        async move {
            match get(port, "/readyz").await {
                Some((503, text)) if text.contains(&waiting) => Seen::Done(()),
                other => Seen::NotYet(format!("{other:?}")),
            }
        }
    };
    let first = world.spawn(&Options::default());
    eventually("it says what it waits for", SOON, || says_so(&first)).await;
    assert_eq!(get(first.probes_port, "/healthz").await.unwrap().0, 200);
    assert_eq!(first.terminate().await, Some(0));

    let manager = world.spawn(&Options::default());
    eventually("it says what it waits for", SOON, || says_so(&manager)).await;
    let folder = format!("{}/config/crd", env!("CARGO_MANIFEST_DIR"));
    kubectl(&world.cluster, &["apply", "--server-side", "-k", &folder]).await.unwrap();
    let manager = manager.ready().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    assert_eq!(manager.terminate().await, Some(0));
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let world = World::new().await;
    let roles = world.api::<Role>();
    let whole = roles.get("nats-manager").await.unwrap();
    let mut less = whole.clone();
    let kept = less.rules.as_mut().unwrap();
    kept.retain(|rule| rule.resources.as_ref().is_none_or(|resources| *resources != ["services"]));
    assert_eq!(kept.len() + 1, whole.rules.as_ref().unwrap().len());
    roles.replace("nats-manager", &PostParams::default(), &less).await.unwrap();

    let manager = world.spawn(&Options::default());
    let missing = "missing permission to list and watch services";
    eventually("it names the permission", SOON, || async {
        match manager.readyz().await {
            Some((503, text)) if text.contains(missing) => Seen::Done(()),
            other => Seen::NotYet(format!("{other:?}")),
        }
    })
    .await;
    let log = manager.log();
    let said: Vec<_> = log.lines().filter(|line| line.contains("\"WARN\"") && line.contains(missing)).collect();
    assert_eq!(said.len(), 1, "{said:?}");

    let folder = format!("{}/config/rbac", env!("CARGO_MANIFEST_DIR"));
    kubectl(&world.cluster, &["apply", "--server-side", "--force-conflicts", "-k", &folder]).await.unwrap();
    manager.ready().await;
}

#[tokio::test]
async fn one_of_two_replicas_leads_and_the_other_takes_over() {
    let world = World::new().await;
    let replica = |name: &str| {
        let mut options = Options::default();
        options.args.push("--leader-elect".to_owned());
        options.env.insert("POD_NAME".to_owned(), name.to_owned());
        options
    };
    let first = world.manager_with(&replica("first")).await;
    leader_becomes(&world, "first", SOON).await;
    let second = world.manager_with(&replica("second")).await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    assert_eq!((leads(&first).await, leads(&second).await), (true, false));
    for verb in ["patch", "apply", "create", "delete", "update"] {
        let text = get(second.metrics_port, "/metrics").await.unwrap().1;
        let writes: Vec<_> = text
            .lines()
            .filter(|line| line.contains(&format!("verb=\"{verb}\"")) && !line.contains("resource=\"leases\""))
            .collect();
        assert!(writes.is_empty(), "a replica that waits writes nothing: {writes:?}");
    }

    // One that ends gives the lease up: the other need not wait for its end.
    assert_eq!(first.terminate().await, Some(0));
    leader_becomes(&world, "second", Duration::from_secs(10)).await;
    let third = world.manager_with(&replica("third")).await;
    // One that is killed cannot: the lease runs out.
    second.kill().await;
    leader_becomes(&world, "third", SOON).await;
    crate::objects::SERVICE.comes_back(&world).await;

    // One whose lease somebody else takes stops at once.
    let stolen = json!({"spec": {"holderIdentity": "somebody"}});
    let leases = world.api::<Lease>();
    leases.patch("nats-manager", &PatchParams::default(), &Patch::Merge(stolen)).await.unwrap();
    let (code, log) = third.ended().await;
    assert_eq!(code, Some(1));
    assert!(log.contains("stopped leading: the lease is not ours any more"), "{log}");
    assert_eq!(holder(&world).await.as_deref(), Some("somebody"), "it is left to the new holder");
}

#[tokio::test]
async fn while_the_manager_that_it_replaces_runs_it_writes_nothing() {
    let world = World::new().await;
    let audit = world.cluster.audit().unwrap();
    let rival = json!({
        "metadata": {"name": "nats-manager-old", "labels": {"control-plane": "manager"}},
        "spec": {"serviceAccountName": "nats-manager", "containers": [{"name": "manager", "image": "old"}]},
    });
    let pods = world.api::<Pod>();
    pods.create(&PostParams::default(), &serde_json::from_value(rival).unwrap()).await.unwrap();
    let mark = audit.mark().await.unwrap();
    let manager = world.manager().await;
    world.create(json!({})).await;
    let reconciles = "nats_manager_reconciles_total{outcome=\"held\"}";
    eventually("it has seen the resource", SOON, || async { manager.metric(reconciles).await > Some(0.0) }).await;
    assert!(manager.log().contains("another NATS manager still runs"));
    assert_eq!(audit.since(mark).await.unwrap().writes_of_user(SERVICE_ACCOUNT), 0);

    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    pods.delete("nats-manager-old", &now).await.unwrap();
    world.state_becomes("Ready").await;
    assert_eq!(manager.log().matches("another NATS manager still runs").count(), 1);
}

async fn leads(manager: &Manager) -> bool {
    manager.metric("nats_manager_leader").await == Some(1.0)
}

async fn holder(world: &World) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), NAMESPACE);
    leases.get("nats-manager").await.ok()?.spec?.holder_identity
}

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
