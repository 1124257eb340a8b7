//! The extension of Busola, Kyma's dashboard.
//!
//! Busola publishes no schema. The tables below are the parameters that its documentation lists
//! (<https://github.com/kyma-project/busola/tree/main/docs/contributor/extensibility>).

use nats_manager_api::{ModuleState, crd};
use serde_json::{Value, json};

use super::{kustomize, of_kind};

/// Parameters of the section `general`.
const GENERAL: [&str; 11] = [
    "resource",
    "name",
    "category",
    "icon",
    "scope",
    "urlPath",
    "defaultPlaceholder",
    "description",
    "filter",
    "features",
    "externalNodes",
];
/// Parameters of every entry of a list or of the details.
const ENTRY: [&str; 8] = ["source", "name", "widget", "valuePreprocessor", "visibility", "children", "sort", "search"];
/// Widgets of lists and details, each with its own parameters.
const WIDGETS: [(&str, &[&str]); 5] = [
    ("Badge", &["placeholder", "highlights", "description", "copyable"]),
    ("EventList", &["filter", "defaultType", "hideInvolvedObjects", "simpleEmptyListMessage"]),
    ("Panel", &["header", "disablePadding", "description", "decodable"]),
    ("Table", &["collapsible", "collapsibleTitle", "disablePadding", "showHeader", "extraHeaderContent"]),
    ("Text", &["placeholder", "copyable"]),
];
/// Parameters of every field of a form, and those of the schema that a field may override.
const FIELD: [&str; 13] = [
    "path",
    "name",
    "widget",
    "children",
    "visibility",
    "overwrite",
    "trigger",
    "subscribe",
    "description",
    "inputInfo",
    "placeholder",
    "required",
    "disableOnEdit",
];
/// Widgets of forms, each with its own parameters. The empty name is a field whose widget Busola chooses by its type.
const FORM_WIDGETS: [(&str, &[&str]); 4] = [
    ("", &["enum"]),
    ("FormGroup", &["columns", "defaultExpanded"]),
    ("KeyValuePair", &["keyEnum", "value", "defaultExpanded"]),
    ("Text", &["enum", "readOnly", "decodable"]),
];
/// Keys of the highlights of a badge. `warning` is orange, `critical` is red.
const HIGHLIGHTS: [&str; 4] = ["informative", "positive", "warning", "critical"];

/// Returns the parameters that Busola does not know, and values that it does not accept.
fn mistakes(entries: &Value, common: &[&str], widgets: &[(&str, &[&str])]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in entries.as_array().expect("a list of entries") {
        let widget = entry["widget"].as_str().unwrap_or_default();
        let own = widgets.iter().find(|(name, _)| *name == widget).map(|(_, own)| *own);
        if own.is_none() && !(widget.is_empty() && common == ENTRY) {
            found.push(format!("widget {widget}"));
        }
        for (key, value) in entry.as_object().unwrap() {
            let is_known = common.contains(&key.as_str()) || own.is_some_and(|own| own.contains(&key.as_str()));
            match key.as_str() {
                _ if !is_known => found.push(format!("{widget}: {key}")),
                "children" | "header" => found.extend(mistakes(value, common, widgets)),
                "highlights" => {
                    let keys = value.as_object().unwrap().keys();
                    found.extend(
                        keys.filter(|key| !HIGHLIGHTS.contains(&key.as_str())).map(|key| format!("highlight {key}")),
                    );
                }
                "defaultType" if !["all", "information", "warning"].contains(&value.as_str().unwrap_or_default()) => {
                    found.push(format!("defaultType {value}"));
                }
                _ => {}
            }
        }
    }
    found
}

/// Returns the sections of the extension.
async fn sections() -> [Value; 4] {
    let objects = kustomize("ui-extensions").await;
    let [extension] = &objects[..] else { panic!("one ConfigMap") };
    ["general", "list", "details", "form"]
        .map(|section| serde_saphyr::from_str(extension["data"][section].as_str().unwrap()).unwrap())
}

