//! NATS resources in the documents of a stream.

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use nats_manager_api::{Nats, NatsSpec, crd};
use serde_json::{Map, Value, json};

use super::{
    documents::{self, Document},
    report::{Finding, Severity, ValidationReport},
    schema::{self, SchemaErrors},
};

/// Resources of some input, and the findings on what could not be read.
pub(super) struct ReadResources {
    /// Resources, each with the subject of its findings.
    pub(super) resources: Vec<(Option<String>, Nats)>,
    pub(super) report: ValidationReport,
}

/// Reads all NATS resources, also those in lists.
pub(super) fn read(input: &str) -> ReadResources {
    let documents = documents::read(input);
    let has_several = documents.len() > 1;
    let mut reader = ResourceReader {
        spec_schema: spec_schema(),
        has_several,
        input: ReadResources { resources: Vec::new(), report: ValidationReport::default() },
    };
    for Document { number, content } in documents {
        let place = format!("document {number}");
        match content {
            Ok(object) => reader.object(&place, object),
            Err(problem) => reader.find(Severity::Error, &place, None, problem),
        }
    }
    let mut input = reader.input;
    if input.report.resources == 0 && !input.report.has_errors() {
        let message = format!("there is no NATS resource ({}) in it", Nats::api_version(&()));
        input.report.findings.push(Finding { severity: Severity::Error, subject: None, message });
    }
    input
}

struct ResourceReader {
    spec_schema: JSONSchemaProps,
    has_several: bool,
    input: ReadResources,
}

impl ResourceReader {
    fn object(&mut self, place: &str, object: Value) {
        let Value::Object(mut fields) = object else {
            return self.find(Severity::Error, place, None, "is no Kubernetes object".to_owned());
        };
        let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, api_version) = (text("kind"), text("apiVersion"));
        if kind.ends_with("List")
            && let Some(Value::Array(items)) = fields.remove("items")
        {
            self.has_several = true;
            for (index, item) in items.into_iter().enumerate() {
                self.object(&format!("{place}, item {}", index + 1), item);
            }
            return;
        }
        let ours = Nats::kind(&());
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        if kind.is_empty() {
            self.find(Severity::Error, place, None, "kind: Required value".to_owned());
        } else if !kind.eq_ignore_ascii_case(&ours) || (!group.is_empty() && group != Nats::group(&())) {
            self.find(Severity::Note, place, None, format!("{kind} ({api_version}) is not validated"));
        } else if kind != ours {
            self.find(Severity::Error, place, None, format!("kind: Invalid value: \"{kind}\": must be {ours}"));
        } else {
            self.nats(place, &api_version, fields);
        }
    }

    fn nats(&mut self, place: &str, api_version: &str, mut fields: Map<String, Value>) {
        self.input.report.resources += 1;
        let errors_before = self.errors();
        let mut metadata = fields.remove("metadata").unwrap_or_default();
        let name = metadata.get("name").and_then(Value::as_str).map(str::to_owned);
        let expected = Nats::api_version(&());
        if api_version != expected {
            let message = format!("apiVersion: Invalid value: \"{api_version}\": must be {expected}");
            self.find(Severity::Error, place, name.as_deref(), message);
        }
        if metadata.is_null() {
            metadata = json!({});
        }
        let metadata = self.metadata(place, name.as_deref(), metadata);
        let mut spec = fields.remove("spec").filter(|spec| !spec.is_null()).unwrap_or_else(|| json!({}));
        let mut schema_errors = SchemaErrors::default();
        schema::check(&mut spec, &self.spec_schema, "spec", &mut schema_errors);
        // The status comes from the cluster and is no input.
        for key in ["apiVersion", "kind", "status"] {
            fields.remove(key);
        }
        schema_errors.unknown.extend(fields.into_iter().map(|(key, _)| key));
        for field in schema_errors.unknown {
            self.find(Severity::Warning, place, name.as_deref(), unknown(&field));
        }
        for problem in schema_errors.types {
            self.find(Severity::Error, place, name.as_deref(), problem);
        }
        if self.errors() > errors_before {
            return;
        }
        match (metadata, serde_json::from_value::<NatsSpec>(spec)) {
            (Some(metadata), Ok(spec)) => {
                let subject = self.subject(place, name.as_deref());
                self.input.resources.push((subject, Nats { metadata, spec, status: None }));
            }
            (_, Err(error)) => self.find(Severity::Error, place, name.as_deref(), format!("spec: {error}")),
            (None, Ok(_)) => {}
        }
    }

    fn metadata(&mut self, place: &str, name: Option<&str>, metadata: Value) -> Option<ObjectMeta> {
        let mut unknown_fields = Vec::new();
        let mut note = |path: serde_ignored::Path<'_>| unknown_fields.push(format!("metadata.{path}"));
        let read: Result<ObjectMeta, _> =
            serde_path_to_error::deserialize(serde_ignored::Deserializer::new(metadata, &mut note));
        for field in unknown_fields {
            self.find(Severity::Warning, place, name, unknown(&field));
        }
        match read {
            Ok(metadata) if metadata.name.is_none() && metadata.generate_name.is_none() => {
                let message = "metadata.name: Required value: name or generateName is required".to_owned();
                self.find(Severity::Error, place, name, message);
                None
            }
            Ok(metadata) => Some(metadata),
            Err(error) => {
                let path = error.path().to_string();
                let path = if path == "." { String::new() } else { format!(".{path}") };
                self.find(Severity::Error, place, name, format!("metadata{path}: {}", error.into_inner()));
                None
            }
        }
    }

    fn find(&mut self, severity: Severity, place: &str, name: Option<&str>, message: String) {
        let subject = self.subject(place, name);
        self.input.report.findings.push(Finding { severity, subject, message });
    }

    /// Returns the subject of a finding, or `None` if there is only one document.
    fn subject(&self, place: &str, name: Option<&str>) -> Option<String> {
        self.has_several.then(|| name.map_or_else(|| place.to_owned(), |name| format!("{place} ({name})")))
    }

    fn errors(&self) -> usize {
        self.input.report.findings.iter().filter(|finding| finding.severity == Severity::Error).count()
    }
}

fn unknown(field: &str) -> String {
    format!("{field}: unknown field, which would be dropped")
}

/// Returns the schema of `spec`, or one for any value if the CRD has none.
fn spec_schema() -> JSONSchemaProps {
    let version = crd::definition().spec.versions.into_iter().next();
    let root = version.and_then(|version| version.schema).and_then(|schema| schema.open_api_v3_schema);
    root.and_then(|root| root.properties).and_then(|mut fields| fields.remove("spec")).unwrap_or_default()
}
