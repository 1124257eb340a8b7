//! Takeover of the predecessor's installation and the way back, by the commands of the documentation.

use std::collections::BTreeSet;

use nats_manager_harness::{Seen, Shell, documented, eventually};
use serde_json::{Value, json};

use super::{kustomize, read};
use crate::{
    admission::{go_types::written, webhook_options},
    world::{NAME, NAMESPACE, TIMEOUT, World},
};

const PAGE: &str = "docs/user/takeover.md";
const PREDECESSOR_RUNNING: &str = "nats_manager_predecessor_running";
/// Manifests of both managers, by the names that the page gives them.
const OURS: &str = "nats-manager.yaml";
const THEIRS: &str = "go-manager.yaml";
/// Part of our manifest.
const WITHOUT_DEPLOYMENT: &str = "without-deployment.yaml";
/// Objects of users, and those of the servers.
const KEPT: [&str; 5] =
    ["nats/eventing-nats", "statefulset/eventing-nats", "service/eventing-nats", "secret/eventing-nats-secret", "pvc"];
/// Flags of the predecessor that have no effect.
const OLD_FLAGS: [&str; 3] = ["--leaderElectionID=26479083.kyma-project.io", "-metricsPort=9443", "--zap-devel"];

/// The resource as the predecessor stores it: its Go types write all fields that they have.
fn stored_by_predecessor() -> Value {
    json!({"apiVersion": "operator.kyma-project.io/v1alpha1", "kind": "NATS",
        "metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": written("all defaults")})
}

/// Kind, namespace and name of an object, as arguments of kubectl.
fn argument(object: &Value) -> String {
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let namespace = text(&object["metadata"]["namespace"]);
    let namespace = if namespace.is_empty() { String::new() } else { format!(" -n {namespace}") };
    format!("{}/{}{namespace}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

fn arguments(objects: &[Value]) -> BTreeSet<String> {
    objects.iter().map(argument).collect()
}

/// A cluster in which one manager replaces the other.
struct Takeover {
    world: World,
    shell: Shell,
    ours: BTreeSet<String>,
    theirs: BTreeSet<String>,
}

impl Takeover {
    /// Installs the predecessor only.
    async fn new() -> Self {
        let world = World::new().await;
        let shell = Shell::new(&world.cluster);
        let objects = kustomize("default").await;
        let theirs = read("tests/e2e/packaging/predecessor.yaml");
        std::fs::write(shell.folder().join(THEIRS), &theirs).unwrap();
        let (deployments, others): (Vec<Value>, Vec<Value>) =
            objects.iter().cloned().partition(|object| object["kind"] == "Deployment");
        assert_eq!(deployments.len(), 1);
        for (file, items) in [(OURS, &objects), (WITHOUT_DEPLOYMENT, &others)] {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            std::fs::write(shell.folder().join(file), list.to_string()).unwrap();
        }
        let theirs: Value = serde_saphyr::from_str(&theirs).unwrap();
        let (ours, theirs) = (arguments(&objects), arguments(theirs["items"].as_array().unwrap()));
        let takeover = Self { world, shell, ours, theirs };
        for object in takeover.ours.difference(&takeover.theirs) {
            takeover.shell.done(&format!("kubectl delete --ignore-not-found {object}")).await;
        }
        takeover.shell.done(&format!("kubectl apply -f {THEIRS}")).await;
        takeover.shell.done("kubectl rollout status deployment -n kyma-system nats-manager").await;
        takeover
    }

    async fn follow(&self, mark: &str) {
        for block in documented::blocks(PAGE, mark) {
            self.shell.done(&format!("set -e\n{}", block.text)).await;
        }
    }

    /// Returns the objects that exist.
    async fn existing<'a>(&self, objects: impl Iterator<Item = &'a String>) -> Vec<String> {
        let mut existing = Vec::new();
        for object in objects {
            let found = self.shell.done(&format!("kubectl get --ignore-not-found -o name {object}")).await;
            existing.extend(found.lines().map(str::to_owned));
        }
        existing
    }

    async fn field(&self, object: &str, path: &str) -> String {
        self.shell.done(&format!("kubectl get {object} -n kyma-system -o jsonpath='{path}'")).await
    }

    /// Returns the spec of the manager's Deployment. The order of environment variables depends on the fields' owners.
    async fn deployment(&self) -> Value {
        let mut spec: Value = serde_json::from_str(&self.field("deployment/nats-manager", "{.spec}").await).unwrap();
        let variables = spec["template"]["spec"]["containers"][0]["env"].as_array_mut().unwrap();
        variables.sort_by_key(|variable| variable["name"].to_string());
        spec
    }

    /// Returns the UIDs of the objects that no takeover may replace.
    async fn kept(&self) -> Vec<String> {
        let mut uids = Vec::new();
        for object in KEPT {
            uids.push(self.field(object, "{.metadata.uid}{.items[*].metadata.uid}").await);
        }
        assert!(uids.iter().all(|uid| !uid.is_empty()), "{uids:?}");
        uids
    }

    /// Checks that the schema of the predecessor hides the fields that only this manager has, and accepts changes.
    async fn resource_is_editable_without_our_fields(&self) {
        let nats = format!("nats/{NAME}");
        for field in ["{.spec.scheduling}", "{.spec.jetStream.fileStorage.enabled}", "{.status.members}"] {
            assert_eq!(self.field(&nats, field).await, "", "{field}");
        }
        for (subresource, patch) in [
            ("", json!({"spec": {"logging": {"debug": true}}})),
            ("--subresource=status", json!({"status": {"state": "Processing"}})),
        ] {
            let patch = format!("kubectl patch {nats} -n {NAMESPACE} {subresource} --type=merge -p '{patch}'");
            self.shell.done(&patch).await;
        }
        assert_eq!(self.field(&nats, "{.spec.logging.debug} {.status.state}").await, "true Processing");
    }

    async fn gone<'a>(&self, objects: impl Iterator<Item = &'a String> + Clone) {
        eventually("the objects are gone", TIMEOUT, || async {
            let existing = self.existing(objects.clone()).await;
            Ok::<_, kube::Error>(if existing.is_empty() { Seen::Done(()) } else { Seen::NotYet(existing.join(", ")) })
        })
        .await;
    }
}

