//! Spec of a resource under review: the text of its fields, each of which is parsed when it is needed.

use nats_manager_api::NatsSpec;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{json, object::TypeError};

/// Text of each field of a spec. An absent field and `null` are `None`. Unknown fields are left out.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RawSpec<'a> {
    #[serde(borrow)]
    pub(crate) cluster: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) jet_stream: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) logging: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) resources: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) scheduling: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) annotations: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) labels: Option<&'a RawValue>,
}

impl<'a> RawSpec<'a> {
    fn fields(&self) -> [Option<&'a RawValue>; 7] {
        let Self { cluster, jet_stream, logging, resources, scheduling, annotations, labels } = *self;
        [cluster, jet_stream, logging, resources, scheduling, annotations, labels]
    }

    /// Returns whether all fields have the same text.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.fields().into_iter().zip(other.fields()).all(|(own, other)| is_same(own, other))
    }

    /// Fails if the spec has too many values to be parsed.
    pub(crate) fn check_bounds(&self) -> Result<(), TypeError> {
        json::check_bounds(&self.fields()).map_err(|error| TypeError::at("spec", &error))
    }

    /// Returns the spec with the schema's defaults for absent fields. Fails if it cannot be parsed within bounds.
    pub(crate) fn read(&self) -> Result<NatsSpec, TypeError> {
        self.check_bounds()?;
        self.read_bounded()
    }

    /// Returns the spec, which is within bounds.
    pub(crate) fn read_bounded(&self) -> Result<NatsSpec, TypeError> {
        Ok(NatsSpec {
            cluster: named("cluster", self.cluster)?,
            jet_stream: named("jetStream", self.jet_stream)?,
            logging: named("logging", self.logging)?,
            resources: named("resources", self.resources)?,
            scheduling: named("scheduling", self.scheduling)?,
            annotations: named("annotations", self.annotations)?,
            labels: named("labels", self.labels)?,
        })
    }
}

/// Returns whether two fields have the same text.
pub(crate) fn is_same(one: Option<&RawValue>, other: Option<&RawValue>) -> bool {
    one.map(RawValue::get) == other.map(RawValue::get)
}

/// Returns the value of a field of a spec that is within bounds: an object, in which `null` means absent at every level.
/// The path of an error begins below the field.
pub(crate) fn field<T: DeserializeOwned + Default>(raw: Option<&RawValue>) -> Result<T, TypeError> {
    // Nulls are rare, and so are errors, whose path is tracked: both are searched for only if they are there.
    raw.map_or_else(|| Ok(T::default()), |raw| json::object(raw).map_or_else(|| without_nulls(raw), Ok))
}

fn named<T: DeserializeOwned + Default>(name: &str, raw: Option<&RawValue>) -> Result<T, TypeError> {
    field(raw).map_err(|error| error.below(&format!("spec.{name}")))
}

fn without_nulls<T: DeserializeOwned>(raw: &RawValue) -> Result<T, TypeError> {
    let mut value = json::read(raw).map_err(|error| TypeError::at("", &error))?;
    if !value.is_object() {
        return Err(TypeError { field: String::new(), message: "must be an object".to_owned() });
    }
    json::drop_nulls(&mut value);
    let mut track = serde_path_to_error::Track::new();
    T::deserialize(serde_path_to_error::Deserializer::new(value, &mut track))
        .map_err(|error| TypeError::at(&track.path().to_string(), &error))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::{object::ReviewedObject, samples};

    fn spec(text: &str) -> Result<NatsSpec, TypeError> {
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        ReviewedObject::read(&raw)?.spec().read()
    }

    #[test]
    fn absent_and_null_fields_get_defaults() {
        for text in [
            r"{}",
            r#"{"spec": null}"#,
            r#"{"spec": {}, "metadata": {"name": null, "managedFields": [{"fieldsV1": {"f:spec": {}}}]}}"#,
            r#"{"spec": {"cluster": null, "jetStream": {"memStorage": {"size": null}}, "resources": null}}"#,
            r#"{"spec": {"unknown": 1e999}}"#,
        ] {
            assert_eq!(spec(text).unwrap(), NatsSpec::default(), "{text}");
        }
    }

    #[test]
    fn spec_is_the_same_as_that_of_the_api() {
        // serde accepts an array for a struct.
        let has_array = |spec: &Map<String, Value>| spec.values().any(Value::is_array);
        for changed in samples::changed().iter().filter(|spec| spec.as_object().is_some_and(|spec| !has_array(spec))) {
            let object = samples::raw(&json!({"spec": changed}));
            let raw = ReviewedObject::read(&object).unwrap().spec();
            assert_eq!(raw.read().ok(), serde_json::from_value(changed.clone()).ok(), "{changed}");
        }
    }

    #[test]
    fn type_error_names_field() {
        for (text, field) in [
            (r#"{"spec": {"cluster": {"size": "three"}}}"#, "spec.cluster.size"),
            (r#"{"spec": {"jetStream": {"fileStorage": {"size": {}}}}}"#, "spec.jetStream.fileStorage.size"),
            (r#"{"spec": {"labels": {"a": 1}}}"#, "spec.labels.a"),
            (r#"{"spec": {"cluster": [3]}}"#, "spec.cluster"),
            (r#"{"spec": {"cluster": {"size": 1e999}}}"#, "spec.cluster"),
            (r#"{"spec": []}"#, "spec"),
            (r#"{"metadata": {"name": {}}}"#, "metadata.name"),
            (r"[1]", "."),
        ] {
            assert_eq!(spec(text).unwrap_err().field, field, "{text}");
        }
    }
}
