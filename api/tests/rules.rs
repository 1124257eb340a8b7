//! The rules among their surroundings. What a spec alone decides is in `cases.yaml` too, where the
//! CEL of the CRD is asked as well.
#![allow(clippy::unwrap_used, clippy::panic, reason = "the functions that the tests share are tests too")]

use nats_manager_api::{
    Bytes, Deployed, FileStore, NamespacedName, NatsSpec, Provider, Spread,
    resource::message,
    rules::{self, Class, Findings, StorageClasses, Surroundings},
};

use serde_json::{Map, Value, json};

use Class::{Policy, Undeployable};

const IMMUTABLE: &str = "fileStorage is immutable once it was set";
const FILE_SIZE: &str = "spec.jetStream.fileStorage.size";
const MEMORY_SIZE: &str = "spec.jetStream.memStorage.size";

fn spec(yaml: &str) -> NatsSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

/// Only a size of the file store.
fn sized(size: &str) -> String {
    format!("{{jetStream: {{fileStorage: {{size: {size}}}}}}}")
}

fn accepts(what: &str, spec: &str) {
    Among::nothing().accepts(what, spec);
}

fn rejects(what: &str, spec: &str, field: &str, message: &str, class: Class) {
    Among::nothing().rejects(what, spec, field, message, class);
}

fn warns(what: &str, spec: &str, field: &str, message: &str) {
    Among::nothing().warns(what, spec, field, message);
}

fn accepts_change(what: &str, old: &str, new: &str) {
    Among::nothing().accepts_change(what, old, new);
}

fn rejects_change(what: &str, old: &str, new: &str, field: &str, message: &str) {
    Among::nothing().rejects_change(what, old, new, field, message);
}

/// Inherited findings, in one line each, where the change itself is accepted.
fn tolerates(what: &str, old: &str, new: &str) -> Vec<String> {
    let findings = rules::check_update(&spec(old), &spec(new), &Surroundings::default());
    assert_eq!(findings.violations, [], "{what}");
    findings.warnings.iter().map(ToString::to_string).collect()
}

struct Among(Surroundings);

impl Among {
    fn nothing() -> Self {
        Self(Surroundings::default())
    }

    fn alicloud() -> Self {
        Self(Surroundings { provider: Provider::AliCloud, ..Surroundings::default() })
    }

    /// Volumes of so many GiB.
    fn volumes(gibi: u64) -> Self {
        Self::deployed(FileStore::Volume { size: Bytes::gibi(gibi), class: None })
    }

    fn deployed(file_store: FileStore) -> Self {
        let deployed = Deployed {
            size: 3,
            file_store,
            spread: Spread::Soft,
            memory_store: None,
            restarted_for_memory_store: None,
        };
        Self(Surroundings { deployed: Some(deployed), ..Surroundings::default() })
    }

    fn zones(zones: usize) -> Self {
        Self(Surroundings { zones: Some(zones), ..Surroundings::default() })
    }

    fn classes(names: &[&str], default: Option<&str>) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let classes = StorageClasses { names, default: default.map(str::to_owned) };
        Self(Surroundings { storage_classes: Some(classes), ..Surroundings::default() })
    }

    fn check(&self, new: &str) -> Findings {
        rules::check(&spec(new), &self.0)
    }

    fn change(&self, old: &str, new: &str) -> Findings {
        rules::check_update(&spec(old), &spec(new), &self.0)
    }

    fn accepts(&self, what: &str, new: &str) {
        assert_eq!(self.check(new).violations, [], "{what}");
    }

    fn rejects(&self, what: &str, new: &str, field: &str, message: &str, class: Class) {
        let violation = only(what, self.check(new));
        assert_eq!((violation.0.as_str(), violation.2), (field, class), "{what}");
        assert!(violation.1.starts_with(message), "{what}: {}", violation.1);
    }

    fn accepts_change(&self, what: &str, old: &str, new: &str) {
        assert_eq!(self.change(old, new).violations, [], "{what}");
    }

    fn rejects_change(&self, what: &str, old: &str, new: &str, field: &str, message: &str) {
        let violation = only(what, self.change(old, new));
        assert_eq!(violation.0, field, "{what}");
        assert!(violation.1.starts_with(message), "{what}: {}", violation.1);
    }

    /// The warning is one of those given; it is no reason to refuse.
    fn warns(&self, what: &str, new: &str, field: &str, message: &str) {
        let findings = self.check(new);
        assert_eq!(findings.violations, [], "{what}");
        let says_so = findings.warnings.iter().any(|it| it.field == field && it.message.contains(message));
        assert!(says_so, "{what}: {:?}", findings.warnings);
    }

    fn is_silent(&self, what: &str, new: &str) {
        assert_eq!(self.check(new), Findings::default(), "{what}");
    }
}

