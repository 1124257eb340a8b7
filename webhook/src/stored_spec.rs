//! Spec of the stored object, of which only the fields that an update changes are parsed.

use std::{borrow::Cow, collections::BTreeMap};

use nats_manager_api::{ClusterSpec, JetStream, Logging, NatsSpec, ResourceRequirements, Scheduling, SpecView};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{object::ReviewedObject, spec};

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

impl<'a> StoredSpec<'a> {
    /// Reads the spec of `old`; `None` if it is unreadable. `spec` is the spec of `new`, in which a file size may be
    /// filled in that is the default of both.
    pub(crate) fn read(old: &ReviewedObject<'_>, new: &ReviewedObject<'_>, spec: &'a NatsSpec) -> Option<Self> {
        Self::changed(old, new, spec).or_else(|| Self::whole(old))
    }

    /// Reads the spec of `old` without another spec to borrow from.
    pub(crate) fn whole(old: &ReviewedObject<'_>) -> Option<Self> {
        Some(old.effective(old.spec().read().ok()?).spec.into())
    }

    /// Parses the fields that differ. `None` if one is unreadable, or if the spec depends on the metadata of the object.
    fn changed(old: &ReviewedObject<'_>, new: &ReviewedObject<'_>, spec: &'a NatsSpec) -> Option<Self> {
        let (old, new) = (old.spec(), new.spec());
        // The new spec is within bounds.
        if !old.is_same(&new) {
            old.check_bounds().ok()?;
        }
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

/// Returns the value of a field in the old spec: `value`, that of the new spec, if the text is the same.
fn field<'a, T: Clone + Default + DeserializeOwned>(
    old: Option<&RawValue>,
    new: Option<&RawValue>,
    value: &'a T,
) -> Option<Cow<'a, T>> {
    if spec::is_same(old, new) {
        return Some(Cow::Borrowed(value));
    }
    spec::field(old).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::samples;

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
            if ![old, new].iter().all(|spec| spec.is_object() || spec.is_null()) {
                continue;
            }
            let (old_object, new_object) = (object(old), object(new));
            let before = ReviewedObject::read(&old_object).unwrap();
            let after = ReviewedObject::read(&new_object).unwrap();
            let Ok(spec) = after.spec().read() else { continue };
            let spec_of = |stored: StoredSpec<'_>| stored.view().to_spec();
            let stored = StoredSpec::read(&before, &after, &spec).map(spec_of);
            assert_eq!(stored, StoredSpec::whole(&before).map(spec_of), "{old} {new}");
            shared += usize::from(StoredSpec::changed(&before, &after, &spec).is_some());
        }
        assert!(shared > 200, "{shared}");
    }
}
