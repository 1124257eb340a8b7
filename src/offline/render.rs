//! `nats-manager render`: the objects of a NATS resource, without a cluster.

use std::fmt::Write;

use k8s_openapi::api::core::v1::Secret;
use nats_manager_api::{ClusterDomain, Nats, Spread, resolve, rules::ClusterFacts};
use serde::Serialize;

use super::{
    DEFAULT_NAMESPACE,
    report::{Finding, Severity, ValidationReport},
    resource,
};
use crate::{
    controller::resources::{Children, SystemAccount, build, fresh_plan},
    settings::Images,
};

/// Placeholder for the uid of a resource that was never stored.
const UID: &str = "00000000-0000-0000-0000-000000000000";

/// Result of rendering some input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Objects of every resource that can be deployed.
    pub yaml: String,
    /// Findings. With an error among them, the YAML is incomplete.
    pub report: ValidationReport,
}

/// Renders the objects of every NATS resource in some YAML. The output is deterministic and contains no secret.
pub fn render(input: &str, images: &Images, domain: &ClusterDomain) -> Rendered {
    let facts = ClusterFacts { domain: domain.clone(), ..ClusterFacts::default() };
    let resource::ReadResources { resources, report } = resource::read(input);
    let mut rendered = Rendered { yaml: String::new(), report };
    for (subject, mut nats) in resources {
        nats.metadata.namespace.get_or_insert_with(|| DEFAULT_NAMESPACE.to_owned());
        nats.metadata.uid = Some(UID.to_owned());
        match resolve(&nats, &facts, Spread::Soft) {
            Ok(cluster) => {
                let children = build(&cluster, &fresh_plan(&cluster), images, &SystemAccount::with_password(""));
                write_children(&mut rendered.yaml, &nats, &children);
            }
            Err(invalid) => {
                rendered.report.findings.extend(invalid.0.iter().map(|violation| Finding {
                    severity: Severity::Error,
                    subject: subject.clone(),
                    message: violation.to_string(),
                }));
            }
        }
    }
    rendered
}

/// Writes the objects in the order of importance for readers.
fn write_children(text: &mut String, nats: &Nats, children: &Children) {
    let Children { secret, config_map, service, network_policy, stateful_set, pod_disruption_budget, destination_rule } =
        children;
    let name = nats.metadata.name.as_deref().unwrap_or_default();
    let namespace = nats.metadata.namespace.as_deref().unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "# The objects of NATS {namespace}/{name}, as far as the spec determines them without a cluster:\n\
         # the uid and the hashes are not the real ones; a volume whose size is not set has 1Gi (20Gi on alicloud);\n\
         # the topology spread is hard for a cluster that is made where nodes are in three zones.\n"
    );
    write_object(text, "", config_map);
    // With its data, an applied copy would give NATS a well-known password.
    let secret = Secret { data: None, ..secret.clone() };
    write_object(
        text,
        "# Its key resolver.conf (account $SYS, user admin, password <60 random letters and digits>) is made in the cluster.\n",
        &secret,
    );
    write_object(text, "", service);
    if let Some(policy) = network_policy {
        write_object(text, "", policy);
    }
    write_object(text, "", stateful_set);
    write_object(text, "", pod_disruption_budget);
    write_object(text, "# Only where Istio is installed.\n", destination_rule);
}

fn write_object(text: &mut String, comment: &str, object: &impl Serialize) {
    text.push_str("---\n");
    text.push_str(comment);
    // Objects with text keys only always have a YAML form.
    let _ = serde_saphyr::to_fmt_writer(text, object);
}
