//! Invalid specs, policy violations and unreadable resources, stored before the validation existed.

use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
};
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use crate::{
    objects::{BUDGET, CHILDREN, CONFIG_MAP, SERVICE, STATEFUL_SET, essence, nats},
    world::{NAME, NAMESPACE, TIMEOUT, World, condition},
};

#[tokio::test]
async fn invalid_spec_keeps_last_valid_objects() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let kept = [CONFIG_MAP, SERVICE, BUDGET, STATEFUL_SET];
    let mut valid = Vec::new();
    for child in kept {
        valid.push(essence(&child.get(&world).await));
    }

    for (what, invalid, field, cause, corrected) in [
        (
            "no servers",
            json!({"cluster": {"size": 0}, "logging": {"debug": true}}),
            "spec.cluster.size",
            "should be greater than or equal to 1",
            json!({"cluster": {"size": 3}, "logging": {"debug": false}}),
        ),
        (
            "a limit that is no quantity",
            json!({"resources": {"limits": {"memory": "2GB"}}}),
            "spec.resources.limits.memory",
            "must be a quantity",
            json!({"resources": {"limits": {"memory": "1Gi"}}}),
        ),
        (
            "both stores off",
            json!({"jetStream": {"memStorage": {"enabled": false}, "fileStorage": {"enabled": false}}}),
            "spec.jetStream",
            "at least one of fileStorage and memStorage must be enabled",
            // The existing volumes stay, independent of the spec.
            json!({"jetStream": {"memStorage": {"enabled": true}}}),
        ),
    ] {
        world.remove_crd_validation().await;
        let stored = world.patch(json!({"spec": invalid})).await.unwrap();
        world.restore_crd_validation().await;

        let status = world.state_becomes("Error").await;
        assert_eq!(status.observed_generation, stored.metadata.generation, "{what}");
        let (holds, reason, message) = condition(&status, "Available").unwrap();
        assert_eq!((holds.as_str(), reason.as_str()), ("False", "FailedProcessing"), "{what}");
        assert!(message.starts_with(&format!("{field}: ")) && message.contains(cause), "{what}: {message}");
        world.event_becomes("Warning", "FailedProcessing", &message).await;
        for (child, valid) in kept.iter().zip(&valid) {
            assert_eq!(&essence(&child.get(&world).await), valid, "{what}");
        }

        world.patch(json!({"spec": corrected})).await.unwrap();
        world.is_ready_for_the_newest_spec().await;
    }
    assert_eq!(essence(&STATEFUL_SET.get(&world).await), valid[3]);
}

#[tokio::test]
async fn policy_violation_is_deployed_with_one_warning() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({"jetStream": {"memStorage": {"size": "2Gi"}}})).await;
    world.state_becomes("Ready").await;
    let warning = "spec.jetStream.memStorage.size: Invalid value: \"2Gi\": must not be more than the memory limit 1Gi in spec.resources.limits.memory";
    world.event_becomes("Warning", "PolicyViolated", warning).await;

    manager.terminate().await.unwrap();
    let _manager = world.manager().await;
    world.reconcile_again().await;
    world.patch(json!({"spec": {"jetStream": {"memStorage": {"size": "1Gi"}}}})).await.unwrap();
    world.is_ready_for_the_newest_spec().await;
    let warnings = world.events().await.into_iter().filter(|(kind, _, _)| kind == "Warning").count();
    assert_eq!(warnings, 1);
}

#[tokio::test]
async fn unreadable_resource_is_reported_and_hides_no_other() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let (own, elsewhere) = (nats(&world, NAMESPACE), nats(&world, "default"));
    let debug = |debug: Value| Patch::Merge(json!({"spec": {"logging": {"debug": debug}, "labels": {"a": "1"}}}));
    world.remove_crd_validation().await;
    for (name, spec) in [
        ("unreadable", json!({"logging": {"debug": "please"}})),
        // The apiserver cannot evaluate its CEL rules on this spec, so it rejects every status of the resource.
        ("hopeless", json!({"cluster": {"size": "three"}})),
    ] {
        let nats = json!({
            "apiVersion": "operator.kyma-project.io/v1alpha1",
            "kind": "NATS",
            "metadata": {"name": name},
            "spec": spec,
        });
        elsewhere.patch(name, &PatchParams::apply("user"), &Patch::Apply(&nats)).await.unwrap();
    }
    own.patch(NAME, &PatchParams::default(), &debug(json!("please"))).await.unwrap();
    world.restore_crd_validation().await;

    for (api, name) in [(&elsewhere, "unreadable"), (&own, NAME)] {
        let message = error_message(api, name).await;
        assert!(message.contains("cannot be read") && message.contains("please"), "{name}: {message}");
    }
    // The objects of an unreadable resource stay, and a corrected spec is deployed.
    let set = STATEFUL_SET.get(&world).await;
    assert_eq!(set["metadata"]["labels"]["a"], Value::Null);
    own.patch(NAME, &PatchParams::default(), &debug(json!(true))).await.unwrap();
    world.is_ready_for_the_newest_spec().await;
    let now = STATEFUL_SET.get(&world).await;
    assert_eq!((&now["metadata"]["uid"], &now["metadata"]["labels"]["a"]), (&set["metadata"]["uid"], &json!("1")));

    // An unreadable resource is no obstacle at startup either.
    manager.terminate().await.unwrap();
    let _manager = world.manager().await;
    world.reconcile_again().await;
    for name in ["unreadable", "hopeless"] {
        elsewhere.delete(name, &DeleteParams::default()).await.unwrap();
        eventually("it is deleted", TIMEOUT, || async { elsewhere.get_opt(name).await.map(|found| found.is_none()) })
            .await;
    }
}