#[tokio::test]
async fn busola_knows_every_parameter_of_the_extension() {
    let [general, list, details, form] = sections().await;
    let unknown = general.as_object().unwrap().keys().filter(|key| !GENERAL.contains(&key.as_str()));
    assert_eq!(unknown.count(), 0, "{general}");
    for field in ["kind", "version", "group"] {
        assert!(general["resource"][field].is_string(), "{field}");
    }
    assert!(details.as_object().unwrap().keys().all(|key| ["header", "body"].contains(&key.as_str())), "{details}");
    for entries in [&list, &details["header"], &details["body"]] {
        assert_eq!(mistakes(entries, &ENTRY, &WIDGETS), [""; 0]);
    }
    assert_eq!(mistakes(&form, &FIELD, &FORM_WIDGETS), [""; 0]);
    for (entry, mistake) in [
        (json!({"name": "a", "widget": "Badge", "highlights": {"negative": ["Error"]}}), "highlight negative"),
        (json!({"name": "a", "widget": "Bagde"}), "widget Bagde"),
        (json!({"name": "a", "widget": "Panel", "children": [{"origin": "b"}]}), ": origin"),
        (json!({"widget": "EventList", "defaultType": "NORMAL"}), "defaultType \"NORMAL\""),
    ] {
        assert_eq!(mistakes(&json!([entry]), &ENTRY, &WIDGETS)[0], mistake);
    }
}

#[tokio::test]
async fn state_badges_cover_every_state_with_its_severity() {
    let [_, list, details, _] = sections().await;
    for badge in [&list[0], &details["header"][0]] {
        assert_eq!((&badge["source"], &badge["widget"]), (&json!("status.state"), &json!("Badge")));
        let highlights = badge["highlights"].as_object().unwrap();
        for state in ModuleState::ALL {
            let expected = match state {
                ModuleState::Ready => "positive",
                ModuleState::Processing | ModuleState::Deleting => "informative",
                ModuleState::Warning => "warning",
                ModuleState::Error => "critical",
            };
            let colours: Vec<&String> = highlights
                .iter()
                .filter(|(_, states)| states.as_array().unwrap().contains(&json!(state.to_string())))
                .map(|(colour, _)| colour)
                .collect();
            assert_eq!(colours, [expected], "{state}");
        }
    }
}

#[tokio::test]
async fn events_of_all_types_are_listed() {
    let [_, _, details, _] = sections().await;
    let events = details["body"].as_array().unwrap().iter().find(|entry| entry["widget"] == "EventList").unwrap();
    assert_eq!(events["defaultType"], "all");
    assert_eq!(events["filter"], "$matchEvents($$, $root.kind, $root.metadata.name)");
}

#[tokio::test]
async fn extension_replaces_that_of_the_go_manager_and_links_the_documentation() {
    let objects = kustomize("default").await;
    let extensions: Vec<&Value> = of_kind(&objects, "ConfigMap")
        .into_iter()
        .filter(|object| object["metadata"]["labels"]["busola.io/extension"] == "resource")
        .collect();
    let [extension] = extensions[..] else { panic!("one extension") };
    let metadata = &extension["metadata"];
    // config/default of the Go manager: namePrefix nats-, namespace kyma-system.
    assert_eq!(metadata["name"], "nats-operator.kyma-project.io");
    assert_eq!(metadata["namespace"], "kyma-system");
    assert_eq!(metadata["labels"]["busola.io/extension-version"], "0.5");
    let [general, ..] = sections().await;
    let (link, _) = general["description"].as_str().unwrap().split_once(")}}").unwrap();
    let page = link.rsplit_once("/nats-manager/").unwrap().1;
    assert!(super::read(&format!("docs/{page}.md")).starts_with("# "), "{page}");
}

#[tokio::test]
async fn every_field_of_busola_extension_exists() {
    let objects = kustomize("ui-extensions").await;
    let [extension] = &objects[..] else { panic!("one ConfigMap") };
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
