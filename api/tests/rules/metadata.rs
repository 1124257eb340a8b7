//! Labels and annotations of the user.

use nats_manager_api::rules::ViolationClass::{Invalid, Policy};

use crate::facts::{accepts, rejects};

#[test]
fn rejects_invalid_and_reserved_labels_and_annotations() {
    let label = |key: &str, value: &str| format!("{{labels: {{'{key}': '{value}'}}}}");
    let annotation = |key: &str, value: &str| format!("{{annotations: {{'{key}': '{value}'}}}}");
    accepts("a label", &label("example.com/a", "b"));
    accepts("a label without a value", &label("a", ""));
    accepts("an annotation of any text", &annotation("a", "any text: {}"));
    accepts("an annotation in capitals", &annotation("EXAMPLE.com/A", ""));
    rejects(
        "a domain in capitals",
        &label("EXAMPLE.com/a", ""),
        "spec.labels[EXAMPLE.com/a]",
        "must be a name",
        Invalid,
    );
    rejects("no name", &label("a b", ""), "spec.labels[a b]", "must be a name", Invalid);
    rejects("no value", &label("a", "-b"), "spec.labels[a]", "must be at most 63", Invalid);
    rejects("a long value", &label("a", &"b".repeat(64)), "spec.labels[a]", "must be at most 63", Invalid);
    rejects("no annotation", &annotation("a/b/c", ""), "spec.annotations[a/b/c]", "must be a name", Invalid);
    for own in ["app.kubernetes.io/instance", "kyma-project.io/dashboard", "helm.sh/chart", "nats_cluster"] {
        rejects(own, &label(own, "x"), &format!("spec.labels[{own}]"), "is set by NATS Manager itself", Policy);
    }
    for own in ["prometheus.io/port", "sidecar.istio.io/inject", "nats.operator.kyma-project.io/config-hash"] {
        rejects(
            own,
            &annotation(own, "x"),
            &format!("spec.annotations[{own}]"),
            "is set by NATS Manager itself",
            Policy,
        );
    }
    let large = annotation("a", &"x".repeat(256 * 1024));
    let message = "labels and annotations must be at most 258048 bytes together";
    rejects("too much", &large, "spec.annotations", message, Invalid);
}

#[test]
fn labels_and_annotations_share_one_budget() {
    let entries = |count: usize| -> String {
        let domain = "a".repeat(60);
        (0..count).fold(String::new(), |all, index| all + &format!("'{domain}.example.com/{index}': '1',"))
    };
    let both = |labels: usize| format!("{{labels: {{{}}}, annotations: {{{}}}}}", entries(labels), entries(999));
    accepts("within the budget", &both(999));
    let large = format!("{{labels: {{{}}}, annotations: {{a: '{}'}}}}", entries(999), "x".repeat(200_000));
    let message = "labels and annotations must be at most 258048 bytes together";
    rejects("too much together", &large, "spec.annotations", message, Invalid);
}
