//! The checks of modulectl, which builds the Kyma module, and of the Kyma lifecycle manager, which installs it.
//!
//! Sources: <https://github.com/kyma-project/modulectl> (`internal/service/moduleconfig/reader`,
//! `internal/common/validation`, `internal/service/verifier`, `internal/service/image`).

use std::collections::BTreeSet;

use nats_manager_planner::Version;
use serde_json::{Value, json};

use super::{kustomize, of_kind, path, read};

/// Fields of modulectl's `ModuleConfig`. modulectl ignores others, which are mistakes here.
const FIELDS: [&str; 18] = [
    "annotations",
    "associatedResources",
    "beta",
    "defaultCR",
    "documentation",
    "icons",
    "internal",
    "labels",
    "manager",
    "manifest",
    "name",
    "repository",
    "requiresDowntime",
    "resources",
    "security",
    "securityScanEnabled",
    "team",
    "version",
];

const REGISTRY: &str = "europe-docker.pkg.dev/kyma-project";

/// Returns the mistakes for which modulectl rejects a module configuration, and fields that it does not know.
fn mistakes(module: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |is_valid: bool, mistake: &str| {
        if !is_valid {
            found.push(mistake.to_owned());
        }
    };
    let text = |field: &str| module[field].as_str().unwrap_or_default();
    for field in module.as_object().unwrap().keys() {
        check(FIELDS.contains(&field.as_str()), &format!("unknown {field}"));
    }
    check(is_module_name(text("name")), "name");
    check(is_strict_version(text("version")), "version");
    check(!text("team").is_empty() || module["securityScanEnabled"] == false, "team");
    for field in ["manifest", "defaultCR", "repository", "documentation"] {
        check(text(field).starts_with("https://"), field);
    }
    let icons = module["icons"].as_array().map(Vec::as_slice).unwrap_or_default();
    check(!icons.is_empty(), "icons");
    let names: BTreeSet<_> = icons.iter().map(|icon| icon["name"].as_str().unwrap_or_default()).collect();
    check(names.len() == icons.len() && !names.contains(""), "names of icons");
    check(icons.iter().all(|icon| icon["link"].as_str().is_some_and(|link| link.starts_with("https://"))), "icon link");
    let has_kind = |object: &Value| {
        ["group", "version", "kind"].iter().all(|field| object[field].as_str().is_some_and(|text| !text.is_empty()))
    };
    let associated = module["associatedResources"].as_array().map(Vec::as_slice).unwrap_or_default();
    check(associated.iter().all(has_kind), "associatedResources");
    check(has_kind(&module["manager"]) && module["manager"]["name"].is_string(), "manager");
    check(module["requiresDowntime"].is_boolean(), "requiresDowntime");
    found
}

/// Returns whether a name has a domain and a path, in lower case.
fn is_module_name(name: &str) -> bool {
    let is_label = |label: &str| {
        label.starts_with(|c: char| c.is_ascii_lowercase())
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
    };
    let Some((domain, path)) = name.split_once('/') else { return false };
    let labels: Vec<&str> = domain.split('.').collect();
    let top = labels.last().copied().unwrap_or_default();
    labels.len() > 1
        && labels.iter().all(|label| is_label(label) && !label.contains('_'))
        && (top.len() > 1 && top.chars().all(|c| c.is_ascii_lowercase()))
        && path.split('/').all(|part| part.split('.').all(is_label))
        && name.len() <= 255
}

/// Returns whether a version is `major.minor.patch`, without a prefix, a suffix and leading zeros.
fn is_strict_version(version: &str) -> bool {
    let numbers: Vec<&str> = version.split('.').collect();
    let is_number = |number: &&str| number.parse::<u64>().is_ok_and(|parsed| parsed.to_string() == **number);
    numbers.len() == 3 && numbers.iter().all(is_number)
}

fn module_config() -> Value {
    serde_saphyr::from_str(&read("module-config.yaml")).unwrap()
}

#[test]
fn modulectl_accepts_the_module_config() {
    let module = module_config();
    assert_eq!(mistakes(&module), [""; 0]);
    for (field, value, mistake) in [
        ("team", json!(""), "team"),
        ("name", json!("nats"), "name"),
        ("name", json!("kyma-project.io/Module/nats"), "name"),
        ("version", json!("v2.0.0"), "version"),
        ("version", json!("2.0"), "version"),
        ("documentation", json!("http://kyma-project.io"), "documentation"),
        ("icons", json!([]), "icons"),
        ("manager", json!({"name": "nats-manager", "kind": "Deployment"}), "manager"),
        ("requiresDowntime", Value::Null, "requiresDowntime"),
        ("securityScan", json!(true), "unknown securityScan"),
    ] {
        let mut wrong = module.clone();
        wrong[field] = value;
        assert_eq!(mistakes(&wrong), [mistake], "{field}");
    }
}

/// modulectl labels the images for the scanners by default. `component-config.yaml` lists them, so that there is no file
/// for the field `security`, which modulectl reads but does not use.
#[test]
fn module_is_scanned_without_a_configuration_of_scanners() {
    let module = module_config();
    assert_eq!(module["security"], Value::Null);
    assert_eq!(module["securityScanEnabled"], Value::Null, "absent means true");
    assert!(!std::path::Path::new(&path("sec-scanners-config.yaml")).exists());
}

