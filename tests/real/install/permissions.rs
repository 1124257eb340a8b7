//! The rules that are shipped are those that are needed: everything that the manager does is compared with the
//! apiserver's audit log.

use std::{fmt, path::Path};

use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        rbac::v1::{ClusterRole, PolicyRule, Role},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use nats_manager_api::Nats;
use nats_manager_harness::{AuditEvent, Seen, eventually};
use serde_json::json;

use crate::{
    manager::Options,
    servers::is_ready,
    world::{SOON, World, real},
};

const USER: &str = "system:serviceaccount:kyma-system:nats-manager";
const ISTIO: &str = "destinationrules.networking.istio.io";

/// Needed, but not for what happens here: resource, verb, and for what.
const NOT_HERE: [(&str, &str, &str); 5] = [
    ("nats/finalizers", "update", "owner references, with the plugin OwnerReferencesPermissionEnforcement"),
    ("nats", "get", "the status of a resource that cannot be read"),
    ("events", "patch", "an event that happens again within minutes"),
    ("events", "list", "Pods that cannot be created"),
    ("pods", "delete", "a broken pod that its StatefulSet leaves alone, a server that has given up writing"),
];

/// One thing that the rules allow.
#[derive(Debug, PartialEq, Eq)]
struct Grant {
    /// None for the whole cluster.
    namespace: Option<String>,
    group: String,
    /// With its subresource: `nats/status`.
    resource: String,
    verb: String,
    /// One of these; empty for every name.
    names: Vec<String>,
}

#[test]
fn nothing_is_refused_and_nothing_is_granted_in_vain() {
    real(async |world| {
        let audit = world.cluster.audit().unwrap();
        let mark = audit.mark().await.unwrap();
        everything(world).await;

        let events: Vec<AuditEvent> =
            audit.since(mark).await.unwrap().into_iter().filter(|event| event.user == USER).collect();
        let refused: Vec<_> = events.iter().filter(|event| event.code == 403).collect();
        assert!(refused.is_empty(), "{refused:#?}");
        let unused: Vec<String> = grants()
            .into_iter()
            .filter(|grant| !NOT_HERE.iter().any(|(of, verb, _)| (*of, *verb) == (&grant.resource, &grant.verb)))
            .filter(|grant| !events.iter().any(|event| grant.is_used_by(event)))
            .map(|grant| grant.to_string())
            .collect();
        assert!(unused.is_empty(), "granted and not used:\n{}", unused.join("\n"));
    });
}

/// Has the manager do whatever it may have to do.
async fn everything(world: &World<'_>) {
    let _ = world.api::<Lease>().delete("nats-manager", &DeleteParams::default()).await;
    let options = || {
        let mut options = Options { webhook: true, ..Options::default() };
        options.args.push("--leader-elect".to_owned());
        options
    };
    install_istio(world).await;
    let manager = world.manager_with(&options()).await;
    // In the wrong place.
    let stray = json!({
        "apiVersion": "operator.kyma-project.io/v1alpha1", "kind": "NATS", "metadata": {"name": "stray"},
    });
    let strays: Api<Nats> = Api::namespaced(world.client.clone(), "default");
    let _ = strays.patch("stray", &PatchParams::apply("user"), &Patch::Apply(&stray)).await;
    world.create(json!({"cluster": {"size": 3}})).await;
    world.state_becomes("Ready").await;
    manager.kill().await;

    // A pod that is broken is deleted by the roll that mends it.
    let mut broken = options();
    broken.env.insert("NATS_IMAGE".to_owned(), "nats-server.example/none:1".to_owned());
    let manager = world.manager_with(&broken).await;
    eventually("a server is broken", SOON, || async {
        let ready = world.pods().await.iter().filter(|pod| is_ready(pod)).count();
        Ok::<_, kube::Error>(if ready == 2 { Seen::Done(()) } else { Seen::NotYet(format!("{ready} are ready")) })
    })
    .await;
    manager.kill().await;
    let manager = world.manager_with(&options()).await;
    world.servers_are_ready(3, &[]).await;
    world.state_becomes("Ready").await;

    world.delete().await;
    world.gone().await;
    assert_eq!(manager.terminate().await, Some(0));
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    definitions.delete(ISTIO, &DeleteParams::default()).await.unwrap();
    let _ = strays.delete("stray", &DeleteParams::default()).await;
}

async fn install_istio(world: &World<'_>) {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": ISTIO},
        "spec": {
            "group": "networking.istio.io",
            "scope": "Namespaced",
            "names": {"kind": "DestinationRule", "plural": "destinationrules", "singular": "destinationrule"},
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                }},
            }],
        },
    });
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    definitions.patch(ISTIO, &PatchParams::apply("user").force(), &Patch::Apply(&definition)).await.unwrap();
}

impl Grant {
    fn is_used_by(&self, event: &AuditEvent) -> bool {
        let resource = match event.subresource.as_str() {
            "" => event.resource.clone(),
            subresource => format!("{}/{subresource}", event.resource),
        };
        // A server-side apply that creates is logged as a patch, and asks for both.
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

/// Of the manager's roles; those for people are not among them.
fn grants() -> Vec<Grant> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rbac");
    let mut grants = Vec::new();
    for file in ["cluster_role.yaml", "role.yaml", "servers_role.yaml", "webhook_roles.yaml", "provider_role.yaml"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        for document in text.split("\n---\n") {
            if document.contains("\nkind: ClusterRole\n") {
                let role: ClusterRole = serde_saphyr::from_str(document).unwrap();
                grants.extend(role.rules.into_iter().flatten().flat_map(|rule| of_rule(None, &rule)));
            } else if document.contains("\nkind: Role\n") {
                let role: Role = serde_saphyr::from_str(document).unwrap();
                let namespace = role.metadata.namespace;
                grants.extend(role.rules.into_iter().flatten().flat_map(|rule| of_rule(namespace.as_deref(), &rule)));
            }
        }
    }
    assert!(grants.len() > 50, "{}", grants.len());
    grants
}

fn of_rule(namespace: Option<&str>, rule: &PolicyRule) -> Vec<Grant> {
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
