//! The rules as the apiserver enforces them with the webhook: the same as without it, as offline,
//! and more.

use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use nats_manager_harness::{Seen, eventually};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{nats, shell::Shell, with_webhook};
use crate::{
    objects,
    world::{NAME, NAMESPACE, SOON, World},
};

/// See the head of the file.
#[derive(Deserialize)]
struct Case {
    name: String,
    old: Option<Value>,
    new: Value,
    #[serde(default)]
    refused: Vec<Refusal>,
    stored: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    field: String,
    message: String,
    floor: Option<String>,
    floor_message: Option<String>,
}

#[tokio::test]
async fn the_webhook_and_the_offline_command_agree_with_the_rules() {
    let world = World::new().await;
    let _manager = world.guarded().await;
    let api = objects::nats(&world, NAMESPACE);
    let shell = Shell::new(&world.cluster);
    let cases: Vec<Case> = serde_yaml::from_str(include_str!("../../../api/tests/cases.yaml")).unwrap();
    let mut disagreements = Vec::new();
    let mut judged = 0;
    // What was stored past the floor has tests of its own.
    for case in cases.iter().filter(|case| case.stored.is_none()) {
        let stored = match &case.old {
            Some(old) => Some(store(&api, old).await.unwrap_or_else(|error| panic!("{}: {error}", case.name))),
            None => None,
        };
        let answer = match &stored {
            Some(stored) => {
                let mut changed = stored.clone();
                changed.data["spec"] = case.new.clone();
                let dry_run = PostParams { dry_run: true, ..PostParams::default() };
                api.replace(NAME, &dry_run, &changed).await
            }
            None => api.create(&PostParams { dry_run: true, ..PostParams::default() }, &object(&case.new)).await,
        };
        let deviations = case.compare(answer);
        disagreements.extend(deviations.into_iter().map(|what| format!("{}: {what}", case.name)));
        if stored.is_some() {
            remove(&api).await;
        } else {
            let file = shell.folder().join("case.yaml");
            std::fs::write(&file, serde_yaml::to_string(&nats(case.new.clone())).unwrap()).unwrap();
            let offline = shell.run(&format!("'{}' validate -f case.yaml", env!("CARGO_BIN_EXE_nats-manager"))).await;
            if (offline.code == Some(0)) != case.refused.is_empty() {
                disagreements.push(format!("{}: offline: {offline:?}", case.name));
            }
            for refusal in case.refused.iter().filter(|refusal| !offline.text.contains(&refusal.message)) {
                disagreements.push(format!("{}: offline lacks {}: {}", case.name, refusal.message, offline.text));
            }
        }
        judged += 1;
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    assert!(judged > 60, "only {judged} cases");
}

impl Case {
    /// What is not as the case says. The schema, where it has a say, speaks alone and before the
    /// webhook.
    fn compare(&self, answer: kube::Result<DynamicObject>) -> Vec<String> {
        let by_schema = self.refused.iter().any(|refusal| refusal.floor.as_deref() == Some("schema"));
        // Dropping a size that is set is no mistake with the webhook: it comes back.
        let comes_back = |refusal: &&Refusal| {
            refusal.field == "spec.jetStream.fileStorage.size"
                && refusal.message.contains("immutable")
                && matches!(self.new.pointer("/jetStream/fileStorage/size"), None | Some(Value::String(_)))
                && self.new.pointer("/jetStream/fileStorage/size").is_none_or(|size| size == "0")
        };
        let expected: Vec<&Refusal> = self
            .refused
            .iter()
            .filter(|refusal| !by_schema || refusal.floor.is_some())
            .filter(|refusal| !comes_back(refusal))
            .collect();
        match answer {
            Ok(_) if expected.is_empty() => Vec::new(),
            Ok(_) => vec!["accepted".to_owned()],
            Err(kube::Error::Api(status)) if status.code == 422 && !expected.is_empty() => {
                let causes = status.details.map(|details| details.causes).unwrap_or_default();
                let is_told = |refusal: &&&Refusal| {
                    let message = match &refusal.floor_message {
                        Some(message) if by_schema => message,
                        _ => &refusal.message,
                    };
                    causes.iter().any(|cause| {
                        let is_there = if by_schema {
                            refusal.field.strip_prefix(&cause.field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                        } else {
                            refusal.field == cause.field
                        };
                        is_there && cause.message.contains(message.as_str())
                    })
                };
                let untold = expected.iter().filter(|refusal| !is_told(refusal));
                let mut all: Vec<String> =
                    untold.map(|refusal| format!("{}: {} is not among {causes:?}", refusal.field, refusal.message)).collect();
                if !by_schema && causes.len() != expected.len() {
                    all.push(format!("{} causes: {causes:?}", causes.len()));
                }
                all
            }
            Err(error) => vec![format!("refused: {error}")],
        }
    }
}

fn object(spec: &Value) -> DynamicObject {
    serde_json::from_value(nats(spec.clone())).unwrap()
}

async fn store(api: &Api<DynamicObject>, spec: &Value) -> kube::Result<DynamicObject> {
    let apply = PatchParams::apply("cases").force();
    api.patch(NAME, &apply, &Patch::Apply(&object(spec))).await?;
    // With the finalizer, after which the manager leaves its metadata alone.
    let settled = eventually("the manager has seen it", SOON, || async {
        let nats = api.get(NAME).await?;
        let seen = !nats.finalizers().is_empty() && nats.data.get("status").is_some();
        Ok::<_, kube::Error>(if seen { Seen::Done(nats) } else { Seen::NotYet(format!("{:?}", nats.metadata)) })
    })
    .await;
    let mut settled = settled;
    // Its status changes on: which version a dry run has seen does not matter here.
    settled.metadata.resource_version = api.get(NAME).await?.resource_version();
    Ok(settled)
}

async fn remove(api: &Api<DynamicObject>) {
    api.delete(NAME, &DeleteParams::default()).await.unwrap();
    eventually("it is gone", SOON, || async { Ok::<_, kube::Error>(api.get_opt(NAME).await?.is_none()) }).await;
}

#[tokio::test]
async fn another_resource_than_the_one_is_forbidden() {
    let world = World::new().await;
    let _manager = world.guarded().await;
    let text = "Only a single NATS CR with name: eventing-nats and namespace: kyma-system is allowed to be created in a Kyma cluster.";
    let own = nats(json!({}));
    let shell = Shell::new(&world.cluster);
    for (namespace, name) in [(NAMESPACE, "other"), ("default", NAME)] {
        let mut other = own.clone();
        other["metadata"] = json!({"namespace": namespace, "name": name});
        // Whatever else is wrong with it.
        other["spec"]["labels"] = json!({"nats_cluster": "mine"});
        let api = objects::nats(&world, namespace);
        let refused = api.create(&PostParams::default(), &serde_json::from_value(other.clone()).unwrap()).await;
        let Err(kube::Error::Api(status)) = refused else { panic!("{refused:?}") };
        assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
        assert!(status.message.ends_with(text), "{}", status.message);
        std::fs::write(shell.folder().join("other.json"), other.to_string()).unwrap();
        let said = shell.refused("kubectl apply -f other.json").await;
        assert!(said.contains(text) && said.contains("(Forbidden)"), "{said}");
    }
    // A name that the apiserver is to make up is another as well.
    let generated = json!({
        "apiVersion": own["apiVersion"], "kind": "NATS",
        "metadata": {"generateName": "eventing-"}, "spec": {},
    });
    std::fs::write(shell.folder().join("generated.json"), generated.to_string()).unwrap();
    let said = shell.refused(&format!("kubectl create -n {NAMESPACE} -f generated.json")).await;
    assert!(said.contains(text), "{said}");
}

#[tokio::test]
async fn where_another_name_is_set_that_one_is_allowed() {
    let world = World::new().await;
    let mut options = with_webhook();
    options.env.insert("NATS_CR_NAME".to_owned(), "another".to_owned());
    // Its rules allow the manager to watch only children of the usual name, so it is never ready.
    let _manager = world.spawn(&options);
    let expected = "Only a single NATS CR with name: another and namespace: kyma-system";
    eventually("the other name counts", SOON, || async {
        match world.tries(json!({})).await {
            Err(kube::Error::Api(status)) if status.message.contains(expected) => Ok(true),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
