//! Default limits that are stored although no apply set them.
//!
//! The schema stores its default for `spec.resources` when the field is absent as a whole. Server-side apply gives no
//! owner to such a value, and the annotation of client-side apply does not contain it. So a later apply of a larger
//! request does not remove it, and the limit would forbid the request.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use crate::{
    resource::{Nats, NatsSpec},
    rules::{Warning, limit_field},
};

/// Annotation in which client-side apply stores the applied object.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Operation of the managed fields of a server-side apply.
pub const APPLY: &str = "Apply";

/// Limits and requests of cpu and memory that users applied, by the records in the metadata of a resource.
#[derive(Debug, Default)]
pub struct AppliedResources(Vec<Resources>);

/// A record: the object of client-side apply, or the fields that a server-side apply owns, whose names begin with `f:`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    #[serde(alias = "f:spec")]
    spec: Option<RecordedSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RecordedSpec {
    #[serde(alias = "f:resources")]
    resources: Option<Resources>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    #[serde(alias = "f:limits")]
    limits: Option<Amounts>,
    #[serde(alias = "f:requests")]
    requests: Option<Amounts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Amounts {
    #[serde(alias = "f:cpu")]
    cpu: Option<IgnoredAny>,
    #[serde(alias = "f:memory")]
    memory: Option<IgnoredAny>,
}

impl AppliedResources {
    /// Reads the records: `last_applied` is the annotation [`LAST_APPLIED`], and `applied_fields` are the `fieldsV1` of
    /// all managed fields of the operation `Apply`. Those of an `Update` also contain the defaults that were filled in
    /// with it (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>). An unreadable
    /// record is no evidence.
    pub fn read<'a>(last_applied: Option<&str>, applied_fields: impl IntoIterator<Item = &'a Value>) -> Self {
        let last_applied = last_applied.and_then(|text| serde_json::from_str(text).ok());
        let fields = applied_fields.into_iter().filter_map(|fields| Record::deserialize(fields).ok());
        Self(last_applied.into_iter().chain(fields).filter_map(|record: Record| record.spec?.resources).collect())
    }

    /// Reads the records of an object.
    pub fn of(metadata: &ObjectMeta) -> Self {
        let last_applied = metadata.annotations.as_ref().and_then(|all| all.get(LAST_APPLIED));
        let managed = metadata.managed_fields.iter().flatten();
        let applied = managed.filter(|entry| entry.operation.as_deref() == Some(APPLY));
        Self::read(last_applied.map(String::as_str), applied.filter_map(|entry| Some(&entry.fields_v1.as_ref()?.0)))
    }

    /// Returns whether a request was applied, and its limit was not.
    fn has_only_request(&self, name: &str) -> bool {
        let any = |kind: fn(&Resources) -> Option<&Amounts>| {
            self.0.iter().any(|record| kind(record).is_some_and(|amounts| amounts.contains(name)))
        };
        any(|record| record.requests.as_ref()) && !any(|record| record.limits.as_ref())
    }
}

impl Amounts {
    fn contains(&self, name: &str) -> bool {
        match name {
            "cpu" => self.cpu.is_some(),
            "memory" => self.memory.is_some(),
            _ => false,
        }
    }
}

/// Spec as it is validated and deployed.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveSpec {
    /// Spec without default limits that give way to larger requests.
    pub spec: NatsSpec,
    /// A warning for each of these limits.
    pub warnings: Vec<Warning>,
}

impl NatsSpec {
    /// Removes default limits that are less than their request, where the records show that the request was applied and
    /// the limit was not. The omitted limit then follows the request.
    #[must_use]
    pub fn effective(mut self, applied: &AppliedResources) -> EffectiveSpec {
        let removed = self.remove_outgrown_defaults(|name| applied.has_only_request(name)).into_iter();
        let warnings = removed.map(|(name, default)| Warning {
            field: limit_field(name).into(),
            message: format!(
                "the stored default {default} is ignored: the request is larger, and no apply set the limit"
            )
            .into(),
        });
        EffectiveSpec { warnings: warnings.collect(), spec: self }
    }

    /// Removes all default limits that are less than their request, whatever the records contain.
    #[must_use]
    pub(crate) fn without_outgrown_defaults(mut self) -> Self {
        self.remove_outgrown_defaults(|_| true);
        self
    }

