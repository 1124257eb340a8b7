//! Overlays: kustomize builds them, and an apiserver accepts the objects.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{Namespace, Node, Pod},
    rbac::v1::PolicyRule,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use nats_manager::admission::configuration::OWNER_ROLE;
use nats_manager_api::{
    NamespacedName, NatsSpec,
    network_policy::{ALLOWED, CLIENT_LABEL},
    rules::{self, ClusterFacts},
};
use nats_manager_harness::{Seen, Shell, documented, eventually};
use serde_json::{Value, json};

use super::{go_module, kustomize, of_kind, path};
use crate::world::{NAMESPACE, TIMEOUT, World};

const CERT_MANAGER: &str = "github.com/cert-manager/cert-manager@v1.21.2";
const PROMETHEUS_OPERATOR: &str = "github.com/prometheus-operator/prometheus-operator@v0.92.0";

/// API groups whose CRDs come from other projects.
const FOREIGN: [&str; 2] = ["cert-manager.io/", "monitoring.coreos.com/"];

/// Installs CRDs of another project, and waits until they are established.
async fn install_crds(shell: &Shell, crds: &str) {
    shell.done(&format!("kubectl apply --server-side -f {crds}")).await;
    eventually("the definitions are established", TIMEOUT, || async {
        // `kubectl wait` fails at once on a CRD that has no status yet.
        let output = shell.run(&format!("kubectl wait --for=condition=Established --timeout=5s -f {crds}")).await;
        if output.code == Some(0) { Seen::Done(()) } else { Seen::NotYet(output.text) }
    })
    .await;
}

#[tokio::test]
async fn apiserver_accepts_every_overlay() {
    let world = World::new().await;
    for (folder, at_least) in [
        ("default", 20),
        ("namespace", 21),
        ("certmanager", 21),
        ("webhook", 2),
        ("webhook-policy", 2),
        ("samples", 1),
        ("ui-extensions", 1),
        ("network-policy", 5),
        ("monitoring", 1),
        ("kube-prometheus-stack", 1),
    ] {
        let objects = kustomize(folder).await;
        let known: Vec<&Value> = objects
            .iter()
            .filter(|object| !FOREIGN.iter().any(|group| object["apiVersion"].as_str().unwrap().starts_with(group)))
            .collect();
        assert!(known.len() >= at_least, "{folder}: {}", known.len());
        let documents: Vec<String> = known.iter().map(ToString::to_string).collect();
        let file = world.cluster.folder().join(format!("{folder}.yaml"));
        std::fs::write(&file, documents.join("\n---\n")).unwrap();
        let file = file.to_str().unwrap();
        let apply =
            ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", file];
        world.kubectl(&apply).await.unwrap_or_else(|error| panic!("{folder}: {error}"));
    }
}

#[tokio::test]
async fn cert_manager_crds_accept_the_overlay() {
    let world = World::new().await;
    let shell = Shell::new(&world.cluster);
    let crds = format!("{}/deploy/crds", go_module(CERT_MANAGER).display());
    install_crds(&shell, &crds).await;
    let overlay = path("config/certmanager");
    let objects = format!(
        "kubectl kustomize {overlay} > all.yaml && kubectl apply --server-side --force-conflicts --dry-run=server --validate=strict -f all.yaml"
    );
    let output = shell.done(&objects).await;
    for object in ["issuer.cert-manager.io/", "certificate.cert-manager.io/nats-manager-webhook "] {
        assert!(output.contains(object), "{output}");
    }
    shell.done(&format!("kubectl delete --wait=false -f {crds}")).await;
}

#[tokio::test]
async fn documented_overlays_can_be_applied() {
    let world = World::new().await;
    let shell = Shell::new(&world.cluster);
    std::os::unix::fs::symlink(path("config"), shell.folder().join("config")).unwrap();
    let folder = go_module(PROMETHEUS_OPERATOR).join("example/prometheus-operator-crd");
    let crds = ["servicemonitors", "prometheusrules"]
        .map(|plural| format!("{}/monitoring.coreos.com_{plural}.yaml", folder.display()));
    for crd in &crds {
        install_crds(&shell, crd).await;
    }
    for page in ["docs/user/monitoring.md", "docs/user/webhook.md"] {
        for block in documented::blocks(page, "run: overlays") {
            shell.done(&block.text).await;
            shell.done(&block.text.replace("kubectl apply", "kubectl delete")).await;
        }
    }
    for crd in &crds {
        shell.done(&format!("kubectl delete -f {crd}")).await;
    }
}

