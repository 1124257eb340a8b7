//! NATS resource inside a review.

use std::{borrow::Cow, collections::BTreeMap};

use nats_manager_api::{AppliedResources, EffectiveSpec, JetStreamStatus, NamespacedName, NatsSpec, applied, naming};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    envelope::{Request, ReviewOperation},
    json::{self, Object, Text},
    spec::RawSpec,
    text::{shortened, shown},
};

/// Fields of a NATS resource that a review depends on. Most of the text, `managedFields`, is parsed only if needed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ReviewedObject<'a> {
    #[serde(borrow)]
    metadata: Object<Metadata<'a>>,
    #[serde(borrow)]
    spec: Option<Object<RawSpec<'a>>>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    #[serde(borrow)]
    uid: Option<Text<'a>>,
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
    /// Parses an object. The fields of its spec, and its status, stay raw JSON.
    pub(crate) fn read(raw: &'a RawValue) -> Result<Self, TypeError> {
        let text = raw.get();
        if !text.starts_with('{') {
            return Err(TypeError { field: ".".to_owned(), message: "must be an object".to_owned() });
        }
        // The path of an error is tracked only if there is one: that takes an allocation for each field.
        serde_json::from_str(text).or_else(|error| {
            // It may quote a large part of the text, as the next one.
            drop(error);
            serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text))
                .map_err(|error| TypeError::at(&error.path().to_string(), error.inner()))
        })
    }

    /// Returns the stored object of an UPDATE. `None` for other operations, and if the object is unreadable.
    pub(crate) fn old<'r>(request: &'r Request<'a>) -> Option<Cow<'r, Self>> {
        let is_update = request.operation == ReviewOperation::Update;
        request.old_object.as_ref().filter(|_| is_update)?.nats().ok()
    }

    /// Returns what the status contains about the data and the servers. For stored objects only: the status of a new
    /// object may be anything.
    pub(crate) fn recorded(&self) -> Recorded {
        let fields: RawStatus<'_> = self.status.and_then(parse).unwrap_or_default();
        // Each is read separately, so that an unreadable field hides no other.
        Recorded { jet_stream: fields.jet_stream.and_then(parse), members: fields.members.and_then(parse) }
    }

    /// Returns whether the annotation [`naming::FORCE_DELETION`] is `true`: the deletion then removes the data without
    /// a delay.
    pub(crate) fn is_deletion_forced(&self) -> bool {
        self.own_annotations().get(naming::FORCE_DELETION).is_some_and(|value| value == "true")
    }

    /// Returns the annotations of NATS Manager; none if the annotations are unreadable.
    pub(crate) fn own_annotations(&self) -> BTreeMap<String, String> {
        self.annotations(|key| key.starts_with(naming::ANNOTATION_PREFIX))
    }

    /// Returns the annotations whose keys are selected; none if the annotations are unreadable.
    fn annotations(&self, is_selected: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let Some(raw) = self.metadata.0.annotations else { return BTreeMap::new() };
        json::strings(raw, is_selected).unwrap_or_default()
    }

    /// Returns the spec as it is validated, by the records of applies in the metadata. `spec` belongs to this object.
    pub(crate) fn effective(&self, spec: NatsSpec) -> EffectiveSpec {
        if !spec.resources.has_outgrown_defaults() {
            return EffectiveSpec { spec, warnings: Vec::new() };
        }
        let managed = self.metadata.0.managed_fields.and_then(|raw| json::read(raw).ok()).unwrap_or_default();
        let is_applied = |entry: &&Value| entry.get("operation").is_some_and(|operation| operation == applied::APPLY);
        let fields = managed.as_array().into_iter().flatten().filter(is_applied);
        let annotations = self.annotations(|key| key == applied::LAST_APPLIED);
        let last_applied = annotations.get(applied::LAST_APPLIED).map(String::as_str);
        spec.effective(&AppliedResources::read(last_applied, fields.filter_map(|entry| entry.get("fieldsV1"))))
    }

    /// Returns namespace and name. The request of a CREATE has no name if the apiserver generates it.
    pub(crate) fn id(&self, request: &Request<'_>) -> NamespacedName {
        let choose = |requested: &str, own: &Option<Text<'_>>| match requested {
            "" => own.as_ref().map_or_else(String::new, |own| own.0.clone().into_owned()),
            _ => requested.to_owned(),
        };
        NamespacedName::new(
            choose(&request.namespace, &self.metadata.0.namespace),
            choose(&request.name, &self.metadata.0.name),
        )
    }

    /// Returns the uid. For stored objects only.
    pub(crate) fn uid(&self) -> Option<&str> {
        self.metadata.0.uid.as_ref().map(|uid| uid.0.as_ref())
    }

    /// Returns the spec.
    pub(crate) fn spec(&self) -> RawSpec<'a> {
        self.spec.unwrap_or_default().0
    }
}

/// Values of the status of a stored object.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// JetStream summary.
    pub(crate) jet_stream: Option<JetStreamStatus>,
    /// Number of servers that the configuration was built for.
    pub(crate) members: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatus<'a> {
    #[serde(borrow)]
    jet_stream: Option<&'a RawValue>,
    #[serde(borrow)]
    members: Option<&'a RawValue>,
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

impl TypeError {
    pub(crate) fn at(field: &str, error: &serde_json::Error) -> Self {
        Self { field: shortened(field), message: shown(error) }
    }

    /// Returns the error with the path of the field that its path begins below.
    pub(crate) fn below(self, parent: &str) -> Self {
        let field = if self.field.is_empty() { parent.to_owned() } else { format!("{parent}.{}", self.field) };
        Self { field, ..self }
    }
}