fn only(what: &str, findings: Findings) -> (String, String, Class) {
    let count = findings.violations.len();
    match <[_; 1]>::try_from(findings.violations) {
        Ok([violation]) => (violation.field, violation.message, violation.class),
        Err(all) => panic!("{what}: {count} violations: {all:?}"),
    }
}

#[test]
fn the_default_resource_gives_no_warning() {
    let mut healthy = Among::classes(&["standard"], Some("standard"));
    healthy.0.zones = Some(3);
    let sample = "{cluster: {size: 3}, jetStream: {memStorage: {enabled: true, size: 1Gi},
        fileStorage: {storageClassName: default, size: 1Gi}}, logging: {debug: false, trace: false},
        resources: {limits: {cpu: 500m, memory: 1Gi}, requests: {cpu: 40m, memory: 64Mi}}}";
    for spec in ["{}", "{resources: {}}", sample] {
        healthy.is_silent(spec, spec);
        Among::nothing().is_silent(spec, spec);
    }
}

#[test]
fn the_number_of_servers() {
    for size in [1, 3, 5, 99] {
        accepts("an odd size", &format!("{{cluster: {{size: {size}}}}}"));
    }
    let size = "spec.cluster.size";
    rejects("an even size", "{cluster: {size: 4}}", size, "size only accepts odd numbers", Policy);
    rejects("a negative size", "{cluster: {size: -1}}", size, "should be greater than or equal to 1", Undeployable);
    rejects("a size beyond reason", "{cluster: {size: 101}}", size, "should be less than or equal to 99", Undeployable);
    rejects_change("3 to 1", "{}", "{cluster: {size: 1}}", size, "cannot be set to 1 if size was greater than 1");
    rejects_change("4 to 1", "{cluster: {size: 4}}", "{cluster: {size: 1}}", size, message::NOT_BACK_TO_ONE);
    accepts_change("5 to 3", "{cluster: {size: 5}}", "{}");
    accepts_change("1 to 1", "{cluster: {size: 1}}", "{cluster: {size: 1}}");
    accepts_change("0, whoever stored it, to 1", "{cluster: {size: 0}}", "{cluster: {size: 1}}");
    warns("a single server", "{cluster: {size: 1}}", size, "no redundancy");
}

#[test]
fn zones() {
    let size = "spec.cluster.size";
    Among::zones(2).warns("three servers in two zones", "{}", size, "nodes in 2 availability zones, 3 are recommended");
    Among::zones(1).warns("five servers in one zone", "{cluster: {size: 5}}", size, "3 are recommended");
    Among::zones(3).is_silent("three servers in three zones", "{}");
    Among::zones(3).is_silent("five servers in three zones", "{cluster: {size: 5}}");
    let one_server = Among::zones(1).check("{cluster: {size: 1}}").warnings;
    assert_eq!(one_server.len(), 1, "redundancy, not zones: {one_server:?}");
}

#[test]
fn logging() {
    warns("debug", "{logging: {debug: true}}", "spec.logging.debug", "logs much");
    warns("trace", "{logging: {trace: true}}", "spec.logging.trace", "logs every message");
}

#[test]
fn the_memory_store() {
    let memory = |storage: &str, limit: &str| {
        format!("{{jetStream: {{memStorage: {storage}}}, resources: {{limits: {{memory: {limit}}}}}}}")
    };
    let at = "spec.jetStream.memStorage";
    for empty in ["{size: '0'}", "{size: 0}", "{size: 0Gi}", "{enabled: true, size: '0.0'}"] {
        rejects(empty, &memory(empty, "1Gi"), at, "can only be enabled if size is not 0", Policy);
    }
    accepts("off and empty", "{jetStream: {memStorage: {enabled: false, size: '0'}}}");
    accepts("off, however large", "{jetStream: {memStorage: {enabled: false, size: 99Gi}}}");
    let off = "{jetStream: {memStorage: {enabled: false, size: '-1'}}}";
    rejects("off, of less than nothing", off, MEMORY_SIZE, "must not be negative", Policy);
    rejects("negative", &memory("{size: '-1'}", "1Gi"), MEMORY_SIZE, "must not be negative", Undeployable);
    rejects("unreadable", &memory("{size: much}", "1Gi"), MEMORY_SIZE, "must be a quantity", Undeployable);
    rejects("a fraction", &memory("{size: '0.1Gi'}", "1Gi"), MEMORY_SIZE, "must be a whole number of bytes", Policy);
    let too_large = "must not be more than the memory limit 512Mi in spec.resources.limits.memory";
    rejects("the default above a small limit", &memory("{}", "512Mi"), MEMORY_SIZE, too_large, Policy);
    accepts("as large as the limit", &memory("{size: 2Gi}", "2Gi"));
    accepts("as a number", &memory("{size: 1048576}", "2097152"));
    warns("above 80 %", &memory("{size: 820Mi}", "1Gi"), MEMORY_SIZE, "820Mi is above 80% of the memory limit 1Gi");
    warns("as large as a limit of one's own", &memory("{size: 2Gi}", "2Gi"), MEMORY_SIZE, "is above 80%");
    Among::nothing().is_silent("below 80 %", &memory("{size: 800Mi}", "1Gi"));
    Among::nothing().is_silent("both are the defaults", &memory("{size: 1Gi}", "1Gi"));
    let with_request = "{jetStream: {memStorage: {size: 2Gi}}, resources: {requests: {memory: 4Gi}}}";
    Among::nothing().is_silent("the limit follows the request", with_request);
}

