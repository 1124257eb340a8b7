//! The CRD on a real apiserver: schema, CEL rules, defaults, printer columns.

use std::path::PathBuf;

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use nats_manager_api::{NamespacedName, policy};
use nats_manager_harness::{
    Seen, Shell,
    cases::{Case, Floor, Rejection, cases, unreported},
    eventually,
};
use serde_json::{Value, json};

use crate::{
    objects::nats,
    world::{NAME, NAMESPACE, TIMEOUT, World},
};

#[tokio::test]
async fn apiserver_agrees_with_rules() {
    let world = World::new().await;
    let api = nats(&world, "default");
    let cases = cases();
    let bypasses_floor = |case: &Case| case.stored.is_some();
    world.remove_crd_validation().await;
    let mut stored = Vec::new();
    for (index, case) in cases.iter().enumerate().filter(|(_, case)| bypasses_floor(case)) {
        stored.push((index, store(&api, index, case.old.as_ref().unwrap()).await.unwrap()));
    }
    world.restore_crd_validation().await;
    install_policy(&world).await;

    let mut disagreements = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let response = match (&case.old, stored.iter().find(|(stored, _)| *stored == index)) {
            (None, _) => store(&api, index, &case.new).await,
            (Some(_), Some((_, old))) => change(&api, old, &case.new).await,
            (Some(old), None) => {
                let mut old = store(&api, index, old).await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
                if let Some(members) = case.members {
                    old = record_members(&api, &old, members).await;
                }
                change(&api, &old, &case.new).await
            }
        };
        disagreements.extend(compare(case, response).into_iter().map(|what| format!("{}: {what}", case.name)));
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    assert!(cases.len() > 60, "only {} cases", cases.len());
    for nats in api.list(&ListParams::default()).await.unwrap() {
        api.delete(&nats.name_any(), &DeleteParams::default()).await.unwrap();
    }
}

/// Installs the ValidatingAdmissionPolicy without its rule on names, since the cases have names of their own. Waits until
/// the apiserver evaluates it.
async fn install_policy(world: &World) {
    let mut policy = policy::policy(&NamespacedName::new(NAMESPACE, NAME));
    policy.spec.as_mut().unwrap().validations.as_mut().unwrap().remove(0);
    let all: Api<ValidatingAdmissionPolicy> = Api::all(world.client.clone());
    all.create(&PostParams::default(), &policy).await.unwrap();
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.client.clone());
    bindings.create(&PostParams::default(), &policy::binding()).await.unwrap();
    let api = nats(world, "default");
    eventually("the policy is evaluated", TIMEOUT, || async {
        let object = json!({"apiVersion": "operator.kyma-project.io/v1alpha1", "kind": "NATS",
            "metadata": {"name": "probe"}, "spec": {"labels": {"nats_cluster": "mine"}}});
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        api.create(&dry_run, &serde_json::from_value(object).unwrap()).await.is_err()
    })
    .await;
    // The apiserver checks the types in the expressions, and reports mistakes in the status.
    let status = eventually("the policy is type-checked", TIMEOUT, || async {
        all.get(policy::NAME).await.ok().and_then(|policy| policy.status?.type_checking)
    })
    .await;
    assert_eq!(status.expression_warnings.unwrap_or_default(), []);
}

/// Returns the deviations of a response from the case.
fn compare(case: &Case, response: kube::Result<DynamicObject>) -> Vec<String> {
    let of = |is_policy: bool| -> Vec<&Rejection> {
        let floor = |rejection: &&Rejection| rejection.floor.is_some_and(|floor| (floor == Floor::Policy) == is_policy);
        case.rejected.iter().filter(floor).collect()
    };
    let (expected, by_policy) = (of(false), of(true));
    match response {
        Err(kube::Error::Api(status)) if status.code == 422 && expected.is_empty() && !by_policy.is_empty() => {
            let is_reported = |rejection: &&Rejection| {
                status.message.contains(&rejection.field) && status.message.contains(&rejection.message)
            };
            if by_policy.iter().any(is_reported) { Vec::new() } else { vec![format!("rejected: {}", status.message)] }
        }
        Ok(_) if !by_policy.is_empty() => vec!["accepted by the policy".to_owned()],
        Ok(_) if expected.is_empty() => Vec::new(),
        Ok(_) => vec!["accepted".to_owned()],
        Err(kube::Error::Api(status)) if status.code == 422 && !expected.is_empty() => {
            let causes = status.details.map(|details| details.causes).unwrap_or_default();
            unreported(&expected, &causes, Rejection::is_reported_by_floor)
        }
        Err(error) => vec![format!("rejected: {error}")],
    }
}

