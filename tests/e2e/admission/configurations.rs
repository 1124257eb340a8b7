//! The two webhook configurations: creation and drift correction.

use k8s_openapi::{
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        rbac::v1::ClusterRole,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::ApiResource,
};
use nats_manager::admission::configuration::OWNER_ROLE;
use nats_manager_api::crd;
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use super::webhook_options;
use crate::world::{SERVICE_ACCOUNT, TIMEOUT, World};

/// Returns the APIs of both kinds, mutating first.
pub fn configurations(world: &World) -> [Api<DynamicObject>; 2] {
    let mutating = ApiResource::erase::<MutatingWebhookConfiguration>(&());
    let validating = ApiResource::erase::<ValidatingWebhookConfiguration>(&());
    [mutating, validating].map(|resource| Api::all_with(world.client.clone(), &resource))
}

/// Returns the fields of a configuration that the manager sets, without those that every write changes.
async fn content(api: &Api<DynamicObject>) -> kube::Result<Value> {
    let object = api.get("nats-manager").await?;
    let meta = &object.metadata;
    Ok(json!({
        "labels": meta.labels,
        "owners": meta.owner_references,
        "webhooks": object.data["webhooks"],
    }))
}

/// Path, failure policy, timeout in seconds, operations, and number of match conditions.
type Expected = (&'static str, &'static str, i32, &'static [&'static str], usize);

/// Waits until a configuration has the expected content.
async fn becomes(api: &Api<DynamicObject>, what: &str, expected: &Value) {
    eventually(what, TIMEOUT, || async {
        let now = content(api).await?;
        Ok::<_, kube::Error>(if now == *expected { Seen::Done(()) } else { Seen::NotYet(now.to_string()) })
    })
    .await;
}

#[tokio::test]
async fn configurations_are_complete_and_deleted_with_their_cluster_role() {
    let world = World::new().await;
    let _manager = world.manager_with_webhook().await;
    let roles: Api<ClusterRole> = Api::all(world.client.clone());
    let role = roles.get(OWNER_ROLE).await.unwrap();
    let expected: [&[Expected]; 2] = [
        &[("/mutate", "Ignore", 5, &["CREATE", "UPDATE"], 2)],
        &[("/validate", "Fail", 5, &["CREATE", "UPDATE"], 2), ("/delete", "Ignore", 2, &["DELETE"], 3)],
    ];
    for (api, expected) in configurations(&world).iter().zip(expected) {
        let now = content(api).await.unwrap();
        assert_eq!(
            now["owners"],
            json!([{
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "name": OWNER_ROLE,
                "uid": role.uid(),
            }])
        );
        let webhooks = now["webhooks"].as_array().unwrap();
        assert_eq!(webhooks.len(), expected.len());
        for (webhook, (path, policy, timeout, operations, conditions)) in webhooks.iter().zip(expected) {
            assert_eq!(webhook["failurePolicy"], *policy);
            assert_eq!(webhook["timeoutSeconds"], *timeout);
            assert_eq!(webhook["matchPolicy"], "Equivalent");
            assert_eq!(webhook["sideEffects"], "None");
            assert!(webhook["clientConfig"]["url"].as_str().unwrap().ends_with(path));
            assert!(webhook["clientConfig"]["caBundle"].as_str().is_some_and(|bundle| bundle.len() > 100));
            let expected_rule = |operations: &[&str], resource: &str| {
                json!({
                    "apiGroups": ["operator.kyma-project.io"],
                    "apiVersions": ["v1alpha1"],
                    "operations": operations,
                    "resources": [resource],
                    "scope": "Namespaced",
                })
            };
            let mut expected_rules = vec![expected_rule(operations, "nats")];
            // kubectl scale
            expected_rules.extend((*path == "/validate").then(|| expected_rule(&["UPDATE"], "nats/scale")));
            assert_eq!(webhook["rules"], json!(expected_rules));
            assert_eq!(webhook["matchConditions"].as_array().unwrap().len(), *conditions);
        }
    }

    roles.delete(OWNER_ROLE, &DeleteParams::default()).await.unwrap();
    for api in configurations(&world) {
        eventually("it is deleted with its owner", TIMEOUT, || async {
            Ok::<_, kube::Error>(api.get_opt("nats-manager").await?.is_none())
        })
        .await;
    }
}

#[tokio::test]
async fn drift_of_mutating_configuration_is_corrected() {
    drift_is_corrected(0, "Fail").await;
}

#[tokio::test]
async fn drift_of_validating_configuration_is_corrected() {
    drift_is_corrected(1, "Ignore").await;
}