#[test]
fn the_file_store() {
    for not_set in ["'0'", "0", "0Gi", "'0.0'", "'-0'"] {
        accepts(not_set, &sized(not_set));
        Among::alicloud().accepts(not_set, &sized(not_set));
        Among::volumes(5).accepts(not_set, &sized(not_set));
    }
    rejects("negative", &sized("'-1Gi'"), FILE_SIZE, "must not be negative", Undeployable);
    rejects("unreadable", &sized("big"), FILE_SIZE, "must be a quantity", Undeployable);
    rejects("a fraction", &sized("1500m"), FILE_SIZE, "must be a whole number of bytes", Policy);
    accepts("unreadable, but off", "{jetStream: {fileStorage: {enabled: false, size: big}}}");
    let off = "{jetStream: {fileStorage: {enabled: false}}}";
    warns("memory only", off, "spec.jetStream.fileStorage", "do not outlive the pods");
    let both_off = "{jetStream: {fileStorage: {enabled: false}, memStorage: {enabled: false}}}";
    let no_store = "at least one of fileStorage and memStorage must be enabled";
    rejects("no store", both_off, "spec.jetStream", no_store, Undeployable);
}

#[test]
fn alicloud_has_a_minimum() {
    let minimum = "spec.jetStream.fileStorage.size 1Gi is below the minimum required size of 20Gi for alicloud";
    Among::alicloud().rejects("too small", &sized("1Gi"), FILE_SIZE, minimum, Undeployable);
    Among::alicloud().accepts("just enough", &sized("20Gi"));
    Among::alicloud().accepts("just enough, in other units", &sized("20480Mi"));
    Among::alicloud().accepts("the provider's default", "{}");
    accepts("elsewhere", &sized("1Gi"));
    let mut deployed = Among::volumes(20);
    deployed.0.provider = Provider::AliCloud;
    deployed.rejects("too small, but deployed with more", &sized("1Gi"), FILE_SIZE, minimum, Policy);
    Among::alicloud().accepts_change("left as it was stored", &sized("1Gi"), &sized("1Gi"));
}

#[test]
fn the_file_store_is_immutable() {
    let with = |storage: &str| format!("{{jetStream: {{fileStorage: {storage}}}}}");
    let at = |field: &str| format!("spec.jetStream.fileStorage.{field}");
    rejects_change("larger", &sized("1Gi"), &sized("2Gi"), FILE_SIZE, IMMUTABLE);
    rejects_change("smaller", &sized("2Gi"), &sized("1Gi"), FILE_SIZE, IMMUTABLE);
    rejects_change("dropped", &sized("2Gi"), "{}", FILE_SIZE, IMMUTABLE);
    rejects_change("set to 0", &sized("2Gi"), &sized("'0'"), FILE_SIZE, IMMUTABLE);
    rejects_change("turned off", "{}", &with("{enabled: false}"), &at("enabled"), IMMUTABLE);
    rejects_change("turned on", &with("{enabled: false}"), "{}", &at("enabled"), IMMUTABLE);
    rejects_change("another class", "{}", &with("{storageClassName: b}"), &at("storageClassName"), IMMUTABLE);
    accepts_change("the same value", &sized("2Gi"), &sized("2048Mi"));
    accepts_change("the same value as a number", &sized("1Ki"), &sized("1024"));
    accepts_change("mended, where it was unreadable", &sized("big"), &sized("2Gi"));
    let all = Among::nothing().change(&sized("1Gi"), &with("{enabled: false, storageClassName: b, size: 2Gi}"));
    assert_eq!(all.violations.len(), 3, "{:?}", all.violations);
}

