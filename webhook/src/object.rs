//! NATS resource inside a review.

use std::collections::BTreeMap;

use nats_manager_api::{
    AppliedResources, EffectiveSpec, JetStreamStatus, NamespacedName, NatsSpec, NetworkPolicyMode, applied, naming,
    rules::Warning,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    envelope::{Request, ReviewOperation},
    json,
    text::shortened,
};

/// Fields of a NATS resource that a review depends on. Most of the text, `managedFields`, is parsed only if needed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ReviewedObject<'a> {
    #[serde(borrow)]
    pub(crate) metadata: Metadata<'a>,
    #[serde(borrow)]
    pub(crate) spec: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metadata<'a> {
    name: Option<String>,
    namespace: Option<String>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
    #[serde(borrow)]
    managed_fields: Option<&'a RawValue>,
}

/// Field whose value has the wrong type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub(crate) struct TypeError {
    pub(crate) field: String,
    pub(crate) message: String,
}

impl<'a> ReviewedObject<'a> {
    /// Parses an object. Its spec and status stay raw JSON.
    pub(crate) fn read(raw: &'a RawValue) -> Result<Self, TypeError> {
        let text = raw.get();
        if !text.starts_with('{') {
            return Err(TypeError { field: ".".to_owned(), message: "must be an object".to_owned() });
        }
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text))
            .map_err(|error| TypeError::at(&error.path().to_string(), error.inner()))
    }

    /// Returns the stored object of an UPDATE. `None` for other operations, and if the object is unreadable.
    pub(crate) fn old(request: &Request<'a>) -> Option<Self> {
        let is_update = request.operation == ReviewOperation::Update;
        request.old_object.filter(|_| is_update).and_then(|old| Self::read(old).ok())
    }

    /// Returns the JetStream summary from the status, if there is one. For stored objects only: the status of a new
    /// object may be anything.
    pub(crate) fn jet_stream(&self) -> Option<JetStreamStatus> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Status {
            jet_stream: Option<JetStreamStatus>,
        }
        self.status::<Status>()?.jet_stream
    }

    /// Returns the number of servers that the configuration was built for, if the status has it. For stored objects
    /// only.
    pub(crate) fn members(&self) -> Option<u32> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Status {
            members: Option<u32>,
        }
        self.status::<Status>()?.members
    }

    /// Reads one field of the status. Each is read separately, so that an unreadable field hides no other.
    fn status<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.status?.get()).ok()
    }

    /// Returns whether the annotation [`naming::FORCE_DELETION`] is `true`: the deletion then removes the data without
    /// a delay.
    pub(crate) fn is_deletion_forced(&self) -> bool {
        self.annotations().get(naming::FORCE_DELETION).is_some_and(|value| value == "true")
    }

    /// Returns the warning about an annotation that selects no mode of the servers' NetworkPolicy.
    pub(crate) fn network_policy_warning(&self) -> Option<Warning> {
        NetworkPolicyMode::warning(Some(&self.annotations()))
    }

    /// Returns the annotations; none if they are unreadable.
    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        self.metadata.annotations.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// Returns the spec as it is validated, by the records of applies in the metadata. `spec` belongs to this object.
    pub(crate) fn effective(&self, spec: NatsSpec) -> EffectiveSpec {
        if !spec.has_outgrown_defaults() {
            return EffectiveSpec { spec, warnings: Vec::new() };
        }
        let managed = self.metadata.managed_fields.and_then(|raw| json::read(raw).ok()).unwrap_or_default();
        let is_applied = |entry: &&Value| entry.get("operation").is_some_and(|operation| operation == applied::APPLY);
        let fields = managed.as_array().into_iter().flatten().filter(is_applied);
        let annotations = self.annotations();
        let last_applied = annotations.get(applied::LAST_APPLIED).map(String::as_str);
        spec.effective(&AppliedResources::read(last_applied, fields.filter_map(|entry| entry.get("fieldsV1"))))
    }

    /// Returns namespace and name. The request of a CREATE has no name if the apiserver generates it.
    pub(crate) fn id(&self, request: &Request<'_>) -> NamespacedName {
        let choose = |requested: &str, own: &Option<String>| match requested {
            "" => own.clone().unwrap_or_default(),
            _ => requested.to_owned(),
        };
        NamespacedName::new(
            choose(&request.namespace, &self.metadata.namespace),
            choose(&request.name, &self.metadata.name),
        )
    }

    /// Returns the spec as JSON, an empty object if there is none.
    pub(crate) fn spec_json(&self) -> Result<Value, TypeError> {
        self.spec.map_or_else(
            || Ok(Value::Object(Map::new())),
            |raw| json::read(raw).map_err(|error| TypeError::at("spec", &error)),
        )
    }

    /// Returns the spec with the schema's defaults for absent fields.
    pub(crate) fn spec(&self) -> Result<NatsSpec, TypeError> {
        Self::typed(self.spec_json()?)
    }

    /// Converts JSON into a spec, as [`ReviewedObject::spec`] does.
    pub(crate) fn typed(mut json: Value) -> Result<NatsSpec, TypeError> {
        if !json.is_object() && !json.is_null() {
            // serde accepts an array for a struct.
            return Err(TypeError { field: "spec".to_owned(), message: "must be an object".to_owned() });
        }
        json::drop_nulls(&mut json);
        let mut track = serde_path_to_error::Track::new();
        // Not the trait's method, which searches for nulls once more and loses the path.
        NatsSpec::deserialize(serde_path_to_error::Deserializer::new(json, &mut track))
            .map_err(|error| TypeError::at(&format!("spec.{}", track.path()), &error))
    }
}

impl TypeError {
    pub(crate) fn at(field: &str, error: &serde_json::Error) -> Self {
        Self { field: shortened(field), message: shortened(&error.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<NatsSpec, TypeError> {
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        ReviewedObject::read(&raw)?.spec()
    }

    #[test]
    fn absent_and_null_fields_get_defaults() {
        for text in [
            r"{}",
            r#"{"spec": null}"#,
            r#"{"spec": {}, "metadata": {"name": null, "managedFields": [{"fieldsV1": {"f:spec": {}}}]}}"#,
            r#"{"spec": {"cluster": null, "jetStream": {"memStorage": {"size": null}}, "resources": null}}"#,
        ] {
            assert_eq!(spec(text).unwrap(), NatsSpec::default(), "{text}");
        }
    }

    #[test]
    fn type_error_names_field() {
        for (text, field) in [
            (r#"{"spec": {"cluster": {"size": "three"}}}"#, "spec.cluster.size"),
            (r#"{"spec": {"jetStream": {"fileStorage": {"size": {}}}}}"#, "spec.jetStream.fileStorage.size"),
            (r#"{"spec": {"labels": {"a": 1}}}"#, "spec.labels.a"),
            (r#"{"spec": []}"#, "spec"),
            (r#"{"spec": {"x": 1e999}}"#, "spec"),
            (r#"{"metadata": {"name": {}}}"#, "metadata.name"),
            (r"[1]", "."),
        ] {
            assert_eq!(spec(text).unwrap_err().field, field, "{text}");
        }
    }
}
