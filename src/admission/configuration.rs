//! Webhook configurations, as values.
//!
//! Every field is set, also those with defaults, so that an exact comparison detects changes by others.

use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{
        MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
        ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference},
};
use nats_manager_api::naming;
use nats_manager_webhook::WebhookKind;

use super::{SERVICE, WebhookAddress};

/// Name of both configurations.
pub const CONFIGURATION: &str = "nats-manager";
/// ClusterRole that owns both configurations. It is a cluster-scoped object of the manifest, so the configurations are
/// deleted with the manager. The CRD would keep them as long as there are resources.
pub const OWNER_ROLE: &str = "nats-manager-webhook";

/// Inputs of the webhook configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedWebhook {
    /// Address at which the apiserver reaches the webhook.
    pub reached: WebhookAddress,
    /// Certificates that the apiserver trusts, as PEM.
    pub bundle: String,
    /// Uid of the ClusterRole [`OWNER_ROLE`].
    pub owner_uid: String,
    /// User of the manager itself, whose requests are not reviewed.
    pub own_user: String,
}

/// `timeoutSeconds` of the webhooks. Every limit of the server is below it.
const TIMEOUT: i32 = 5;
/// `timeoutSeconds` of the deletion webhook: a warning does not justify a longer wait.
const DELETE_TIMEOUT: i32 = 2;
const PORT: i32 = 443;

impl PublishedWebhook {
    /// Builds the configuration of the defaulting webhook. Without it the schema's defaults and the validating webhook
    /// still apply, so its failure is ignored.
    pub fn mutating(&self) -> MutatingWebhookConfiguration {
        MutatingWebhookConfiguration {
            metadata: self.metadata(),
            webhooks: Some(vec![MutatingWebhook {
                name: "default.nats.operator.kyma-project.io".to_owned(),
                admission_review_versions: vec!["v1".to_owned()],
                client_config: self.client_config(WebhookKind::Mutate),
                failure_policy: Some("Ignore".to_owned()),
                match_conditions: Some(self.match_conditions()),
                match_policy: Some("Equivalent".to_owned()),
                namespace_selector: Some(LabelSelector::default()),
                object_selector: Some(LabelSelector::default()),
                reinvocation_policy: Some("IfNeeded".to_owned()),
                rules: Some(vec![rule(&["CREATE", "UPDATE"])]),
                side_effects: "None".to_owned(),
                timeout_seconds: Some(TIMEOUT),
            }]),
        }
    }

    /// Builds the configuration of the other two webhooks. The validating one rejects what breaks a rule, and fails
    /// closed. The other one warns of a deletion that will be blocked, and fails open.
    pub fn validating(&self) -> ValidatingWebhookConfiguration {
        let validate = ValidatingWebhook {
            name: "validate.nats.operator.kyma-project.io".to_owned(),
            admission_review_versions: vec!["v1".to_owned()],
            client_config: self.client_config(WebhookKind::Validate),
            failure_policy: Some("Fail".to_owned()),
            match_conditions: Some(self.match_conditions()),
            match_policy: Some("Equivalent".to_owned()),
            namespace_selector: Some(LabelSelector::default()),
            object_selector: Some(LabelSelector::default()),
            rules: Some(vec![rule(&["CREATE", "UPDATE"]), scale_rule()]),
            side_effects: "None".to_owned(),
            timeout_seconds: Some(TIMEOUT),
        };
        let warn_delete = ValidatingWebhook {
            name: "warn-delete.nats.operator.kyma-project.io".to_owned(),
            client_config: self.client_config(WebhookKind::Delete),
            failure_policy: Some("Ignore".to_owned()),
            match_conditions: Some(self.delete_conditions()),
            rules: Some(vec![rule(&["DELETE"])]),
            timeout_seconds: Some(DELETE_TIMEOUT),
            ..validate.clone()
        };
        ValidatingWebhookConfiguration { metadata: self.metadata(), webhooks: Some(vec![validate, warn_delete]) }
    }