/// Creates the NATS resource `case-{index}`.
async fn store(api: &Api<DynamicObject>, index: usize, spec: &Value) -> kube::Result<DynamicObject> {
    let object = json!({
        "apiVersion": "operator.kyma-project.io/v1alpha1",
        "kind": "NATS",
        "metadata": {"name": format!("case-{index}")},
        "spec": spec,
    });
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await
}

/// Writes a status with the number of members.
async fn record_members(api: &Api<DynamicObject>, nats: &DynamicObject, members: u32) -> DynamicObject {
    let status = json!({"state": "Ready", "url": "", "availabilityZonesUsed": 0, "conditions": [], "members": members});
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(&nats.name_any(), &PatchParams::default(), &patch).await.unwrap()
}

/// Replaces the spec of a NATS resource.
async fn change(api: &Api<DynamicObject>, old: &DynamicObject, spec: &Value) -> kube::Result<DynamicObject> {
    let mut changed = old.clone();
    changed.data["spec"] = spec.clone();
    api.replace(&old.name_any(), &PostParams::default(), &changed).await
}

#[tokio::test]
async fn policy_allows_one_resource_and_tolerates_what_is_stored() {
    let world = World::new().await;
    let shell = Shell::new(&world.cluster);
    let patch =
        |spec: Value| format!("kubectl patch nats -n {NAMESPACE} {NAME} --type merge -p '{}'", json!({"spec": spec}));
    let before = json!({
        "labels": {"istio.io/rev": "canary"},
        "resources": {"limits": {"cpu": "20m"}, "requests": {"cpu": "40m"}},
    });
    world.create(before).await;
    world.create_as("default", "another", json!({})).await.unwrap();
    shell.done(&format!("kubectl apply -k {}/config/admission-policy", env!("CARGO_MANIFEST_DIR"))).await;
    eventually("the policy is evaluated", TIMEOUT, || async {
        let message = "Only a single NATS CR with name: eventing-nats and namespace: kyma-system is allowed";
        let sample = format!("{}/config/samples/minimal.yaml", env!("CARGO_MANIFEST_DIR"));
        let third = format!("sed s/eventing-nats/third/ {sample} | kubectl create --dry-run=server -f -");
        shell.run(&third).await.text.contains(message)
    })
    .await;
    shell.done("kubectl label nats -n default another a=b").await;
    for unaffected in [
        json!({"logging": {"debug": true}}),
        json!({"labels": {"mine": "1"}}),
        json!({"resources": {"limits": {"memory": "2Gi"}}}),
    ] {
        shell.done(&patch(unaffected)).await;
    }
    for (worse, expected) in [
        (json!({"labels": {"istio.io/rev": "other"}}), "spec.labels[istio.io/rev]: Forbidden: "),
        (
            json!({"annotations": {"Sidecar.istio.io/proxyImage": "x"}}),
            "spec.annotations[Sidecar.istio.io/proxyImage]: Forbidden: ",
        ),
        (
            json!({"resources": {"requests": {"cpu": "50m"}}}),
            "spec.resources.requests.cpu: must not be more than the limit 20m",
        ),
    ] {
        let output = shell.refused(&patch(worse)).await;
        assert!(output.contains(expected), "{output}");
    }
    shell.done(&patch(json!({"labels": {"istio.io/rev": null}, "resources": {"limits": {"cpu": "100m"}}}))).await;
    shell.done("kubectl delete nats -n default another").await;
}