/// Changes the configuration at `which` in many ways, and waits for each correction.
async fn drift_is_corrected(which: usize, other_policy: &str) {
    let world = World::new().await;
    let _manager = world.manager_with_webhook().await;
    let selector = json!({"matchLabels": {"a": "b"}});
    let api = &configurations(&world)[which];
    let complete = content(api).await.unwrap();
    let crds: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let crd_owns = json!([{
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "name": crd::NAME,
        "uid": crds.get(crd::NAME).await.unwrap().uid(),
    }]);
    let both_own = json!([complete["owners"][0], crd_owns[0]]);
    let merge = |patch: Value| async move {
        api.patch("nats-manager", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    };
    let webhooks = |change: &dyn Fn(&mut Value)| {
        let mut webhooks = complete["webhooks"].clone();
        change(&mut webhooks);
        json!({"webhooks": webhooks})
    };
    let changed_field = |field: &'static str, value: Value| webhooks(&move |all| all[0][field] = value.clone());
    for (what, patch) in [
        ("caBundle is stripped", webhooks(&|all| all[0]["clientConfig"]["caBundle"] = Value::Null)),
        ("caBundle is another", webhooks(&|all| all[0]["clientConfig"]["caBundle"] = json!(""))),
        ("the address is another", webhooks(&|all| all[0]["clientConfig"]["url"] = json!("https://127.0.0.1:1/x"))),
        ("failurePolicy", changed_field("failurePolicy", json!(other_policy))),
        ("namespaceSelector", changed_field("namespaceSelector", selector.clone())),
        ("objectSelector", changed_field("objectSelector", selector.clone())),
        ("timeoutSeconds", changed_field("timeoutSeconds", json!(30))),
        ("matchConditions are gone", changed_field("matchConditions", Value::Null)),
        (
            "another webhook",
            webhooks(&|all| {
                let mut another = all[0].clone();
                another["name"] = json!("another.example.com");
                all.as_array_mut().unwrap().push(another);
            }),
        ),
        ("the last one is gone", webhooks(&|all| drop(all.as_array_mut().unwrap().pop()))),
        ("no webhooks", json!({"webhooks": null})),
        ("a label is gone", json!({"metadata": {"labels": {"app.kubernetes.io/name": null}}})),
        ("the owner is gone", json!({"metadata": {"ownerReferences": null}})),
        ("the owner is the CRD", json!({"metadata": {"ownerReferences": crd_owns}})),
        ("the CRD is another owner", json!({"metadata": {"ownerReferences": both_own}})),
    ] {
        merge(patch).await;
        becomes(api, &format!("{what}: corrected"), &complete).await;
    }
    // Foreign annotations are kept.
    merge(json!({"metadata": {"annotations": {"example.com/a": "b"}}})).await;
    merge(json!({"webhooks": null})).await;
    becomes(api, "corrected", &complete).await;
    assert_eq!(
        api.get("nats-manager").await.unwrap().annotations().get("example.com/a").map(String::as_str),
        Some("b")
    );

    api.delete("nats-manager", &DeleteParams::default()).await.unwrap();
    becomes(api, "created again", &complete).await;
    world.webhook_is_active().await;
}

#[tokio::test]
async fn unmanaged_configurations_are_neither_created_nor_corrected() {
    let world = World::new().await;
    let mut options = webhook_options();
    options.args.push("--manage-webhook-configuration=false".to_owned());
    let audit = world.cluster.audit().unwrap();
    let mark = audit.mark().await.unwrap();
    // The manager is ready without configurations, since others will apply them.
    let manager = world.manager_with(&options).await;
    eventually("the CA is generated", TIMEOUT, || async {
        Ok::<_, kube::Error>(
            world.api::<k8s_openapi::api::core::v1::Secret>().get("nats-manager-webhook-ca").await?.data.is_some(),
        )
    })
    .await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let kinds = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];
    for (api, kind) in configurations(&world).iter().zip(kinds) {
        let theirs = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "nats-manager"},
        });
        let applied = api.patch("nats-manager", &PatchParams::apply("others"), &Patch::Apply(&theirs)).await.unwrap();
        // The manager reconciles meanwhile, so it would have corrected the configuration.
        world.reconcile_again().await;
        let now = api.get("nats-manager").await.unwrap();
        assert_eq!(now.resource_version(), applied.resource_version());
    }
    let requests = audit.since(mark).await.unwrap();
    let ours: Vec<_> = requests
        .iter()
        .filter(|event| event.user == SERVICE_ACCOUNT && event.group == "admissionregistration.k8s.io")
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
    assert_eq!(manager.terminate().await.unwrap(), Some(0));
}
