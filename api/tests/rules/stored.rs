//! Changes of resources that are stored with violations.

use nats_manager_api::resource::message;

use crate::facts::{MEMORY_SIZE, rejects_change, tolerates};

#[test]
fn stored_violations_become_warnings() {
    let broken = "cluster: {size: 4}, labels: {nats_cluster: mine}, jetStream: {memStorage: {size: 0}},
        resources: {limits: {cpu: 1}, requests: {cpu: 2}}";
    let warnings =
        tolerates("edited elsewhere", &format!("{{{broken}}}"), &format!("{{{broken}, annotations: {{a: b}}}}"));
    assert_eq!(
        warnings,
        [
            "spec.cluster.size: size only accepts odd numbers",
            "spec.jetStream.memStorage: can only be enabled if size is not 0",
            "spec.resources.requests.cpu: must not be more than the limit 1",
            "spec.labels[nats_cluster]: is set by NATS Manager itself; remove it",
        ]
    );
    assert_eq!(tolerates("corrected", "{cluster: {size: 4}}", "{cluster: {size: 5}}"), [""; 0]);
    rejects_change(
        "a new mistake beside an old one",
        "{cluster: {size: 4}}",
        "{cluster: {size: 4}, labels: {a: b c}}",
        "spec.labels[a]",
        "must be",
    );
    rejects_change(
        "another mistake of the same kind",
        "{cluster: {size: 4}}",
        "{cluster: {size: 6}}",
        "spec.cluster.size",
        message::ODD_SIZE,
    );
}

/// Clients with Go types, such as those of the predecessor, read and write quantities in their canonical notation.
#[test]
fn stored_violation_in_another_notation_becomes_warning() {
    for (old, new, warning) in [
        (
            "{jetStream: {memStorage: {size: 2048Mi}}}",
            "{jetStream: {memStorage: {size: 2Gi}}}",
            "spec.jetStream.memStorage.size: must not be more than the memory limit 1Gi in \
             spec.resources.limits.memory",
        ),
        (
            "{resources: {limits: {cpu: 1000m}, requests: {cpu: 2000m}}}",
            "{resources: {limits: {cpu: '1'}, requests: {cpu: '2'}}}",
            "spec.resources.requests.cpu: must not be more than the limit 1",
        ),
    ] {
        assert_eq!(tolerates("respelled", old, new), [warning]);
    }
}

#[test]
fn changed_violation_is_rejected() {
    let long = "b".repeat(200);
    for (case, old, new, field) in [
        (
            "a reserved label",
            "{labels: {nats_cluster: a}}",
            "{labels: {nats_cluster: b}}".to_owned(),
            "spec.labels[nats_cluster]",
        ),
        (
            "claims",
            "{resources: {claims: [{name: a}]}}",
            "{resources: {claims: [{name: a}, {name: b}]}}".to_owned(),
            "spec.resources.claims",
        ),
        (
            "too long to repeat",
            &format!("{{labels: {{a: {long}}}}}"),
            format!("{{labels: {{a: {long}c}}}}"),
            "spec.labels[a]",
        ),
        (
            "a limit lowered further",
            "{resources: {limits: {memory: 512Mi}}}",
            "{resources: {limits: {memory: 256Mi}}}".to_owned(),
            MEMORY_SIZE,
        ),
    ] {
        rejects_change(case, old, &new, field, "");
        assert_eq!(tolerates(case, old, old).len(), 1, "{case}");
    }
}
