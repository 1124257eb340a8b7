//! Rules that the apiserver enforces with the webhook, compared with the cases and with the offline command.

use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use nats_manager_api::NatsSpec;
use nats_manager_harness::{
    Shell,
    cases::{Case, Rejection, cases, unreported},
    eventually,
};
use serde_json::{Value, json};

use super::{nats, webhook_options};
use crate::{
    objects,
    world::{NAME, NAMESPACE, TIMEOUT, World},
};

#[tokio::test]
async fn webhook_and_offline_command_agree_with_rules() {
    let world = World::new().await;
    let cases = cases();
    // The manager deploys nothing for resources in this namespace.
    let stored = objects::nats(&world, "default");
    store_old(&world, &stored, &cases).await;
    let _manager = world.manager_with_webhook().await;

    let one = objects::nats(&world, NAMESPACE);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let shell = Shell::new(&world.cluster);
    let mut disagreements = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let deviations = if case.old.is_some() {
            compare(case, change(&stored, index, &case.new).await)
        } else {
            let created = one.create(&dry_run, &serde_json::from_value(nats(case.new.clone())).unwrap()).await;
            [compare(case, created), compare_offline(case, &shell).await].concat()
        };
        disagreements.extend(deviations.into_iter().map(|what| format!("{}: {what}", case.name)));
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    assert!(cases.len() > 60, "only {} cases", cases.len());
}

/// Stores the old spec of each case without the webhook, and without CRD validation where a case needs that.
async fn store_old(world: &World, api: &Api<DynamicObject>, cases: &[Case]) {
    for bypasses_floor in [true, false] {
        if bypasses_floor {
            world.remove_crd_validation().await;
        } else {
            world.restore_crd_validation().await;
        }
        let of_this_kind = |case: &&(usize, &Case)| case.1.stored.is_some() == bypasses_floor;
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

/// Replaces the spec as a dry run. Retries on a conflict, since the manager writes the status meanwhile.
async fn change(api: &Api<DynamicObject>, index: usize, spec: &Value) -> kube::Result<DynamicObject> {
    let name = format!("case-{index}");
    eventually("no conflict", TIMEOUT, || async {
        let mut changed = api.get(&name).await.unwrap();
        changed.data["spec"] = spec.clone();
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        match api.replace(&name, &dry_run, &changed).await {
            Err(kube::Error::Api(status)) if status.code == 409 => None,
            response => Some(response),
        }
    })
    .await
}

/// Returns the deviations of a response from the case. Only the schema rejects specs that the rules cannot read.
fn compare(case: &Case, response: kube::Result<DynamicObject>) -> Vec<String> {
    // Dropping a size is no mistake with the webhook, which restores the size.
    let size = case.new.pointer("/jetStream/fileStorage/size");
    let is_restored = |rejection: &&Rejection| {
        rejection.field == "spec.jetStream.fileStorage.size" && size.is_none_or(|size| size == "0")
    };
    let by_floor = serde_json::from_value::<NatsSpec>(case.new.clone()).is_err();
    let expected: Vec<&Rejection> = case
        .rejected
        .iter()
        .filter(|rejection| !by_floor || rejection.floor.is_some())
        .filter(|rejection| !is_restored(rejection))
        .collect();
    match response {
        Ok(_) if expected.is_empty() => Vec::new(),
        Ok(_) => vec!["accepted".to_owned()],
        Err(kube::Error::Api(status)) if status.code == 422 && !expected.is_empty() => {
            let causes = status.details.map(|details| details.causes).unwrap_or_default();
            let is_reported = if by_floor { Rejection::is_reported_by_floor } else { Rejection::is_reported_by_rules };
            let mut all = unreported(&expected, &causes, is_reported);
            // A default that is derived from a mistake may be a mistake too.
            let is_set = |field: &str| {
                let path = field.trim_start_matches("spec").split('[').next().unwrap_or_default().replace('.', "/");
                case.new.pointer(&path).is_some()
            };
            let reported = causes.iter().filter(|cause| is_set(&cause.field)).count();
            if !by_floor && reported != expected.len() {
                all.push(format!("{reported} causes: {causes:?}"));
            }
            all
        }
        Err(error) => vec![format!("rejected: {error}")],
    }
}

/// Returns the deviations of the offline command from the case.
async fn compare_offline(case: &Case, shell: &Shell) -> Vec<String> {
    std::fs::write(shell.folder().join("case.yaml"), nats(case.new.clone()).to_string()).unwrap();
    let output = shell.run(&format!("'{}' validate -f case.yaml", env!("CARGO_BIN_EXE_nats-manager"))).await;
    let missing = case.rejected.iter().filter(|rejection| !output.text.contains(&rejection.message));
    let mut all: Vec<String> =
        missing.map(|rejection| format!("offline, missing {}: {}", rejection.message, output.text)).collect();
    if (output.code == Some(0)) != case.rejected.is_empty() {
        all.push(format!("offline: {output:?}"));
    }
    all
}

#[tokio::test]
async fn resource_with_other_name_or_namespace_is_forbidden() {
    let world = World::new().await;
    let _manager = world.manager_with_webhook().await;
    let text = "Only a single NATS CR with name: eventing-nats and namespace: kyma-system is allowed to be created in a Kyma cluster.";
    let own = nats(json!({}));
    let shell = Shell::new(&world.cluster);
    for (namespace, name) in [(NAMESPACE, "other"), ("default", NAME)] {
        let mut other = own.clone();
        other["metadata"] = json!({"namespace": namespace, "name": name});
        // Another mistake does not change the message.
        other["spec"]["labels"] = json!({"nats_cluster": "mine"});
        let api = objects::nats(&world, namespace);
        let refused = api.create(&PostParams::default(), &serde_json::from_value(other.clone()).unwrap()).await;
        let Err(kube::Error::Api(status)) = refused else { panic!("{refused:?}") };
        assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
        assert!(status.message.ends_with(text), "{}", status.message);
        std::fs::write(shell.folder().join("other.json"), other.to_string()).unwrap();
        let output = shell.refused("kubectl apply -f other.json").await;
        assert!(output.contains(text) && output.contains("(Forbidden)"), "{output}");
    }
    // A generated name is another name too.
    let generated = json!({
        "apiVersion": own["apiVersion"], "kind": "NATS",
        "metadata": {"generateName": "eventing-"}, "spec": {},
    });
    std::fs::write(shell.folder().join("generated.json"), generated.to_string()).unwrap();
    let output = shell.refused(&format!("kubectl create -n {NAMESPACE} -f generated.json")).await;
    assert!(output.contains(text), "{output}");
}

#[tokio::test]
async fn configured_name_is_allowed() {
    let world = World::new().await;
    let mut options = webhook_options();
    options.env.insert("NATS_CR_NAME".to_owned(), "another".to_owned());
    // The roles allow the manager to watch only children with the default name, so it never becomes ready.
    let _manager = world.spawn(&options);
    let expected = "Only a single NATS CR with name: another and namespace: kyma-system";
    eventually("the other name counts", TIMEOUT, || async {
        match world.dry_run(json!({})).await {
            Err(kube::Error::Api(status)) if status.message.contains(expected) => Ok(true),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
