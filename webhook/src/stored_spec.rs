//! Spec of the stored object, of which only the fields that an update changes are parsed.

use std::{borrow::Cow, collections::BTreeMap};

use nats_manager_api::{ClusterSpec, JetStream, Logging, NatsSpec, ResourceRequirements, Scheduling, SpecView};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::object::ReviewedObject;

/// Spec before an update. It borrows the fields whose text is the same from the new spec.
pub(crate) struct StoredSpec<'a> {
    cluster: Cow<'a, ClusterSpec>,
    jet_stream: Cow<'a, JetStream>,
    logging: Cow<'a, Logging>,
    resources: Cow<'a, ResourceRequirements>,
    scheduling: Cow<'a, Scheduling>,
    annotations: Cow<'a, BTreeMap<String, String>>,
    labels: Cow<'a, BTreeMap<String, String>>,
}

/// Text of each field of a spec.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawSpec<'a> {
    #[serde(borrow)]
    cluster: Option<&'a RawValue>,
    #[serde(borrow)]
    jet_stream: Option<&'a RawValue>,
    #[serde(borrow)]
    logging: Option<&'a RawValue>,
    #[serde(borrow)]
    resources: Option<&'a RawValue>,
    #[serde(borrow)]
    scheduling: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
}

impl<'a> StoredSpec<'a> {
    /// Reads the spec of `old`; `None` if it is unreadable. `spec` is the spec of `new`, in which a file size may be
    /// filled in that is the default of both.
    pub(crate) fn read(old: &ReviewedObject<'_>, new: &ReviewedObject<'_>, spec: &'a NatsSpec) -> Option<Self> {
        let is_changed = old.spec.map(RawValue::get) != new.spec.map(RawValue::get);
        // The new spec has been read already.
        let raw = if is_changed { old.bounded_spec().ok()? } else { old.spec };
        Self::changed(raw, new.spec, spec).or_else(|| Self::whole(old))
    }

    /// Reads the spec of `old` without another spec to borrow from.
    pub(crate) fn whole(old: &ReviewedObject<'_>) -> Option<Self> {
        Some(old.effective(old.spec().ok()?).spec.into())
    }

    /// Parses the fields that differ. `None` if that does not suffice: if a field has to be read without its nulls, or
    /// depends on the metadata of the object.
    fn changed(old: Option<&RawValue>, new: Option<&RawValue>, spec: &'a NatsSpec) -> Option<Self> {
        let is_changed = old.map(RawValue::get) != new.map(RawValue::get);
        let (old, new): (RawSpec<'_>, RawSpec<'_>) =
            if is_changed { (fields(old)?, fields(new)?) } else { Default::default() };
        let stored = Self {
            cluster: field(old.cluster, new.cluster, &spec.cluster)?,
            jet_stream: field(old.jet_stream, new.jet_stream, &spec.jet_stream)?,
            logging: field(old.logging, new.logging, &spec.logging)?,
            resources: field(old.resources, new.resources, &spec.resources)?,
            scheduling: field(old.scheduling, new.scheduling, &spec.scheduling)?,
            annotations: field(old.annotations, new.annotations, &spec.annotations)?,
            labels: field(old.labels, new.labels, &spec.labels)?,
        };
        (!stored.resources.has_outgrown_defaults()).then_some(stored)
    }

    /// Returns the spec for the rules.
    pub(crate) fn view(&self) -> SpecView<'_> {
        SpecView {
            cluster: &self.cluster,
            jet_stream: &self.jet_stream,
            logging: &self.logging,
            resources: &self.resources,
            scheduling: &self.scheduling,
            annotations: &self.annotations,
            labels: &self.labels,
        }
    }
}

impl From<NatsSpec> for StoredSpec<'_> {
    fn from(spec: NatsSpec) -> Self {
        let NatsSpec { cluster, jet_stream, logging, resources, scheduling, annotations, labels } = spec;
        Self {
            cluster: Cow::Owned(cluster),
            jet_stream: Cow::Owned(jet_stream),
            logging: Cow::Owned(logging),
            resources: Cow::Owned(resources),
            scheduling: Cow::Owned(scheduling),
            annotations: Cow::Owned(annotations),
            labels: Cow::Owned(labels),
        }
    }
}

fn fields(spec: Option<&RawValue>) -> Option<RawSpec<'_>> {
    let Some(text) = spec.map(RawValue::get) else { return Some(RawSpec::default()) };
    // serde accepts an array for a struct.
    text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
}

/// Returns the value of a field in the old spec: `value`, that of the new spec, if the text is the same.
fn field<'a, T: Clone + Default + for<'de> Deserialize<'de>>(
    old: Option<&RawValue>,
    new: Option<&RawValue>,
    value: &'a T,
) -> Option<Cow<'a, T>> {
    match old {
        _ if old.map(RawValue::get) == new.map(RawValue::get) => Some(Cow::Borrowed(value)),
        None => Some(Cow::Owned(T::default())),
        Some(raw) => serde_json::from_str(raw.get()).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{object::typed, samples};

    fn object(spec: &Value) -> Box<RawValue> {
        samples::raw(&json!({"spec": spec}))
    }

    #[test]
    fn shared_fields_are_those_of_the_old_spec() {
        let full = samples::full();
        let outgrown = json!({"resources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "2Gi"}}});
        let changed: Vec<Value> = samples::changed().into_iter().chain([json!({}), outgrown]).collect();
        let pairs = changed.iter().flat_map(|other| [(&full, other), (other, &full), (other, other)]);
        let mut shared = 0;
        for (old, new) in pairs {
            let Ok(spec) = typed(&samples::raw(new)) else { continue };
            let (old_object, new_object) = (object(old), object(new));
            let before = ReviewedObject::read(&old_object).unwrap();
            let after = ReviewedObject::read(&new_object).unwrap();
            let spec_of = |stored: StoredSpec<'_>| stored.view().to_spec();
            let read = StoredSpec::read(&before, &after, &spec).map(spec_of);
            assert_eq!(read, StoredSpec::whole(&before).map(spec_of), "{old} {new}");
            shared += usize::from(StoredSpec::changed(before.spec, after.spec, &spec).is_some());
        }
        assert!(shared > 200, "{shared}");
    }
}
