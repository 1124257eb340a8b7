//! The two webhook configurations: made whole, and kept.

use k8s_openapi::{
    api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::ApiResource,
};
use nats_manager_api::crd;
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use super::with_webhook;
use crate::world::{SERVICE_ACCOUNT, SOON, World};

/// Of both kinds, alike.
pub fn configurations(world: &World) -> [Api<DynamicObject>; 2] {
    let mutating = ApiResource::erase::<MutatingWebhookConfiguration>(&());
    let validating = ApiResource::erase::<ValidatingWebhookConfiguration>(&());
    [mutating, validating].map(|resource| Api::all_with(world.client.clone(), &resource))
}

/// What matters of a configuration: everything but what each write changes.
async fn content(api: &Api<DynamicObject>) -> kube::Result<Value> {
    let object = api.get("nats-manager").await?;
    let meta = &object.metadata;
    Ok(json!({
        "labels": meta.labels,
        "owners": meta.owner_references,
        "webhooks": object.data["webhooks"],
    }))
}

/// Path, failure policy, timeout in seconds, operations, and how many conditions.
type Expected = (&'static str, &'static str, i32, &'static [&'static str], usize);

async fn becomes(api: &Api<DynamicObject>, what: &str, expected: &Value) {
    eventually(what, SOON, || async {
        let now = content(api).await?;
        Ok::<_, kube::Error>(if now == *expected { Seen::Done(()) } else { Seen::NotYet(now.to_string()) })
    })
    .await;
}

#[tokio::test]
async fn both_are_whole_and_go_with_the_definition() {
    let world = World::new().await;
    let _manager = world.guarded().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let definition = definitions.get(crd::NAME).await.unwrap();
    let expected: [&[Expected]; 2] = [
        &[("/mutate", "Ignore", 5, &["CREATE", "UPDATE"], 2)],
        &[("/validate", "Fail", 5, &["CREATE", "UPDATE"], 2), ("/delete", "Ignore", 2, &["DELETE"], 3)],
    ];
    for (api, expected) in configurations(&world).iter().zip(expected) {
        let now = content(api).await.unwrap();
        assert_eq!(
            now["owners"],
            json!([{
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "name": crd::NAME,
                "uid": definition.uid(),
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
            assert_eq!(
                webhook["rules"],
                json!([{
                    "apiGroups": ["operator.kyma-project.io"],
                    "apiVersions": ["v1alpha1"],
                    "operations": operations,
                    "resources": ["nats"],
                    "scope": "Namespaced",
                }])
            );
            assert_eq!(webhook["matchConditions"].as_array().unwrap().len(), *conditions);
        }
    }

    definitions.delete(crd::NAME, &DeleteParams::default()).await.unwrap();
    for api in configurations(&world) {
        eventually("it went with its owner", SOON, || async {
            Ok::<_, kube::Error>(api.get_opt("nats-manager").await?.is_none())
        })
        .await;
    }
}

#[tokio::test]
async fn whatever_somebody_changes_in_the_mutating_one_is_mended() {
    changes_are_mended(0, "Fail").await;
}

#[tokio::test]
async fn whatever_somebody_changes_in_the_validating_one_is_mended() {
    changes_are_mended(1, "Ignore").await;
}

async fn changes_are_mended(which: usize, other_policy: &str) {
    let world = World::new().await;
    let _manager = world.guarded().await;
    let selector = json!({"matchLabels": {"a": "b"}});
    let api = &configurations(&world)[which];
    let whole = content(api).await.unwrap();
    let merge = |patch: Value| async move {
        api.patch("nats-manager", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    };
    let webhooks = |change: &dyn Fn(&mut Value)| {
        let mut webhooks = whole["webhooks"].clone();
        change(&mut webhooks);
        json!({"webhooks": webhooks})
    };
    let changed_whole = |field: &'static str, value: Value| webhooks(&move |all| all[0][field] = value.clone());
    for (what, patch) in [
        ("caBundle is stripped", webhooks(&|all| all[0]["clientConfig"]["caBundle"] = Value::Null)),
        ("caBundle is another", webhooks(&|all| all[0]["clientConfig"]["caBundle"] = json!(""))),
        ("the address is another", webhooks(&|all| all[0]["clientConfig"]["url"] = json!("https://127.0.0.1:1/x"))),
        ("failurePolicy", changed_whole("failurePolicy", json!(other_policy))),
        ("namespaceSelector", changed_whole("namespaceSelector", selector.clone())),
        ("objectSelector", changed_whole("objectSelector", selector.clone())),
        ("timeoutSeconds", changed_whole("timeoutSeconds", json!(30))),
        ("matchConditions are gone", changed_whole("matchConditions", Value::Null)),
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
    ] {
        merge(patch).await;
        becomes(api, &format!("{what}: mended"), &whole).await;
    }
    // What others put beside it is theirs.
    merge(json!({"metadata": {"annotations": {"example.com/a": "b"}}})).await;
    merge(json!({"webhooks": null})).await;
    becomes(api, "mended", &whole).await;
    assert_eq!(
        api.get("nats-manager").await.unwrap().annotations().get("example.com/a").map(String::as_str),
        Some("b")
    );

    api.delete("nats-manager", &DeleteParams::default()).await.unwrap();
    becomes(api, "made again", &whole).await;
    world.is_guarded().await;
}

#[tokio::test]
async fn left_to_others_nothing_is_made_or_mended() {
    let world = World::new().await;
    let mut options = with_webhook();
    options.args.push("--manage-webhook-configuration=false".to_owned());
    let audit = world.cluster.audit().unwrap();
    let mark = audit.mark().await.unwrap();
    // It is ready without configurations, which somebody else will bring.
    let manager = world.manager_with(&options).await;
    eventually("the CA is made", SOON, || async {
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
        // The manager writes its own objects meanwhile: it was there to see.
        world.looked_again().await;
        let now = api.get("nats-manager").await.unwrap();
        assert_eq!(now.resource_version(), applied.resource_version());
    }
    let requests = audit.since(mark).await.unwrap();
    let ours: Vec<_> = requests
        .iter()
        .filter(|event| event.user == SERVICE_ACCOUNT && event.group == "admissionregistration.k8s.io")
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
    assert_eq!(manager.terminate().await, Some(0));
}