#[test]
fn zero_means_not_set() {
    let (zero, two, other_zero) = (&sized("'0'"), &sized("2Gi"), &sized("0Gi"));
    for not_set in [zero, other_zero, "{}"] {
        accepts_change("nothing is deployed yet", not_set, two);
        Among::volumes(2).accepts_change("to what is deployed", not_set, two);
        Among::volumes(2).accepts_change("to what is deployed, in other units", not_set, &sized("2048Mi"));
        Among::volumes(1).rejects_change("to something else", not_set, two, FILE_SIZE, IMMUTABLE);
        for still_not_set in [zero, other_zero, "{}"] {
            Among::volumes(2).accepts_change("to another way of not saying it", not_set, still_not_set);
            accepts_change("to another way of not saying it", not_set, still_not_set);
        }
        let memory_only = Among::deployed(FileStore::MemoryOnly);
        memory_only.accepts_change("there are no volumes", not_set, two);
    }
    // Dropping it and setting it again goes no way round the rule.
    Among::volumes(2).rejects_change("dropped", two, "{}", FILE_SIZE, IMMUTABLE);
    Among::volumes(2).rejects_change("set again", "{}", &sized("3Gi"), FILE_SIZE, IMMUTABLE);
    Among::volumes(2).accepts_change("set again to what it was", "{}", two);
    // What the spec says, but nobody deployed, may be brought to what is.
    Among::volumes(2).accepts_change("to the truth", &sized("7Gi"), two);
    Among::volumes(2).accepts_change("left alone", &sized("7Gi"), &sized("7Gi"));
}

#[test]
fn storage_classes() {
    let class = "spec.jetStream.fileStorage.storageClassName";
    let named = |name: &str| format!("{{jetStream: {{fileStorage: {{storageClassName: {name}}}}}}}");
    Among::classes(&["a"], None).warns("no default class", "{}", class, "has no default StorageClass");
    Among::classes(&["a"], None).warns(
        "no default class, by no name",
        &named("''"),
        class,
        "has no default StorageClass",
    );
    Among::classes(&["a"], Some("a")).warns("not found", &named("b"), class, "StorageClass b not found");
    Among::classes(&["a", "b"], None).is_silent("found", &named("b"));
    let no_volumes = Among::classes(&[], None).check("{jetStream: {fileStorage: {enabled: false}}}").warnings;
    assert!(no_volumes.iter().all(|warning| warning.field != class), "{no_volumes:?}");
    rejects("no name", &named("A_B"), class, "must be the name of a StorageClass", Undeployable);
    Among::volumes(1).rejects(
        "no name, but deployed",
        &named("A_B"),
        class,
        "must be the name of a StorageClass",
        Policy,
    );
}

#[test]
fn cpu_and_memory() {
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
    for (what, resources, field, message, class) in [
        (
            "above",
            "{limits: {cpu: 1}, requests: {cpu: 1001m}}",
            requests("cpu"),
            "must not be more than the limit 1",
            Undeployable,
        ),
        ("negative limit", "{limits: {cpu: '-1'}}", limits("cpu"), "must not be negative", Undeployable),
        ("negative request", "{requests: {memory: '-1'}}", requests("memory"), "must not be negative", Undeployable),
        ("unreadable", "{limits: {memory: 1GB}}", limits("memory"), "must be a quantity", Undeployable),
        ("a fraction", "{requests: {memory: 500m}}", requests("memory"), "must be a whole number of bytes", Policy),
        ("unknown", "{limits: {disk: 1}}", limits("disk"), "is no resource of a container", Undeployable),
        (
            "of Kubernetes",
            "{limits: {kubernetes.io/x: 1}}",
            limits("kubernetes.io/x"),
            "is no resource of a container",
            Undeployable,
        ),
        (
            "of a quota",
            "{limits: {requests.cpu: 1}}",
            limits("requests.cpu"),
            "is no resource of a container",
            Undeployable,
        ),
        (
            "part of a page",
            "{limits: {hugepages-2Mi: 3Mi}}",
            limits("hugepages-2Mi"),
            "must be a multiple of 2Mi",
            Undeployable,
        ),
        (
            "no page",
            "{limits: {hugepages-x: 3Mi}}",
            limits("hugepages-x"),
            "is no resource of a container",
            Undeployable,
        ),
        ("part of a device", "{limits: {a.com/b: '0.5'}}", limits("a.com/b"), "must be a whole number", Undeployable),
        (
            "overcommitted",
            "{limits: {a.com/b: 2}, requests: {a.com/b: 1}}",
            requests("a.com/b"),
            "must equal the limit 2",
            Undeployable,
        ),
        ("without a limit", "{requests: {a.com/b: 1}}", requests("a.com/b"), "needs a limit", Undeployable),
        (
            "claims",
            "{claims: [{name: a}]}",
            "spec.resources.claims".to_owned(),
            "the pods have no resource claims",
            Undeployable,
        ),
    ] {
        rejects(what, &with(resources), &field, message, class);
    }
}