#[tokio::test]
async fn all_pods_meet_restricted_pod_security() {
    let world = World::new().await;
    let name = "restricted";
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
    }});
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.patch(name, &PatchParams::apply("user").force(), &Patch::Apply(&namespace)).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), name);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    for folder in ["default", "certmanager"] {
        let objects = kustomize(folder).await;
        let mut pod = of_kind(&objects, "Deployment")[0]["spec"]["template"].clone();
        pod["metadata"]["name"] = json!("manager");
        pod["spec"]["serviceAccountName"] = json!("default");
        // The ServiceAccount of a new namespace is created with a delay.
        eventually("the pod is admitted", TIMEOUT, || async {
            pods.create(&dry_run, &serde_json::from_value(pod.clone()).unwrap()).await.map(|_| true)
        })
        .await;
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        let rejection = pods.create(&dry_run, &serde_json::from_value(pod).unwrap()).await.unwrap_err().to_string();
        assert!(rejection.contains("violates PodSecurity \"restricted"), "{folder}: {rejection}");
    }
    // Pods of servers, as `render` prints them, are admitted too.
    let shell = Shell::new(&world.cluster);
    let binary = env!("CARGO_BIN_EXE_nats-manager");
    let rendered = shell.done(&format!("{binary} render -f {}", path("config/samples/full-spec.yaml"))).await;
    let mut documents = rendered.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    let stateful_set = documents.find(|object| object["kind"] == "StatefulSet").unwrap();
    let mut pod = stateful_set["spec"]["template"].clone();
    pod["metadata"]["name"] = json!("server");
    pod["spec"]["volumes"].as_array_mut().unwrap().push(json!({"name": "eventing-nats-js-pvc", "emptyDir": {}}));
    pods.create(&dry_run, &serde_json::from_value(pod).unwrap()).await.unwrap();
    // Pods of the documented Jobs, which also reach a restricted client port.
    for mark in ["run: back up", "run: restore"] {
        let mut pod = documented_job(mark)["spec"]["template"].clone();
        assert_eq!(pod["metadata"]["labels"][CLIENT_LABEL], ALLOWED, "{mark}");
        pod["metadata"]["name"] = json!("job");
        pods.create(&dry_run, &serde_json::from_value(pod).unwrap()).await.unwrap();
    }
    let _ = namespaces.delete(name, &DeleteParams::default()).await;
}

/// Returns the Job that a block of the page on backups applies.
fn documented_job(mark: &str) -> Value {
    let block = documented::blocks("docs/user/backup.md", mark).remove(0).text;
    let (_, applied) = block.split_once("<<EOF\n").unwrap();
    let (applied, _) = applied.split_once("\nEOF").unwrap();
    let mut documents = applied.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    documents.find(|object| object["kind"] == "Job").unwrap()
}

#[tokio::test]
async fn certmanager_overlay_needs_no_own_ca() {
    let objects = kustomize("certmanager").await;
    assert!(of_kind(&objects, "Secret").is_empty());
    // The owner of configurations that a manager has created before.
    let mut cluster_roles = of_kind(&objects, "ClusterRole").into_iter();
    assert_eq!(cluster_roles.find(|role| role["metadata"]["name"] == OWNER_ROLE).unwrap()["rules"], json!([]));
    for kind in ["Role", "ClusterRole"] {
        let rules = of_kind(&objects, kind).into_iter().flat_map(|role| role["rules"].as_array().unwrap());
        for rule in rules.map(Value::to_string) {
            assert!(!rule.contains("webhook"), "{kind}: {rule}");
        }
    }
    let container = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap();
    for argument in ["--leader-elect", "--webhook-cert-dir=/certificates", "--manage-webhook-configuration=false"] {
        assert!(arguments.contains(&json!(argument)), "{arguments:?}");
    }
    let certificates = of_kind(&objects, "Certificate");
    let served = certificates.iter().find(|object| object["metadata"]["name"] == "nats-manager-webhook").unwrap();
    let volume = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["volumes"][0];
    assert_eq!(volume["secret"]["secretName"], served["spec"]["secretName"]);
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let configuration = of_kind(&objects, kind)[0];
        let injected = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
        assert_eq!(injected, &json!(format!("{NAMESPACE}/nats-manager-webhook")));
        let service = &configuration["webhooks"][0]["clientConfig"]["service"];
        let host = format!("{}.{NAMESPACE}.svc", service["name"].as_str().unwrap());
        assert!(served["spec"]["dnsNames"].as_array().unwrap().contains(&json!(host)));
    }
}

