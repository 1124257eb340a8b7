//! The rules as the apiserver enforces them with the webhook: the same as without it, as offline,
//! and more.

use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use nats_manager_api::NatsSpec;
use nats_manager_harness::eventually;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{nats, with_webhook};
use crate::{
    objects,
    world::{NAME, NAMESPACE, SOON, World},
};
use nats_manager_harness::Shell;

/// See the head of the file.
#[derive(Deserialize)]
struct Case {
    name: String,
    old: Option<Value>,
    holds: Option<Value>,
    members: Option<u32>,
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
    let cases: Vec<Case> = serde_saphyr::from_str(include_str!("../../../api/tests/cases.yaml")).unwrap();
    // Elsewhere than the one resource, so that nothing is deployed for them.
    let stored = objects::nats(&world, "default");
    store_old(&world, &stored, &cases).await;
    let _manager = world.guarded().await;

    let one = objects::nats(&world, NAMESPACE);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let shell = Shell::new(&world.cluster);
    let mut disagreements = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let deviations = if case.old.is_some() {
            case.compare(change(&stored, index, &case.new).await)
        } else {
            let created = one.create(&dry_run, &serde_json::from_value(nats(case.new.clone())).unwrap()).await;
            [case.compare(created), case.compare_offline(&shell).await].concat()
        };
        disagreements.extend(deviations.into_iter().map(|what| format!("{}: {what}", case.name)));
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    assert!(cases.len() > 60, "only {} cases", cases.len());
}

/// What each case starts from, stored without the webhook; some of it without the floor too.
async fn store_old(world: &World, api: &Api<DynamicObject>, cases: &[Case]) {
    for past_the_floor in [true, false] {
        if past_the_floor {
            world.without_rules().await;
        } else {
            world.with_rules().await;
        }
        let of_this_kind = |case: &&(usize, &Case)| case.1.stored.is_some() == past_the_floor;
        for (index, case) in cases.iter().enumerate().collect::<Vec<_>>().iter().filter(of_this_kind) {
            let Some(old) = &case.old else { continue };
            let mut object = nats(old.clone());
            object["metadata"] = json!({"name": format!("case-{index}")});
            let created = api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await;
            created.unwrap_or_else(|error| panic!("{}: {error}", case.name));
            if case.holds.is_some() || case.members.is_some() {
                let status = Patch::Merge(json!({"status": {"jetStream": case.holds, "members": case.members}}));
                api.patch_status(&format!("case-{index}"), &PatchParams::default(), &status).await.unwrap();
            }
        }
    }
}

/// Replaces the spec as a dry run. The manager writes a status meanwhile, so it may take another try.
async fn change(api: &Api<DynamicObject>, index: usize, spec: &Value) -> kube::Result<DynamicObject> {
    let name = format!("case-{index}");
    eventually("nobody comes between", SOON, || async {
        let mut changed = api.get(&name).await.unwrap();
        changed.data["spec"] = spec.clone();
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        match api.replace(&name, &dry_run, &changed).await {
            Err(kube::Error::Api(status)) if status.code == 409 => None,
            answer => Some(answer),
        }
    })
    .await
}

impl Case {
    /// What is not as the case says. What the rules cannot read is the schema's, which speaks alone.
    fn compare(&self, answer: kube::Result<DynamicObject>) -> Vec<String> {
        // Dropping a size that is set is no mistake with the webhook: it comes back.
        let size = self.new.pointer("/jetStream/fileStorage/size");
        let comes_back = |refusal: &&Refusal| {
            refusal.field == "spec.jetStream.fileStorage.size" && size.is_none_or(|size| size == "0")
        };
        let by_floor = serde_json::from_value::<NatsSpec>(self.new.clone()).is_err();
        let expected: Vec<&Refusal> = self
            .refused
            .iter()
            .filter(|refusal| !by_floor || refusal.floor.is_some())
            .filter(|refusal| !comes_back(refusal))
            .collect();
        match answer {
            Ok(_) if expected.is_empty() => Vec::new(),
            Ok(_) => vec!["accepted".to_owned()],
            Err(kube::Error::Api(status)) if status.code == 422 && !expected.is_empty() => {
                let causes = status.details.map(|details| details.causes).unwrap_or_default();
                let is_told = |refusal: &&&Refusal| {
                    let message = match &refusal.floor_message {
                        Some(message) if by_floor => message,
                        _ => &refusal.message,
                    };
                    causes.iter().any(|cause| {
                        let is_there = if by_floor {
                            refusal
                                .field
                                .strip_prefix(&cause.field)
                                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                        } else {
                            refusal.field == cause.field
                        };
                        is_there && cause.message.contains(message.as_str())
                    })
                };
                let untold = expected.iter().filter(|refusal| !is_told(refusal));
                let mut all: Vec<String> = untold
                    .map(|refusal| format!("{}: {} is not among {causes:?}", refusal.field, refusal.message))
                    .collect();
                // What was filled in from a mistake may be one as well.
                let is_set = |field: &str| {
                    let path = field.trim_start_matches("spec").split('[').next().unwrap_or_default().replace('.', "/");
                    self.new.pointer(&path).is_some()
                };
                let told = causes.iter().filter(|cause| is_set(&cause.field)).count();
                if !by_floor && told != expected.len() {
                    all.push(format!("{told} causes: {causes:?}"));
                }
                all
            }
            Err(error) => vec![format!("refused: {error}")],
        }
    }

    /// What the offline command says otherwise.
    async fn compare_offline(&self, shell: &Shell) -> Vec<String> {
        std::fs::write(shell.folder().join("case.yaml"), nats(self.new.clone()).to_string()).unwrap();
        let said = shell.run(&format!("'{}' validate -f case.yaml", env!("CARGO_BIN_EXE_nats-manager"))).await;
        let untold = self.refused.iter().filter(|refusal| !said.text.contains(&refusal.message));
        let mut all: Vec<String> =
            untold.map(|refusal| format!("offline lacks {}: {}", refusal.message, said.text)).collect();
        if (said.code == Some(0)) != self.refused.is_empty() {
            all.push(format!("offline: {said:?}"));
        }
        all
    }
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