#[tokio::test]
async fn module_version_is_the_version_of_all_artifacts() {
    let module = module_config();
    let version = module["version"].as_str().unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let parsed = Version::parse(version).unwrap();
    assert!(parsed >= Version::new(2, 0, 0), "the Go manager has the versions 1.x: {version}");
    for (key, file) in [("manifest", "nats-manager.yaml"), ("defaultCR", "nats-default-cr.yaml")] {
        let address = module[key].as_str().unwrap();
        assert!(address.ends_with(&format!("/{version}/{file}")), "{address}");
    }
    let objects = kustomize("default").await;
    // The lifecycle manager derives the state of the module from the first Deployment.
    let [deployment] = of_kind(&objects, "Deployment")[..] else { panic!("there must be one Deployment") };
    for field in ["name", "namespace"] {
        assert_eq!(module["manager"][field], deployment["metadata"][field]);
    }
    // modulectl requires a container with the module's version as its tag.
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(*image, format!("{REGISTRY}/prod/nats-manager:{version}"));
    for object in [deployment, &deployment["spec"]["template"]] {
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/version"], version);
    }
}

#[tokio::test]
async fn default_cr_is_of_an_associated_resource_with_a_crd_in_the_manifest() {
    let module = module_config();
    let [cr] = &kustomize("samples").await[..] else { panic!("there must be one default CR") };
    let objects = kustomize("default").await;
    let [crd] = of_kind(&objects, "CustomResourceDefinition")[..] else { panic!("there must be one CRD") };
    let [associated] = &module["associatedResources"].as_array().unwrap()[..] else { panic!("one kind") };
    assert_eq!(cr["kind"], associated["kind"]);
    assert_eq!(
        cr["apiVersion"],
        format!("{}/{}", associated["group"].as_str().unwrap(), associated["version"].as_str().unwrap())
    );
    assert_eq!((&crd["spec"]["names"]["kind"], &crd["spec"]["group"]), (&cr["kind"], &associated["group"]));
    assert_eq!(crd["spec"]["scope"], "Namespaced");
}

/// Returns the images of the manager's container and of its environment, as modulectl extracts them: by their form.
fn images(deployment: &Value) -> Vec<String> {
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let values = container["env"].as_array().unwrap().iter().filter_map(|variable| variable["value"].as_str());
    let candidates = container["image"].as_str().into_iter().chain(values);
    candidates.filter(|text| text.contains([':', '@']) && !text.contains(' ')).map(str::to_owned).collect()
}

#[tokio::test]
async fn component_config_lists_exactly_the_images_of_the_manifest() {
    let component: Value = serde_saphyr::from_str(&read("component-config.yaml")).unwrap();
    let keys: BTreeSet<&str> = component.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["images", "name", "team"]));
    assert!(is_module_name(component["name"].as_str().unwrap()));
    assert_eq!(component["team"], module_config()["team"]);
    let listed: BTreeSet<String> = serde_json::from_value(component["images"].clone()).unwrap();

    let objects = kustomize("default").await;
    let used = images(of_kind(&objects, "Deployment")[0]);
    assert_eq!(used.len(), 7, "{used:?}");
    assert_eq!(used.iter().cloned().collect::<BTreeSet<_>>(), listed);
    for image in used {
        let (name, tag) = image.rsplit_once(':').unwrap();
        assert!(name.starts_with(&format!("{REGISTRY}/")), "{image}");
        assert!(tag.starts_with(|c: char| c.is_ascii_digit()), "modulectl rejects the tags latest and main: {image}");
    }
}

#[tokio::test]
async fn fips_image_tag_is_the_version_with_a_third_number_times_hundred() {
    let objects = kustomize("default").await;
    let container = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let value = |name: &str| {
        let mut variables = container["env"].as_array().unwrap().iter();
        let variable = variables.find(|variable| variable["name"] == name).unwrap_or_else(|| panic!("{name}"));
        variable["value"].as_str().unwrap().to_owned()
    };
    for (variable, component, patches_ahead) in [
        ("NATS_IMAGE", "nats", 0),
        // Kyma has no FIPS image of 0.23.0, only of the next patch.
        ("NATS_SERVER_CONFIG_RELOADER_IMAGE", "nats-server-config-reloader", 1),
        ("PROMETHEUS_NATS_EXPORTER_IMAGE", "prometheus-nats-exporter", 0),
    ] {
        let (ordinary, fips) = (value(variable), value(&format!("{variable}_FIPS")));
        let Version { major, minor, patch } = Version::of_image(&ordinary).unwrap();
        let patch = patch + patches_ahead;
        let expected = format!("{REGISTRY}/restricted-prod/{component}-fips:{major}.{minor}.{}", patch * 100);
        assert_eq!(fips, expected);
        // The planner reads both tags as the same version.
        assert_eq!(Version::of_image(&fips), Some(Version { major, minor, patch }));
    }
}