#[test]
fn labels_and_annotations() {
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
        Undeployable,
    );
    rejects("no name", &label("a b", ""), "spec.labels[a b]", "must be a name", Undeployable);
    rejects("no value", &label("a", "-b"), "spec.labels[a]", "must be at most 63", Undeployable);
    rejects("a long value", &label("a", &"b".repeat(64)), "spec.labels[a]", "must be at most 63", Undeployable);
    rejects("no annotation", &annotation("a/b/c", ""), "spec.annotations[a/b/c]", "must be a name", Undeployable);
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
    rejects("too much", &large, "spec.annotations", "must be at most", Undeployable);
}

#[test]
fn the_single_resource() {
    let allowed = NamespacedName::new("kyma-system", "eventing-nats");
    assert_eq!(
        rules::forbidden_message(&allowed),
        "Only a single NATS CR with name: eventing-nats and namespace: kyma-system is allowed to be created in a Kyma cluster."
    );
}

#[test]
fn what_was_stored_broken_stays_editable() {
    let broken = "cluster: {size: 4}, labels: {nats_cluster: mine}, jetStream: {memStorage: {size: '0'}},
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
    assert_eq!(tolerates("mended", "{cluster: {size: 4}}", "{cluster: {size: 5}}"), [""; 0]);
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

#[test]
fn a_mistake_that_changed_is_a_new_one() {
    let long = "b".repeat(200);
    for (what, old, new, field) in [
        (
            "a label of ours",
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
        rejects_change(what, old, &new, field, "");
        assert_eq!(tolerates(what, old, old).len(), 1, "{what}");
    }
}

#[test]
fn a_refusal_reads_as_those_of_the_apiserver() {
    let words = |spec: &str| Among::nothing().check(spec).violations[0].to_string();
    assert_eq!(words("{cluster: {size: 4}}"), "spec.cluster.size: Invalid value: 4: size only accepts odd numbers");
    assert!(words("{labels: {a: b c}}").starts_with(r#"spec.labels[a]: Invalid value: "b c": must be"#));
    assert!(words("{resources: {claims: [{name: a}]}}").starts_with("spec.resources.claims: Forbidden: the pods"));
    let long = words(&format!("{{labels: {{a: {}}}}}", "b".repeat(200)));
    assert!(long.starts_with("spec.labels[a]: Invalid value: must be"), "{long}");
}

#[test]
fn nothing_is_too_absurd_for_an_answer() {
    let long = "9".repeat(100_000);
    let quantities = [
        "1e400",
        "-1e400",
        "1e-400",
        "1e2147483647",
        "99999999999999999999",
        "1e",
        "",
        "٣",
        "0x1",
        "NaN",
        "1\0",
        &long,
    ];
    let mut specs = vec![json!({"cluster": {"size": i64::MIN}}), json!({"cluster": {"size": i64::MAX}})];
    for text in quantities {
        specs.extend([
            json!({"jetStream": {"memStorage": {"size": text}}}),
            json!({"jetStream": {"fileStorage": {"size": text, "storageClassName": text}}}),
            json!({"resources": {"limits": {"memory": text, "cpu": text, text: 1}}}),
            json!({"resources": {"requests": {"memory": text, format!("hugepages-{text}"): i64::MAX}}}),
            json!({"labels": {text: text}, "annotations": {text: text}}),
        ]);
    }
    let many: Map<String, Value> = (0..100_000).map(|i| (format!("!{i}"), json!("1"))).collect();
    specs.extend([json!({"labels": many}), json!({"annotations": many}), json!({"resources": {"limits": many}})]);
    let specs: Vec<NatsSpec> = specs.into_iter().map(|spec| serde_json::from_value(spec).unwrap()).collect();
    for (old, new) in specs.iter().zip(specs.iter().skip(1)) {
        for Among(surroundings) in [Among::nothing(), Among::alicloud(), Among::volumes(u64::MAX >> 30)] {
            let findings = rules::check_update(old, new, &surroundings);
            assert!(findings.violations.len() < 10, "{}", findings.violations.len());
            for violation in &findings.violations {
                assert!(violation.to_string().len() < 600, "{}", violation.field);
            }
        }
    }
}