#[tokio::test]
async fn omitted_fields_get_defaults() {
    let world = World::new().await;
    let api = nats(&world, "default");
    let defaults = json!({
        "cluster": {"size": 3},
        "jetStream": {
            "fileStorage": {"enabled": true, "storageClassName": "default"},
            "memStorage": {"enabled": true, "size": "1Gi"},
        },
        "logging": {"debug": false, "trace": false},
        "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "40m", "memory": "64Mi"}},
    });
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let none = json!({});
    for (spec, pointer, filled) in [
        (None, "", &defaults),
        (Some(json!({})), "", &defaults),
        (Some(json!({"cluster": {}, "logging": {}})), "", &defaults),
        (Some(json!({"jetStream": {"memStorage": {}, "fileStorage": {}}})), "", &defaults),
        (Some(json!({"jetStream": {"memStorage": {"enabled": false}}})), "/jetStream/memStorage/size", &json!("1Gi")),
        (Some(json!({"logging": {"debug": true}})), "/logging/trace", &json!(false)),
        // `resources` has a default only as a complete object.
        (Some(json!({"resources": {}})), "/resources", &none),
        // Quantities keep their spelling, as a number or a string.
        (
            Some(json!({"jetStream": {"fileStorage": {"size": 1_073_741_824}}})),
            "/jetStream/fileStorage/size",
            &json!(1_073_741_824),
        ),
        (Some(json!({"jetStream": {"memStorage": {"size": "500M"}}})), "/jetStream/memStorage/size", &json!("500M")),
    ] {
        let mut object = json!({
            "apiVersion": "operator.kyma-project.io/v1alpha1",
            "kind": "NATS",
            "metadata": {"name": "defaults"},
        });
        if let Some(spec) = &spec {
            object["spec"] = spec.clone();
        }
        let stored = api.create(&dry_run, &serde_json::from_value(object).unwrap()).await.unwrap();
        assert_eq!(stored.data["spec"].pointer(pointer), Some(filled), "{spec:?}");
    }
}

#[tokio::test]
async fn kubectl_explains_crd_and_accepts_samples() {
    let world = World::new().await;
    let explained = eventually("the schema is published", TIMEOUT, || async {
        match world.kubectl(&["explain", "nats.spec", "--recursive=false"]).await {
            Ok(text) if text.contains("jetStream") => Seen::Done(text),
            other => Seen::NotYet(format!("{other:?}")),
        }
    })
    .await;
    for field in ["annotations", "cluster", "jetStream", "labels", "logging", "resources", "scheduling"] {
        let (_, rest) =
            explained.split_once(&format!("\n  {field}\t")).unwrap_or_else(|| panic!("{field}: {explained}"));
        let description = rest.lines().nth(1).unwrap_or_default().trim();
        assert!(!description.is_empty() && description != "<no description>", "{field}: {explained}");
    }

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/samples");
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let samples = files.iter().filter(|path| !path.ends_with("kustomization.yaml"));
    for sample in samples.clone() {
        let path = sample.to_str().unwrap();
        let response = world.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", path]).await;
        response.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    assert!(samples.count() > 0, "no samples");

    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let columns = |table: String| {
        let rows: Vec<Vec<String>> =
            table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
        rows
    };
    let short = columns(world.kubectl(&["get", "nats", "-n", NAMESPACE]).await.unwrap());
    assert_eq!(short[0], ["NAME", "STATE", "READY", "STORAGE", "AGE"]);
    assert_eq!(short[1][..4], ["eventing-nats", "Ready", "3/3", "Unknown"]);
    let wide = columns(world.kubectl(&["get", "nats", "-n", NAMESPACE, "-o", "wide"]).await.unwrap());
    assert_eq!(wide[0], ["NAME", "STATE", "READY", "STORAGE", "AGE", "SIZE", "ZONES", "URL", "REASON"]);
    assert_eq!(wide[1][5..], ["3", "3", "nats://eventing-nats.kyma-system.svc.cluster.local:4222", "Ready"]);
    for category in ["kyma-modules", "kyma-nats"] {
        let found = world.kubectl(&["get", category, "-A", "-o", "name"]).await.unwrap();
        assert!(found.contains("nats.operator.kyma-project.io/eventing-nats"), "{category}: {found}");
    }
}
