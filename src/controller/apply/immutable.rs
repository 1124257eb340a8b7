//! Immutable fields: a live object with another value than the desired one has to be replaced.

use serde_json::{Value, json};

use super::compare::is_applied;

/// Way to give an existing object the desired value of an immutable field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// The object is deleted and created again at once.
    Recreate,
    /// The StatefulSet is deleted without its Pods, which is an action of the plan.
    Orphan,
    /// The Pods and the data belong to the live object: nothing is replaced.
    Never,
}

/// Immutable field of objects of a kind.
#[derive(Debug)]
struct ImmutableField {
    kind: &'static str,
    /// JSON pointer.
    path: &'static str,
    /// Value in JSON that the apiserver fills in where the desired object has none.
    default: &'static str,
    replacement: Replacement,
}

const fn field(kind: &'static str, path: &'static str, replacement: Replacement) -> ImmutableField {
    ImmutableField { kind, path, default: "", replacement }
}

const IMMUTABLE: &[ImmutableField] = &[
    // An ExternalName Service has no cluster IP, and gets one when its type changes.
    ImmutableField { default: "\"ClusterIP\"", ..field("Service", "/spec/type", Replacement::Recreate) },
    field("Service", "/spec/clusterIP", Replacement::Recreate),
    field("Secret", "/type", Replacement::Recreate),
    field("StatefulSet", "/spec/podManagementPolicy", Replacement::Orphan),
    field("StatefulSet", "/spec/serviceName", Replacement::Orphan),
    field("StatefulSet", "/spec/volumeClaimTemplates", Replacement::Orphan),
    // Other Pods, and other PVCs.
    field("StatefulSet", "/spec/volumeClaimTemplates/0/metadata/name", Replacement::Never),
    field("StatefulSet", "/spec/selector", Replacement::Never),
];

/// Content of a ConfigMap or Secret with `immutable: true`.
const CONTENT: ImmutableField = field("", "/data", Replacement::Recreate);

/// Returns the values of the immutable fields of an object.
pub(super) fn values(kind: &str, object: &Value) -> Value {
    IMMUTABLE.iter().filter(|field| field.kind == kind).map(|field| object.pointer(field.path).cloned()).collect()
}