    /// Removes the default limits that are less than their request and that give way. Returns their names and values.
    fn remove_outgrown_defaults(&mut self, gives_way: impl Fn(&str) -> bool) -> Vec<(&'static str, &'static str)> {
        let removed: Vec<_> = self.resources.outgrown_defaults().filter(|(name, _)| gives_way(name)).collect();
        for (name, _) in &removed {
            self.resources.limits.as_mut().map(|limits| limits.remove(*name));
        }
        removed
    }
}

impl Nats {
    /// Returns the spec as it is validated and deployed, by the records in the metadata.
    pub fn effective_spec(&self) -> EffectiveSpec {
        self.spec.clone().effective(&AppliedResources::of(&self.metadata))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn effective(resources: &Value, metadata: &Value) -> EffectiveSpec {
        let nats = json!({"metadata": metadata, "spec": {"resources": resources}});
        let mut object = nats;
        object["apiVersion"] = "operator.kyma-project.io/v1alpha1".into();
        object["kind"] = "NATS".into();
        serde_json::from_value::<Nats>(object).unwrap().effective_spec()
    }

    fn apply(operation: &str, fields: &Value) -> Value {
        json!({"manager": "m", "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:resources": fields}}})
    }

    fn last_applied(resources: &Value) -> Value {
        json!({"annotations": {LAST_APPLIED: json!({"spec": {"resources": resources}}).to_string()}})
    }

    #[test]
    fn default_limit_gives_way_only_where_records_show_that_no_apply_set_it() {
        let stored = json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "40m", "memory": "2Gi"}});
        let request = json!({"requests": {"memory": "2Gi"}});
        let both = json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}});
        let owned = |fields: Value| json!({"managedFields": [fields]});
        let owns_request = json!({"f:requests": {"f:memory": {}}});
        let owns_both = json!({"f:requests": {"f:memory": {}}, "f:limits": {"f:memory": {}}});
        for (case, metadata, gives_way) in [
            ("no record", json!({}), false),
            ("client-side apply of the request", last_applied(&request), true),
            ("client-side apply of both", last_applied(&both), false),
            ("client-side apply of neither", last_applied(&json!({})), false),
            ("server-side apply of the request", owned(apply("Apply", &owns_request)), true),
            ("server-side apply of both", owned(apply("Apply", &owns_both)), false),
            ("an update of both", owned(apply("Update", &owns_both)), false),
            (
                "an update of both, which owns defaults, and an apply of the request",
                json!({"managedFields": [apply("Update", &owns_both), apply("Apply", &owns_request)]}),
                true,
            ),
            (
                "applies of the request and of both",
                json!({"managedFields": [apply("Apply", &owns_request), apply("Apply", &owns_both)]}),
                false,
            ),
            ("an annotation that is no JSON", json!({"annotations": {LAST_APPLIED: "{"}}), false),
        ] {
            let EffectiveSpec { spec, warnings } = effective(&stored, &metadata);
            let limits = spec.resources.limits.clone().unwrap();
            assert_eq!(!limits.contains_key("memory"), gives_way, "{case}");
            assert_eq!(warnings.len(), usize::from(gives_way), "{case}");
            let completed = spec.resources.completed().limits.unwrap();
            assert_eq!(completed["memory"].text, if gives_way { "2Gi" } else { "1Gi" }, "{case}");
            assert_eq!(completed["cpu"].text, "500m", "{case}");
        }
    }

    #[test]
    fn other_limits_stay() {
        let metadata = last_applied(&json!({"requests": {"memory": "2Gi", "cpu": "40m"}}));
        for (case, resources) in [
            ("a limit that is not the default", json!({"limits": {"memory": "1536Mi"}, "requests": {"memory": "2Gi"}})),
            ("a smaller request", json!({"limits": {"memory": "1Gi"}, "requests": {"memory": "64Mi"}})),
            ("the same request", json!({"limits": {"memory": "1Gi"}, "requests": {"memory": "1024Mi"}})),
            ("a request that is no quantity", json!({"limits": {"memory": "1Gi"}, "requests": {"memory": "much"}})),
            ("no request", json!({"limits": {"memory": "1Gi"}})),
        ] {
            let EffectiveSpec { spec, warnings } = effective(&resources, &metadata);
            assert!(spec.resources.limits.unwrap().contains_key("memory"), "{case}");
            assert_eq!(warnings, [], "{case}");
        }
    }
}