#[tokio::test]
async fn documented_takeover_and_way_back_leave_nothing_of_the_other_manager() {
    let takeover = Takeover::new().await;
    let (world, shell) = (&takeover.world, &takeover.shell);
    let their_deployment = takeover.deployment().await;
    let created = shell.done(&format!("kubectl create -f - <<'EOF'\n{}\nEOF", stored_by_predecessor())).await;
    assert!(created.contains("created"), "{created}");

    // The lifecycle manager applies objects in no order. This replica starts before the Pod of the predecessor ends.
    shell.done(&format!("kubectl apply --server-side --force-conflicts -f {WITHOUT_DEPLOYMENT}")).await;
    let mut options = webhook_options();
    options.args.extend(OLD_FLAGS.map(str::to_owned));
    let manager = world.manager_with(&options).await;
    for flag in ["--leaderElectionID", "--metricsPort", "--zap-devel"] {
        let warning = format!("\"message\":\"ignored flag of the Go manager\",\"flag\":\"{flag}\"");
        assert!(manager.log().contains(&warning), "{}", manager.log());
    }
    eventually("the predecessor is seen", TIMEOUT, || async { manager.metric(PREDECESSOR_RUNNING).await == Some(1.0) })
        .await;
    takeover.follow("run: take over").await;
    shell.done("kubectl rollout status deployment -n kyma-system nats-manager").await;
    world.state_becomes("Ready").await;
    assert_eq!(manager.metric(PREDECESSOR_RUNNING).await, Some(0.0));

    takeover.follow("run: remove the predecessor").await;
    assert_eq!(takeover.existing(takeover.theirs.difference(&takeover.ours)).await, [""; 0]);
    let labels = takeover.field("deployment/nats-manager", "{.metadata.labels}").await;
    assert!(!labels.contains("app.kubernetes.io/created-by"), "{labels}");
    let ours: Vec<String> = takeover.ours.iter().cloned().collect();
    assert_eq!(takeover.existing(ours.iter()).await.len(), ours.len());
    let deployment = takeover.deployment().await;
    let container = &deployment["template"]["spec"]["containers"][0];
    assert!(!container["env"].to_string().contains("NATS_CHART_DIR"), "{container}");
    // Fields that only the predecessor sets.
    for probe in ["livenessProbe", "readinessProbe"] {
        assert!(their_deployment["template"]["spec"]["containers"][0][probe]["initialDelaySeconds"].is_u64());
        assert_eq!(container[probe]["initialDelaySeconds"], Value::Null, "{container}");
    }
    world
        .patch(json!({"spec": {"scheduling": {"tolerations": [{"key": "events", "operator": "Exists"}]}}}))
        .await
        .unwrap();
    world.is_ready_for_the_newest_spec().await;
    let kept = takeover.kept().await;

    // The way back. The Pods of this manager end with the rollout.
    manager.kill().await.unwrap();
    for mark in ["run: apply the predecessor", "run: way back", "run: remove what is left"] {
        takeover.follow(mark).await;
    }
    shell.done("kubectl rollout status deployment -n kyma-system nats-manager").await;
    takeover.gone(takeover.ours.difference(&takeover.theirs)).await;
    let runtime = ["mutatingwebhookconfiguration/nats-manager", "validatingwebhookconfiguration/nats-manager"];
    takeover.gone(runtime.map(str::to_owned).iter()).await;
    assert_eq!(takeover.deployment().await, their_deployment);
    takeover.resource_is_editable_without_our_fields().await;
    assert_eq!(takeover.kept().await, kept);
    let policies = shell.done("kubectl get networkpolicies -n kyma-system -o name").await;
    assert!(!policies.contains("kyma-project.io--nats"), "{policies}");

    for object in &takeover.theirs {
        if !object.starts_with("CustomResourceDefinition") {
            shell.done(&format!("kubectl delete --wait=false {object}")).await;
        }
    }
}
