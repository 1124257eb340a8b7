//! RBAC rules of the module: they are compared with the requests of the manager in the audit log of the apiserver.

use std::{fmt, path::Path};

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use nats_manager_api::Nats;
use nats_manager_harness::{AuditEvent, Seen, eventually};
use serde_json::json;

use crate::{
    manager::ManagerOptions,
    servers::is_ready,
    world::{SOON, World, real},
};

const USER: &str = "system:serviceaccount:kyma-system:nats-manager";

/// Grants that the test does not use: resource, verb, and purpose.
const UNUSED_HERE: [(&str, &str, &str); 8] = [
    ("nats/finalizers", "update", "owner references, with the plugin OwnerReferencesPermissionEnforcement"),
    ("nats", "get", "the status of a resource that cannot be parsed"),
    ("events", "patch", "an event that happens again"),
    ("events", "list", "Pods that cannot be created, volumes that do not grow"),
    ("persistentvolumeclaims", "patch", "volumes that grow: tests/real/expansion.rs"),
    ("mutatingwebhookconfigurations", "delete", "another owner, with that plugin"),
    ("validatingwebhookconfigurations", "delete", "another owner, with that plugin"),
    ("pods", "delete", "a broken Pod that its StatefulSet does not replace, a server that has stopped writing"),
];

/// Permission for one verb on one resource.
#[derive(Debug, PartialEq, Eq)]
struct Grant {
    /// Namespace; `None` for all namespaces.
    namespace: Option<String>,
    group: String,
    /// Resource with its subresource, such as `nats/status`.
    resource: String,
    verb: String,
    /// Allowed names; empty for all names.
    names: Vec<String>,
}

#[test]
fn no_request_is_forbidden_and_no_grant_is_unused() {
    real(async |world| {
        let audit = world.cluster.audit().unwrap();
        let mark = audit.mark().await.unwrap();
        run_all_operations(world).await;

        let events: Vec<AuditEvent> =
            audit.since(mark).await.unwrap().into_iter().filter(|event| event.user == USER).collect();
        let forbidden: Vec<_> = events.iter().filter(|event| event.code == 403).collect();
        assert!(forbidden.is_empty(), "{forbidden:#?}");
        let unused: Vec<String> = grants()
            .into_iter()
            .filter(|grant| {
                !UNUSED_HERE.iter().any(|(resource, verb, _)| (*resource, *verb) == (&grant.resource, &grant.verb))
            })
            .filter(|grant| !events.iter().any(|event| grant.is_used_by(event)))
            .map(|grant| grant.to_string())
            .collect();
        assert!(unused.is_empty(), "granted and not used:\n{}", unused.join("\n"));
    });
}

/// Runs a manager through all of its operations.
async fn run_all_operations(world: &World<'_>) {
    let options = || {
        let mut options = ManagerOptions { webhook: true, ..ManagerOptions::default() };
        options.args.push("--leader-elect".to_owned());
        options
    };
    world.install_istio().await;
    let manager = world.manager_with(&options()).await;
    // A NATS resource in another namespace.
    let stray = json!({
        "apiVersion": "operator.kyma-project.io/v1alpha1", "kind": "NATS", "metadata": {"name": "stray"},
    });
    let strays: Api<Nats> = Api::namespaced(world.client.clone(), "default");
    let _ = strays.patch("stray", &PatchParams::apply("user"), &Patch::Apply(&stray)).await;
    world.create(json!({"cluster": {"size": 3}})).await;
    world.state_becomes("Ready").await;
    manager.kill().await.unwrap();

    // The rollout that repairs a broken Pod deletes it.
    let mut broken = options();
    broken.env.insert("NATS_IMAGE".to_owned(), "nats-server.example/none:1".to_owned());
    let manager = world.manager_with(&broken).await;
    eventually("a server is broken", SOON, || async {
        let ready = world.pods().await.iter().filter(|pod| is_ready(pod)).count();
        Ok::<_, kube::Error>(if ready == 2 { Seen::Done(()) } else { Seen::NotYet(format!("{ready} are ready")) })
    })
    .await;
    manager.kill().await.unwrap();
    let manager = world.manager_with(&options()).await;
    world.servers_are_ready(3, &[]).await;
    world.state_becomes("Ready").await;

    world.delete().await;
    world.gone().await;
    assert_eq!(manager.terminate().await.unwrap(), Some(0));
    world.remove_istio().await;
    let _ = strays.delete("stray", &DeleteParams::default()).await;
}

impl Grant {
    fn is_used_by(&self, event: &AuditEvent) -> bool {
        let resource = match event.subresource.as_str() {
            "" => event.resource.clone(),
            subresource => format!("{}/{subresource}", event.resource),
        };
        // A server-side apply that creates an object is logged as a patch, and requires both verbs.
        let created = self.verb == "create" && event.verb == "patch" && event.code == 201;
        let named = self.names.is_empty() || self.names.contains(&event.name);
        event.code < 400
            && (event.verb == self.verb || created)
            && (&event.group, &resource) == (&self.group, &self.resource)
            && named
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == event.namespace)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, group, resource, verb, names } = self;
        let (namespace, name) = (namespace.as_deref().unwrap_or("*"), names.first().map_or("*", String::as_str));
        write!(f, "{verb} {resource}.{group} {name} in {namespace}")
    }
}

/// Returns the grants of the roles of the manager, without the roles for users.
fn grants() -> Vec<Grant> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rbac");
    let mut grants = Vec::new();
    for file in ["cluster_role.yaml", "role.yaml", "servers_role.yaml", "webhook_roles.yaml", "provider_role.yaml"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        for document in text.split("\n---\n") {
            if document.contains("\nkind: ClusterRole\n") {
                let role: ClusterRole = serde_saphyr::from_str(document).unwrap();
                grants.extend(role.rules.into_iter().flatten().flat_map(|rule| grants_of(None, &rule)));
            } else if document.contains("\nkind: Role\n") {
                let role: Role = serde_saphyr::from_str(document).unwrap();
                let namespace = role.metadata.namespace;
                grants.extend(role.rules.into_iter().flatten().flat_map(|rule| grants_of(namespace.as_deref(), &rule)));
            }
        }
    }
    assert!(grants.len() > 50, "{}", grants.len());
    grants
}

fn grants_of(namespace: Option<&str>, rule: &PolicyRule) -> Vec<Grant> {
    let mut grants = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                grants.push(Grant {
                    namespace: namespace.map(ToOwned::to_owned),
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                    names: rule.resource_names.clone().unwrap_or_default(),
                });
            }
        }
    }
    grants
}