    fn metadata(&self) -> ObjectMeta {
        let mut labels = naming::webhook_labels();
        // AKS would add selectors of its own, and again after each repair (https://learn.microsoft.com/azure/aks/faq,
        // admission controllers).
        labels.insert("admissions.enforcer/disabled".to_owned(), "true".to_owned());
        ObjectMeta {
            name: Some(CONFIGURATION.to_owned()),
            labels: Some(labels),
            owner_references: Some(vec![OwnerReference {
                api_version: "rbac.authorization.k8s.io/v1".to_owned(),
                kind: "ClusterRole".to_owned(),
                name: OWNER_ROLE.to_owned(),
                uid: self.owner_uid.clone(),
                block_owner_deletion: None,
                controller: None,
            }]),
            ..ObjectMeta::default()
        }
    }

    fn client_config(&self, webhook: WebhookKind) -> WebhookClientConfig {
        let path = webhook.path();
        let (service, url) = match &self.reached {
            WebhookAddress::Service { namespace, .. } => {
                let service = ServiceReference {
                    name: SERVICE.to_owned(),
                    namespace: namespace.clone(),
                    path: Some(path.to_owned()),
                    port: Some(PORT),
                };
                (Some(service), None)
            }
            WebhookAddress::Url { base, .. } => (None, Some(format!("{base}{path}"))),
        };
        WebhookClientConfig { ca_bundle: Some(ByteString(self.bundle.clone().into_bytes())), service, url }
    }

    /// Builds the conditions for creations and updates: only changes of the spec need the webhook. While it is down, the
    /// manager's own writes and all changes of metadata are accepted, finalizers and forcing annotations included. An
    /// error in a condition counts as a rejection, so both conditions evaluate for every object.
    fn match_conditions(&self) -> Vec<MatchCondition> {
        vec![
            self.not_by_us(),
            condition(
                "changes-the-spec",
                "object == null || oldObject == null || has(object.spec) != has(oldObject.spec) \
                 || (has(object.spec) && object.spec != oldObject.spec)",
            ),
        ]
    }

    /// Builds the conditions for deletions, which have no new object. Only a deletion that needs a warning reaches the
    /// webhook.
    fn delete_conditions(&self) -> Vec<MatchCondition> {
        vec![
            self.not_by_us(),
            condition(
                "not-being-deleted",
                "oldObject == null || !has(oldObject.metadata) || !has(oldObject.metadata.deletionTimestamp)",
            ),
            condition(
                "with-customer-data",
                "oldObject != null && has(oldObject.status) && has(oldObject.status.jetStream) \
                 && has(oldObject.status.jetStream.customerData) && oldObject.status.jetStream.customerData",
            ),
        ]
    }

    /// Builds the condition that excludes requests of the manager itself.
    fn not_by_us(&self) -> MatchCondition {
        condition(
            "not-by-nats-manager",
            &format!("!has(request.userInfo.username) || request.userInfo.username != '{}'", self.own_user),
        )
    }
}

fn condition(name: &str, expression: &str) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression: expression.to_owned() }
}

/// Builds the rule for these operations, without the subresource `status`: only the manager writes it.
fn rule(operations: &[&str]) -> RuleWithOperations {
    let one = |text: &str| Some(vec![text.to_owned()]);
    RuleWithOperations {
        api_groups: one("operator.kyma-project.io"),
        api_versions: one("v1alpha1"),
        operations: Some(operations.iter().map(|&operation| operation.to_owned()).collect()),
        resources: one("nats"),
        scope: Some("Namespaced".to_owned()),
    }
}

/// Builds the rule for the subresource `scale`, whose objects are of another kind.
fn scale_rule() -> RuleWithOperations {
    RuleWithOperations { resources: Some(vec!["nats/scale".to_owned()]), ..rule(&["UPDATE"]) }
}
