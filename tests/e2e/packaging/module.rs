//! The Kyma module: the files that its pipeline reads, and the extension of Busola.

use std::collections::BTreeSet;

use nats_manager::settings::Settings;
use nats_manager_api::crd;
use serde_json::Value;

use super::{kustomize, of_kind, read};

#[tokio::test]
async fn module_config_matches_shipped_manifests() {
    let module: Value = serde_saphyr::from_str(&read("module-config.yaml")).unwrap();
    let objects = kustomize("default").await;
    // Kyma derives the state of the module from its first Deployment.
    let [deployment] = of_kind(&objects, "Deployment")[..] else { panic!("there must be one Deployment") };
    assert_eq!(module["manager"]["name"], deployment["metadata"]["name"]);
    assert_eq!(module["manager"]["namespace"], deployment["metadata"]["namespace"]);
    assert_eq!(module["version"], env!("CARGO_PKG_VERSION"));
    for (key, file) in [("manifest", "nats-manager.yaml"), ("defaultCR", "nats-default-cr.yaml")] {
        let version = module["version"].as_str().unwrap();
        let address = module[key].as_str().unwrap();
        assert!(address.ends_with(&format!("/{version}/{file}")), "{address}");
    }

    let scanned: Value = serde_saphyr::from_str(&read(module["security"].as_str().unwrap())).unwrap();
    let scanned: BTreeSet<&str> =
        scanned["bdba"].as_array().unwrap().iter().map(|image| image.as_str().unwrap()).collect();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let images = container["env"].as_array().unwrap().iter().filter(|variable| is_image(variable));
    let mut used: BTreeSet<&str> = images.map(|variable| variable["value"].as_str().unwrap()).collect();
    assert_eq!(used.len(), 6, "{used:?}");
    let own = format!("europe-docker.pkg.dev/kyma-project/prod/nats-manager:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(container["image"], own);
    used.insert(&own);
    assert_eq!(used, scanned);
    let page = module["documentation"].as_str().unwrap().rsplit_once("/nats-manager/").unwrap().1;
    assert!(read(&format!("docs/{page}.md")).starts_with("# "), "{page}");
}

fn is_image(variable: &Value) -> bool {
    variable["name"].as_str().unwrap().contains("_IMAGE")
}

#[tokio::test]
async fn shipped_environment_is_valid_with_and_without_fips() {
    let objects = kustomize("default").await;
    let container = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let shipped = container["env"].as_array().unwrap();
    for (fips, ending) in [("false", "nats:2.14.2-scratch"), ("true", "nats-fips:2.14.2")] {
        let settings = Settings::from_env(|name| {
            let variable = shipped.iter().find(|variable| variable["name"] == name)?;
            // Kyma sets this variable in the Pods.
            if name == "KYMA_FIPS_MODE_ENABLED" {
                Some(fips.to_owned())
            } else {
                variable["value"].as_str().map(Into::into)
            }
        });
        let nats = settings.unwrap().images.nats;
        assert!(nats.ends_with(ending), "{nats}");
    }
}

#[test]
fn dockerfile_uses_toolchain_of_repository() {
    let toolchain = read("rust-toolchain.toml");
    let channel =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"').to_owned();
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains(&format!("\nFROM rust:{channel}-slim-")), "{channel}");
}

#[tokio::test]
async fn manifest_needs_no_order_and_reverts_no_runtime_data() {
    let objects = kustomize("default").await;
    for kind in ["Namespace", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        assert!(of_kind(&objects, kind).is_empty(), "{kind}");
    }
    for object in objects.iter().filter(|object| ["Secret", "Lease"].contains(&object["kind"].as_str().unwrap())) {
        assert!(object.get("data").is_none() && object.get("spec").is_none(), "{object}");
    }
}

#[tokio::test]
async fn every_field_of_busola_extension_exists() {
    let objects = kustomize("ui-extensions").await;
    let [extension] = &objects[..] else { panic!("one ConfigMap") };
    assert_eq!(extension["metadata"]["namespace"], "kube-public");
    assert_eq!(extension["metadata"]["labels"]["busola.io/extension"], "resource");
    let crd_object = serde_json::to_value(crd::definition()).unwrap();
    let schema = &crd_object["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut found = 0;
    for key in ["form", "list", "details"] {
        let content: Value = serde_saphyr::from_str(extension["data"][key].as_str().unwrap()).unwrap();
        for field in fields(&content, "") {
            assert!(field.starts_with("metadata.") || find(schema, &field).is_some(), "{key}: {field}");
            found += 1;
        }
    }
    let form: Value = serde_saphyr::from_str(extension["data"]["form"].as_str().unwrap()).unwrap();
    for field in without_widget(&form, "") {
        let shown = find(schema, &field).and_then(|schema| schema.get("type"));
        assert!(field.starts_with("metadata.") || shown.is_some(), "Busola has no widget of its own for {field}");
    }
    assert!(found > 25, "{found}");
    let general: Value = serde_saphyr::from_str(extension["data"]["general"].as_str().unwrap()).unwrap();
    assert_eq!(general["resource"]["kind"], "NATS");
}

/// Returns field paths from the root of the resource. In forms and tables, paths are relative to the parent's.
fn fields(value: &Value, parent: &str) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(|item| fields(item, parent)).collect(),
        Value::Object(object) => {
            let own = ["path", "source"].iter().find_map(|key| object.get(*key)?.as_str());
            let is_table = object.get("widget").is_some_and(|widget| widget == "Table");
            let is_form = object.contains_key("path");
            let path = match own {
                // Busola evaluates such an expression.
                Some(own) if own.starts_with('$') => return Vec::new(),
                Some(own) if parent.is_empty() => own.to_owned(),
                Some(own) => format!("{parent}.{own}"),
                None => parent.to_owned(),
            };
            let base = if is_table || is_form { path.as_str() } else { parent };
            let inner = ["children", "header", "body"].iter().filter_map(|key| object.get(*key));
            own.map(|_| path.clone()).into_iter().chain(inner.flat_map(|inner| fields(inner, base))).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the fields of a form without a widget. Busola chooses one by their type.
fn without_widget(form: &Value, parent: &str) -> Vec<String> {
    let mut found = Vec::new();
    for field in form.as_array().unwrap() {
        let path = format!("{parent}{}", field["path"].as_str().unwrap());
        if let Some(children) = field.get("children") {
            found.extend(without_widget(children, &format!("{path}.")));
        } else if field.get("widget").is_none() {
            found.push(path);
        }
    }
    found
}

/// Returns the schema of the field at a path.
fn find<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(schema, |here, step| {
        let inside = if here["items"].is_object() { &here["items"] } else { here };
        inside["properties"].get(step)
    })
}
