//! Resource limits and requests.

use nats_manager_api::rules::ViolationClass::{Invalid, Policy};

use crate::facts::{Facts, accepts, rejects, warns};

#[test]
fn rejects_invalid_resources() {
    let requests = |name: &str| format!("spec.resources.requests.{name}");
    let limits = |name: &str| format!("spec.resources.limits.{name}");
    let with = |resources: &str| format!("{{resources: {resources}}}");
    accepts("nothing", &with("{}"));
    accepts("in part", &with("{limits: {cpu: 20m}}"));
    accepts("numbers", &with("{limits: {cpu: 2, memory: 4294967296}, requests: {cpu: 1}}"));
    accepts("a request as large as the limit", &with("{limits: {cpu: 1}, requests: {cpu: 1000m}}"));
    accepts("another native resource", &with("{limits: {ephemeral-storage: 1Gi}}"));
    accepts("an extended resource", &with("{limits: {example.com/gpu: 1}, requests: {example.com/gpu: 1}}"));
    accepts("huge pages", &with("{limits: {hugepages-2Mi: 4Mi}, requests: {hugepages-2Mi: 4Mi}}"));
    for (case, resources, field, message, class) in [
        (
            "above",
            "{limits: {cpu: 1}, requests: {cpu: 1001m}}",
            requests("cpu"),
            "must not be more than the limit 1",
            Invalid,
        ),
        ("negative limit", "{limits: {cpu: '-1'}}", limits("cpu"), "must not be negative", Invalid),
        ("negative request", "{requests: {memory: '-1'}}", requests("memory"), "must not be negative", Invalid),
        ("unreadable", "{limits: {memory: 1GB}}", limits("memory"), "must be a quantity", Invalid),
        ("a fraction", "{requests: {memory: 500m}}", requests("memory"), "must be a whole number of bytes", Policy),
        ("unknown", "{limits: {disk: 1}}", limits("disk"), "is no resource of a container", Invalid),
        (
            "of Kubernetes",
            "{limits: {kubernetes.io/x: 1}}",
            limits("kubernetes.io/x"),
            "is no resource of a container",
            Invalid,
        ),
        ("of a quota", "{limits: {requests.cpu: 1}}", limits("requests.cpu"), "is no resource of a container", Invalid),
        (
            "part of a page",
            "{limits: {hugepages-2Mi: 3Mi}}",
            limits("hugepages-2Mi"),
            "must be a multiple of 2Mi",
            Invalid,
        ),
        ("no page", "{limits: {hugepages-x: 3Mi}}", limits("hugepages-x"), "is no resource of a container", Invalid),
        ("part of a device", "{limits: {a.com/b: '0.5'}}", limits("a.com/b"), "must be a whole number", Invalid),
        (
            "overcommitted",
            "{limits: {a.com/b: 2}, requests: {a.com/b: 1}}",
            requests("a.com/b"),
            "must equal the limit 2",
            Invalid,
        ),
        ("without a limit", "{requests: {a.com/b: 1}}", requests("a.com/b"), "needs a limit", Invalid),
        (
            "claims",
            "{claims: [{name: a}]}",
            "spec.resources.claims".to_owned(),
            "the Pods have no resourceClaims",
            Invalid,
        ),
    ] {
        rejects(case, &with(resources), &field, message, class);
    }
}

#[test]
fn small_and_missing_limits_cause_warning() {
    let with = |limits: &str| format!("{{jetStream: {{memStorage: {{size: 8Mi}}}}, resources: {{limits: {limits}}}}}");
    for (limits, field, message) in [
        ("{memory: '0'}", "memory", "0 means no limit: a server can take all memory of its node"),
        ("{memory: 32Mi}", "memory", "32Mi is unusually little: the server may be killed under load"),
        ("{cpu: 15m}", "cpu", "15m is unusually little: the server starts and responds slowly"),
    ] {
        warns(limits, &with(limits), &format!("spec.resources.limits.{field}"), message);
    }
    Facts::none().reports_nothing("no CPU limit", "{resources: {limits: {cpu: 0}, requests: {cpu: 4}}}");
    let request = "{resources: {limits: {cpu: 10m}, requests: {cpu: 20m}}}";
    let message = "must not be more than the limit 10m";
    rejects("another limit", request, "spec.resources.requests.cpu", message, Invalid);
}