/// Immutable fields in which a live object differs from the desired one.
#[derive(Debug, Default)]
pub(crate) struct ImmutableDifference(Vec<&'static ImmutableField>);

impl ImmutableDifference {
    pub(crate) fn of(kind: &str, live: &Value, desired: &Value) -> Self {
        let is_sealed = matches!(kind, "ConfigMap" | "Secret") && live.get("immutable") == Some(&json!(true));
        let fields = IMMUTABLE.iter().filter(|field| field.kind == kind);
        let sealed = is_sealed.then_some(&CONTENT);
        Self(fields.chain(sealed).filter(|field| field.differs(live, desired)).collect())
    }

    /// Returns the way to replace the object. `None` if no immutable field differs.
    pub(crate) fn replacement(&self) -> Option<Replacement> {
        let all = || self.0.iter().map(|field| field.replacement);
        all().find(|way| *way == Replacement::Never).or_else(|| all().next())
    }

    /// Returns the fields, such as `.spec.clusterIP`.
    pub(crate) fn fields(&self) -> String {
        self.0.iter().map(|field| field.path.replace('/', ".")).collect::<Vec<_>>().join(", ")
    }

    /// Returns the desired object with the immutable fields of the live one, so that an apply can be accepted.
    pub(crate) fn keep(&self, live: &Value, desired: &Value) -> Value {
        let mut kept = desired.clone();
        for field in &self.0 {
            let Some((parent, name)) = field.path.rsplit_once('/') else { continue };
            let Some(parent) = kept.pointer_mut(parent).and_then(Value::as_object_mut) else { continue };
            match live.pointer(field.path) {
                Some(value) => _ = parent.insert(name.to_owned(), value.clone()),
                None => _ = parent.remove(name),
            }
        }
        kept
    }
}

impl ImmutableField {
    fn differs(&self, live: &Value, desired: &Value) -> bool {
        let default = serde_json::from_str(self.default).unwrap_or_default();
        let value = |object: &Value| object.pointer(self.path).cloned().unwrap_or_else(|| Value::clone(&default));
        let (live, desired) = (value(live), value(desired));
        let count = |value: &Value| value.as_array().map_or(0, Vec::len);
        // A selector selects fewer Pods with more labels.
        let is_superset = self.path == "/spec/selector" && !is_applied(&desired, &live);
        !is_applied(&live, &desired) || count(&live) != count(&desired) || is_superset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn immutable_fields_that_differ_are_found_and_kept() {
        use Replacement::{Never, Orphan, Recreate};
        let service = json!({"spec": {"clusterIP": "None", "ports": [1]}});
        let set = json!({"spec": {
            "podManagementPolicy": "Parallel", "serviceName": "n", "replicas": 3,
            "selector": {"matchLabels": {"a": "1"}},
            "volumeClaimTemplates": [{"metadata": {"name": "pvc"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
        }});
        let spec = |base: &Value, field: &str, value: Value| {
            let mut changed = base.clone();
            changed["spec"][field] = value;
            changed
        };
        let claim = |name: &str, mode: &str| json!([{"metadata": {"name": name}, "spec": {"accessModes": [mode]}, "status": {}}]);
        let config = |data: &str| json!({"data": {"nats.conf": data}});
        let sealed = |data: &str| json!({"data": {"nats.conf": data, "other": "x"}, "immutable": true});
        for (kind, desired, live, fields, replacement) in [
            ("Service", &service, service.clone(), "", None),
            ("Service", &service, spec(&service, "type", json!("ClusterIP")), "", None),
            ("Service", &service, spec(&service, "clusterIP", json!("10.0.0.1")), ".spec.clusterIP", Some(Recreate)),
            (
                "Service",
                &service,
                json!({"spec": {"type": "ExternalName"}}),
                ".spec.type, .spec.clusterIP",
                Some(Recreate),
            ),
            ("ConfigMap", &config("a"), config("b"), "", None),
            ("ConfigMap", &config("a"), sealed("a"), "", None),
            ("ConfigMap", &config("a"), sealed("b"), ".data", Some(Recreate)),
            ("Secret", &json!({"type": "Opaque"}), json!({"type": "Other"}), ".type", Some(Recreate)),
            ("StatefulSet", &set, spec(&set, "replicas", json!(5)), "", None),
            (
                "StatefulSet",
                &set,
                spec(&set, "podManagementPolicy", json!("OrderedReady")),
                ".spec.podManagementPolicy",
                Some(Orphan),
            ),
            ("StatefulSet", &set, spec(&set, "volumeClaimTemplates", claim("pvc", "ReadWriteOnce")), "", None),
            (
                "StatefulSet",
                &set,
                spec(&set, "volumeClaimTemplates", claim("pvc", "ReadWriteOncePod")),
                ".spec.volumeClaimTemplates",
                Some(Orphan),
            ),
            (
                "StatefulSet",
                &set,
                spec(&set, "volumeClaimTemplates", claim("other", "ReadWriteOnce")),
                ".spec.volumeClaimTemplates, .spec.volumeClaimTemplates.0.metadata.name",
                Some(Never),
            ),
            (
                "StatefulSet",
                &set,
                spec(&set, "selector", json!({"matchLabels": {"a": "1", "b": "1"}})),
                ".spec.selector",
                Some(Never),
            ),
        ] {
            let difference = ImmutableDifference::of(kind, &live, desired);
            assert_eq!((difference.fields().as_str(), difference.replacement()), (fields, replacement), "{live}");
            let kept = difference.keep(&live, desired);
            assert_eq!(ImmutableDifference::of(kind, &live, &kept).fields(), "", "{live}");
        }
    }
}