#[tokio::test]
async fn two_replicas_start_on_a_single_node() {
    let world = World::new().await;
    let nodes: Api<Node> = Api::all(world.client.clone());
    let all = nodes.list(&ListParams::default()).await.unwrap().items;
    let cordon = async |unschedulable: bool| {
        for node in &all[1..] {
            let patch = Patch::Merge(json!({"spec": {"unschedulable": unschedulable}}));
            nodes.patch(&node.name_any(), &PatchParams::default(), &patch).await.unwrap();
        }
    };
    cordon(true).await;
    let shell = Shell::new(&world.cluster);
    let deployment = path("config/manager/deployment.yaml");
    shell.done(&format!("kubectl apply -f {deployment}")).await;
    let output = shell.run("kubectl rollout status -n kyma-system deployment/nats-manager --timeout=60s").await;
    let pods = world.api::<Pod>().list(&ListParams::default().labels("nats.operator.kyma-project.io/manager")).await;
    cordon(false).await;
    shell.done(&format!("kubectl delete -f {deployment}")).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    let on: Vec<_> = pods.unwrap().items.into_iter().filter_map(|pod| pod.spec?.node_name).collect();
    assert_eq!(on, vec![all[0].name_any(); 2]);
}

#[tokio::test]
async fn roles_allow_deletion_of_server_pods_and_pvcs_only() {
    let objects = kustomize("rbac").await;
    let granted_by = ["Role", "ClusterRole"].iter().flat_map(|kind| of_kind(&objects, kind));
    let rules: Vec<PolicyRule> =
        granted_by.flat_map(|role| serde_json::from_value::<Vec<PolicyRule>>(role["rules"].clone()).unwrap()).collect();
    for (resource, prefix) in
        [("pods", "eventing-nats-"), ("persistentvolumeclaims", "eventing-nats-js-pvc-eventing-nats-")]
    {
        let may_delete = rules.iter().filter(|rule| {
            rule.resources.iter().flatten().any(|known| known == resource)
                && rule.verbs.iter().any(|verb| verb == "delete")
        });
        let names: Vec<&String> = may_delete.flat_map(|rule| rule.resource_names.iter().flatten()).collect();
        // 99 is the maximum of the schema.
        let all: Vec<String> = (0..99).map(|ordinal| format!("{prefix}{ordinal}")).collect();
        assert_eq!(names, all.iter().collect::<Vec<_>>(), "{resource}");
    }
}

/// Returns the labels of every selector in an object, with its path.
fn selectors(value: &Value, path: &str, found: &mut Vec<(String, BTreeMap<String, String>)>) {
    let Value::Object(fields) = value else {
        return value.as_array().into_iter().flatten().for_each(|item| selectors(item, path, found));
    };
    for (name, field) in fields {
        let path = format!("{path}.{name}");
        // A Service has the labels directly in its selector.
        let labels = if name == "matchLabels" || path == ".spec.selector" { field.as_object() } else { None };
        let labels = labels.filter(|labels| labels.values().all(Value::is_string) && !labels.is_empty());
        if let Some(labels) = labels {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            found.push((path, labels.iter().map(|(key, value)| (key.clone(), text(value))).collect()));
        } else {
            selectors(field, &path, found);
        }
    }
}

#[tokio::test]
async fn no_accepted_label_makes_a_server_match_a_selector_of_the_manager() {
    let servers = NamespacedName::new("kyma-system", "eventing-nats");
    let mut checked = 0;
    for folder in ["default", "network-policy", "certmanager", "monitoring"] {
        for object in kustomize(folder).await {
            let mut found = Vec::new();
            selectors(&object, "", &mut found);
            for (path, selector) in found {
                let subject = format!("{folder}: {} {}{path}", object["kind"], object["metadata"]["name"]);
                let own = [servers.labels(), servers.pod_labels()];
                let are_servers = own.iter().any(|own| selector.iter().all(|(key, value)| own.get(key) == Some(value)));
                // Nodes, namespaces, DNS servers and scrapers.
                let of_others = ["kubernetes.io/", "gardener.cloud/", "k8s-app", "networking.kyma-project.io/"];
                let are_others = selector.keys().any(|key| of_others.iter().any(|prefix| key.starts_with(prefix)));
                if are_servers || are_others {
                    continue;
                }
                checked += 1;
                let is_excluded = |(key, value): (&String, &String)| {
                    let spec = NatsSpec { labels: [(key.clone(), value.clone())].into(), ..NatsSpec::default() };
                    let is_rejected = !rules::check(&spec, &ClusterFacts::default()).violations.is_empty();
                    is_rejected && own.iter().any(|own| own.get(key).is_some_and(|own| own != value))
                };
                assert!(selector.iter().any(is_excluded), "{subject}: {selector:?}");
            }
        }
    }
    assert!(checked > 8, "{checked}");
}

#[test]
fn default_resource_is_the_default_sample() {
    let samples = std::fs::read_to_string(path("config/samples/kustomization.yaml")).unwrap();
    assert!(samples.ends_with("- default.yaml\n"), "{samples}");
}
