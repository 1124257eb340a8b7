//! The NATS resource inside a review.

use std::collections::BTreeMap;

use nats_manager_api::{JetStreamStatus, NamespacedName, NatsSpec, naming};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    envelope::{Request, ReviewOperation},
    json,
    text::shortened,
};

/// What of a resource matters here. `managedFields`, most of its text, is skipped.
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
    deletion_timestamp: Option<String>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
}

/// A field that has not the type it should have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub(crate) struct TypeError {
    pub(crate) field: String,
    pub(crate) message: String,
}

impl<'a> ReviewedObject<'a> {
    pub(crate) fn read(raw: &'a RawValue) -> Result<Self, TypeError> {
        let text = raw.get();
        if !text.starts_with('{') {
            return Err(TypeError { field: ".".to_owned(), message: "must be an object".to_owned() });
        }
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text))
            .map_err(|error| TypeError::at(&error.path().to_string(), error.inner()))
    }

    /// What an UPDATE replaces, if that can be read.
    pub(crate) fn old(request: &Request<'a>) -> Option<Self> {
        let is_update = request.operation == ReviewOperation::Update;
        request.old_object.filter(|_| is_update).and_then(|old| Self::read(old).ok())
    }

    /// Returns the summary of what JetStream holds, if the status has it. For stored objects only: a new object's
    /// status may be anything.
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

    /// Reads one field of the status alone, so that a field that cannot be read hides no other.
    fn status<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.status?.get()).ok()
    }

    /// Whether its data goes with it unasked.
    pub(crate) fn is_deletion_forced(&self) -> bool {
        let all =
            self.metadata.annotations.and_then(|raw| serde_json::from_str::<BTreeMap<String, String>>(raw.get()).ok());
        all.is_some_and(|all| all.get(naming::FORCE_DELETION).is_some_and(|value| value == "true"))
    }

    /// Whether it is on its way out: finalizers must come off, whatever the rules say.
    fn is_being_deleted(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether the request is an update of something on its way out.
    pub(crate) fn is_leaving(&self, request: &Request<'_>, old: Option<&Self>) -> bool {
        request.operation == ReviewOperation::Update
            && (self.is_being_deleted() || old.is_some_and(ReviewedObject::is_being_deleted))
    }

    /// Its name. On CREATE the request has none where the apiserver is to make one up.
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

    /// The spec as JSON, an empty one where there is none.
    pub(crate) fn spec_json(&self) -> Result<Value, TypeError> {
        self.spec.map_or_else(
            || Ok(Value::Object(Map::new())),
            |raw| json::read(raw).map_err(|error| TypeError::at("spec", &error)),
        )
    }

    /// The spec, with the defaults of the schema where something is absent.
    pub(crate) fn spec(&self) -> Result<NatsSpec, TypeError> {
        Self::typed(self.spec_json()?)
    }

    /// A spec by its JSON; see [`ReviewedObject::spec`].
    pub(crate) fn typed(mut json: Value) -> Result<NatsSpec, TypeError> {
        if !json.is_object() && !json.is_null() {
            // serde would take an array for a struct.
            return Err(TypeError { field: "spec".to_owned(), message: "must be an object".to_owned() });
        }
        json::drop_nulls(&mut json);
        let mut track = serde_path_to_error::Track::new();
        // Not the trait's method, which looks for nulls once more and loses the path.
        NatsSpec::deserialize(serde_path_to_error::Deserializer::new(json, &mut track))
            .map_err(|error| TypeError::at(&format!("spec.{}", track.path()), &error))
    }
}

impl TypeError {
    fn at(field: &str, error: &serde_json::Error) -> Self {
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
    fn absent_and_null_are_the_default() {
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
    fn names_the_field_of_a_wrong_type() {
        for (text, field) in [
            (r#"{"spec": {"cluster": {"size": "three"}}}"#, "spec.cluster.size"),
            (r#"{"spec": {"jetStream": {"fileStorage": {"size": {}}}}}"#, "spec.jetStream.fileStorage.size"),
            (r#"{"spec": {"labels": {"a": 1}}}"#, "spec.labels.a"),
            (r#"{"spec": []}"#, "spec"),
            (r#"{"spec": {"x": 1e999}}"#, "spec"),
            (r#"{"metadata": {"deletionTimestamp": {}}}"#, "metadata.deletionTimestamp"),
            (r"[1]", "."),
        ] {
            assert_eq!(spec(text).unwrap_err().field, field, "{text}");
        }
    }
}
