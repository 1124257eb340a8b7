//! The two webhook configurations, as values.
//!
//! Every field is written out, those with defaults too, so that an exact comparison shows what
//! somebody else changed.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{
        MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
        ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference},
};
use nats_manager_api::crd;
use nats_manager_webhook::WebhookKind;

use super::{SERVICE, WebhookAddress};

/// The name of both configurations.
pub const CONFIGURATION: &str = "nats-manager";

/// What goes into the configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedWebhook {
    /// How the apiserver reaches the webhook.
    pub reached: WebhookAddress,
    /// The certificates that the apiserver is to trust, PEM.
    pub bundle: String,
    /// The uid of the definition of NATS: the configurations go with it.
    pub definition_uid: String,
    /// The manager's own user, which is not asked.
    pub own_user: String,
}

/// How long the apiserver waits, in seconds; every limit of the server is below it.
const TIMEOUT: i32 = 5;
/// No warning is worth a longer wait.
const DELETE_TIMEOUT: i32 = 2;
const PORT: i32 = 443;

impl PublishedWebhook {
    /// Fills in what the schema cannot. Without it the schema's defaults and the validation still
    /// stand, so its failure is ignored.
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
                reinvocation_policy: Some("Never".to_owned()),
                rules: Some(vec![rule(&["CREATE", "UPDATE"])]),
                side_effects: "None".to_owned(),
                timeout_seconds: Some(TIMEOUT),
            }]),
        }
    }

    /// Refuses what breaks a rule; without an answer nothing is let in. Warns of a deletion that
    /// will wait; without an answer it goes on.
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
            rules: Some(vec![rule(&["CREATE", "UPDATE"])]),
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
        let mut labels = labels();
        // AKS would add selectors of its own and have them added again for ever
        // (https://learn.microsoft.com/azure/aks/faq, admission controllers).
        labels.insert("admissions.enforcer/disabled".to_owned(), "true".to_owned());
        ObjectMeta {
            name: Some(CONFIGURATION.to_owned()),
            labels: Some(labels),
            owner_references: Some(vec![OwnerReference {
                api_version: "apiextensions.k8s.io/v1".to_owned(),
                kind: "CustomResourceDefinition".to_owned(),
                name: crd::NAME.to_owned(),
                uid: self.definition_uid.clone(),
                block_owner_deletion: None,
                controller: None,
            }]),
            ..ObjectMeta::default()
        }
    }

    fn client_config(&self, webhook: WebhookKind) -> WebhookClientConfig {
        let path = webhook.path();
        let (service, url) = match &self.reached {
            WebhookAddress::Service { namespace } => {
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

    /// A webhook that is down must never hold up our own writes, finalizers included, or a
    /// deletion. An error in a condition counts as a refusal, so both hold for every object.
    fn match_conditions(&self) -> Vec<MatchCondition> {
        vec![
            self.not_by_us(),
            condition(
                "not-being-deleted",
                "object == null || !has(object.metadata) || !has(object.metadata.deletionTimestamp)",
            ),
        ]
    }

    /// There is no new object. Only where there is something to warn of does a deletion come to us
    /// at all.
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

/// The labels of what belongs to the webhook.
pub(super) fn labels() -> BTreeMap<String, String> {
    let all = [("name", "nats-manager"), ("component", "webhook"), ("part-of", "nats-manager")];
    all.map(|(key, value)| (format!("app.kubernetes.io/{key}"), value.to_owned())).into()
}

/// Specs only: status is written by the manager alone.
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
