//! Roles of the webhook, compared with the requests of the manager.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::{Patch, PatchParams};
use nats_manager_harness::{AuditEvent, eventually};
use serde_json::json;

use super::configurations::configurations;
use crate::world::{SERVICE_ACCOUNT, TIMEOUT, World};

/// Returns the rules of both roles of the webhook.
fn rules() -> Vec<PolicyRule> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/rbac/webhook_roles.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let rules = text.split("\n---\n").filter_map(|document| {
        if document.contains("\nkind: ClusterRole\n") {
            serde_saphyr::from_str::<ClusterRole>(document).unwrap().rules
        } else if document.contains("\nkind: Role\n") {
            serde_saphyr::from_str::<Role>(document).unwrap().rules
        } else {
            None
        }
    });
    rules.flatten().collect()
}

/// Returns whether a request uses this verb on this resource. An apply that creates an object requires both verbs.
fn uses(event: &AuditEvent, resource: &str, verb: &str, names: &[String]) -> bool {
    let is_verb = event.verb == verb || (verb == "create" && event.verb == "patch" && event.code == 201);
    is_verb && event.resource == resource && names.contains(&event.name)
}

#[tokio::test]
async fn webhook_roles_grant_exactly_what_the_leader_uses() {
    let world = World::new().await;
    let audit = world.cluster.audit().unwrap();
    let mark = audit.mark().await.unwrap();
    let manager = world.manager_with_webhook().await;
    for api in configurations(&world) {
        let drift = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
        api.patch("nats-manager", &PatchParams::default(), &drift).await.unwrap();
        eventually("the owner is restored", TIMEOUT, || async {
            Ok::<_, kube::Error>(api.get("nats-manager").await?.metadata.owner_references.is_some())
        })
        .await;
    }
    assert_eq!(manager.terminate().await.unwrap(), Some(0));

    let requests = audit.since(mark).await.unwrap();
    let ours: Vec<&AuditEvent> = requests.iter().filter(|event| event.user == SERVICE_ACCOUNT).collect();
    let forbidden: Vec<_> = ours.iter().filter(|event| event.code == 403).collect();
    assert!(forbidden.is_empty(), "{forbidden:#?}");
    let mut grants = 0;
    for rule in rules() {
        let names = rule.resource_names.unwrap();
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                let is_used = ours.iter().any(|event| event.code < 400 && uses(event, resource, verb, &names));
                // A change of the owner requires it, with the plugin OwnerReferencesPermissionEnforcement.
                let is_required = verb == "delete";
                assert!(is_used || is_required, "{verb} {resource} is granted and not used");
                grants += 1;
            }
        }
    }
    assert!(grants > 10, "{grants}");
}