#[tokio::test]
async fn resource_with_other_name_or_namespace_is_forbidden() {
    let world = World::new().await;
    let _manager = world.manager().await;
    let text = "Only a single NATS CR with name: eventing-nats and namespace: kyma-system is allowed to be created in a Kyma cluster.";
    for (namespace, name) in [(NAMESPACE, "other"), ("default", NAME), ("default", "other")] {
        world.create_as(namespace, name, json!({})).await.unwrap();
        let api = nats(&world, namespace);
        assert_eq!(error_message(&api, name).await, text, "{namespace}/{name}");
        let object = api.get(name).await.unwrap();
        assert_eq!(object.finalizers(), [""; 0]);
        let conditions = object.data["status"]["conditions"].as_array().unwrap();
        let short: Vec<String> = conditions
            .iter()
            .map(|condition| {
                format!("{} {} {}", condition["type"], condition["status"], condition["reason"]).replace('"', "")
            })
            .collect();
        for expected in [
            "StatefulSet False Forbidden",
            "Available False Forbidden",
            "Ready False Forbidden",
            "Stalled True Forbidden",
        ] {
            assert!(short.iter().any(|found| found == expected), "{expected} in {short:?}");
        }
        let events = eventually("the event", TIMEOUT, || async {
            let events: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(world.client.clone(), namespace);
            let about = |event: &k8s_openapi::api::events::v1::Event| {
                event.regarding.as_ref().and_then(|regarding| regarding.uid.clone()) == object.uid()
            };
            let mut events = events.list(&ListParams::default()).await?.items;
            events.retain(about);
            Ok::<_, kube::Error>(if events.is_empty() { Seen::NotYet("none".to_owned()) } else { Seen::Done(events) })
        })
        .await;
        let recorded: Vec<_> =
            events.iter().map(|e| (e.type_.as_deref(), e.reason.as_deref(), e.note.as_deref())).collect();
        assert_eq!(recorded, [(Some("Warning"), Some("Forbidden"), Some(text))]);
    }

    // An older manager that deployed the resource left this finalizer.
    let finalizer = json!({"metadata": {"finalizers": ["nats.operator.kyma-project.io/finalizer"]}});
    nats(&world, "default").patch("other", &PatchParams::default(), &Patch::Merge(finalizer)).await.unwrap();
    for (namespace, name) in [(NAMESPACE, "other"), ("default", NAME), ("default", "other")] {
        let api = nats(&world, namespace);
        api.delete(name, &DeleteParams::default()).await.unwrap();
        eventually("it is deleted", TIMEOUT, || async { api.get_opt(name).await.map(|found| found.is_none()) }).await;
    }
    for child in CHILDREN.into_iter().filter(|child| child.kind != "DestinationRule") {
        assert!(child.api(&world).get_opt(child.name).await.unwrap().is_none(), "{}", child.kind);
    }
}

/// Waits for the state Error, and returns the message of the condition Available.
async fn error_message(api: &Api<DynamicObject>, name: &str) -> String {
    eventually(&format!("{name} is in state Error"), TIMEOUT, || async {
        let status = api.get(name).await?.data["status"].clone();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let available = conditions.into_iter().find(|condition: &Value| condition["type"] == "Available");
        Ok::<_, kube::Error>(match available {
            Some(available) if status["state"] == "Error" => {
                Seen::Done(available["message"].as_str().unwrap_or_default().to_owned())
            }
            _ => Seen::NotYet(status.to_string()),
        })
    })
    .await
}
