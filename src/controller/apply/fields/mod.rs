//! Fields whose default is a decision: what others add to them is removed.
//!
//! A forced apply changes the fields that it contains. It cannot remove what another client owns. So a field, a key or
//! an element that the desired object does not have is removed by a JSON patch, where the table below lists its place.
//! Everything else that others add stays: tolerations, labels, annotations, volumes with their mounts, pull secrets.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

/// Place in objects of a kind where nothing beyond the desired content is kept.
struct OwnedField {
    kind: &'static str,
    /// JSON pointer. `*` stands for every element of a list that has the name of a desired element.
    path: &'static str,
    /// Value in JSON that the apiserver fills in where the field is absent. It is not removed.
    default: &'static str,
    /// One of its keys has to be present, and excludes others: the desired value replaces it as a whole.
    is_union: bool,
}

const fn owned(kind: &'static str, path: &'static str) -> OwnedField {
    defaulted(kind, path, "")
}

const fn defaulted(kind: &'static str, path: &'static str, default: &'static str) -> OwnedField {
    OwnedField { kind, path, default, is_union: false }
}

const fn union(kind: &'static str, path: &'static str) -> OwnedField {
    OwnedField { is_union: true, ..owned(kind, path) }
}

const SET: &str = "StatefulSet";
const BUDGET: &str = "PodDisruptionBudget";
const SERVICE: &str = "Service";

/// Fields with a default that is a decision. Retention of PVCs, ordinals, minimum ready time, update strategy and
/// partition are part of the desired object, so they need no entry.
const OWNED: &[OwnedField] = &[
    defaulted(SET, "/spec/updateStrategy/rollingUpdate/maxUnavailable", "1"),
    owned(SET, "/spec/template/spec/nodeName"),
    owned(SET, "/spec/template/spec/nodeSelector"),
    owned(SET, "/spec/template/spec/affinity"),
    owned(SET, "/spec/template/spec/affinity/nodeAffinity"),
    owned(SET, "/spec/template/spec/affinity/podAffinity"),
    owned(SET, "/spec/template/spec/affinity/podAntiAffinity"),
    owned(SET, "/spec/template/spec/activeDeadlineSeconds"),
    defaulted(SET, "/spec/template/spec/dnsPolicy", "\"ClusterFirst\""),
    defaulted(SET, "/spec/template/spec/hostNetwork", "false"),
    defaulted(SET, "/spec/template/spec/hostPID", "false"),
    defaulted(SET, "/spec/template/spec/hostIPC", "false"),
    owned(SET, "/spec/template/spec/initContainers"),
    owned(SET, "/spec/template/spec/containers"),
    owned(SET, "/spec/template/spec/containers/*/command"),
    owned(SET, "/spec/template/spec/containers/*/args"),
    owned(SET, "/spec/template/spec/containers/*/env"),
    // `value` and `valueFrom` exclude each other.
    owned(SET, "/spec/template/spec/containers/*/env/*"),
    owned(SET, "/spec/template/spec/containers/*/envFrom"),
    owned(SET, "/spec/template/spec/containers/*/lifecycle"),
    union(SET, "/spec/template/spec/containers/*/lifecycle/preStop"),
    union(SET, "/spec/template/spec/containers/*/startupProbe"),
    union(SET, "/spec/template/spec/containers/*/readinessProbe"),
    union(SET, "/spec/template/spec/containers/*/livenessProbe"),
    union(SET, "/spec/template/spec/volumes/*"),
    owned(BUDGET, "/spec/minAvailable"),
    owned(BUDGET, "/spec/selector"),
    owned(BUDGET, "/spec/selector/matchLabels"),
    owned(SERVICE, "/spec/selector"),
];

const UPDATE_STRATEGY: &str = "/spec/updateStrategy";

/// Lists whose elements are identified by a number, and have a unique name as well: kind, path, field of the number.
const NUMBERED: &[(&str, &str, &str)] =
    &[(SERVICE, "/spec/ports", "port"), (SET, "/spec/template/spec/containers/*/ports", "containerPort")];

/// Step of a path. The order puts the last element of a list at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    Element(usize),
}

/// Content of a live object that is to be removed or replaced.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ForeignContent(Vec<ForeignField>);

#[derive(Debug, PartialEq)]
struct ForeignField {
    path: Vec<Step>,
    /// Desired value that replaces it. `None` if it is removed.
    replacement: Option<Value>,
}

impl ForeignContent {
    /// Finds the content of `live` at the places of the table that `desired` does not have.
    pub(super) fn of(kind: &str, live: &Value, desired: &Value) -> Self {
        let mut found = Vec::new();
        for field in OWNED.iter().filter(|field| field.kind == kind) {
            visit(live, desired, &steps(field.path), &mut Vec::new(), &mut |at, live, desired| {
                let beyond = beyond(live, desired, field.default);
                if field.is_union && !desired.is_null() && !beyond.is_empty() {
                    found.push(ForeignField { path: at.to_vec(), replacement: Some(desired.clone()) });
                } else {
                    found.extend(beyond.into_iter().map(|last| ForeignField::removed(at, last)));
                }
            });
        }
        for (_, path, number) in NUMBERED.iter().filter(|(of, ..)| *of == kind) {
            visit(live, desired, &steps(path), &mut Vec::new(), &mut |at, live, desired| {
                let elements = renumbered(live, desired, number).into_iter();
                found.extend(elements.map(|index| ForeignField::removed(at, Some(Step::Element(index)))));
            });
        }
        // Elements are removed from the end, so that the indexes of the others stay valid.
        found.sort_by(|one, other| other.path.cmp(&one.path));
        Self(found)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the paths, for logs.
    pub(super) fn pointers(&self) -> Vec<String> {
        self.0.iter().map(|field| pointer(&field.path)).collect()
    }

    /// Builds the JSON patch that removes or replaces the content in exactly this version of the object. A patch of a Pod
    /// template also sets the desired update strategy: with an open partition, such as that of the predecessor, the
    /// StatefulSet controller would restart all servers.
    pub(super) fn patch(&self, resource_version: &str, desired: &Value) -> Value {
        let test = json!({"op": "test", "path": "/metadata/resourceVersion", "value": resource_version});
        let strategy = desired.pointer(UPDATE_STRATEGY).filter(|_| self.has_template());
        let strategy = strategy.map(|value| json!({"op": "add", "path": UPDATE_STRATEGY, "value": value}));
        let sets_strategy = strategy.is_some();
        let is_contained = |field: &&ForeignField| sets_strategy && pointer(&field.path).starts_with(UPDATE_STRATEGY);
        let operations = self.0.iter().filter(|field| !is_contained(field)).map(|field| match &field.replacement {
            Some(value) => json!({"op": "replace", "path": pointer(&field.path), "value": value}),
            None => json!({"op": "remove", "path": pointer(&field.path)}),
        });
        std::iter::once(test).chain(strategy).chain(operations).collect()
    }

    fn has_template(&self) -> bool {
        self.pointers().iter().any(|pointer| pointer.starts_with("/spec/template/"))
    }
}

impl ForeignField {
    fn removed(at: &[Step], last: Option<Step>) -> Self {
        Self { path: at.iter().cloned().chain(last).collect(), replacement: None }
    }
}

fn steps(path: &'static str) -> Vec<&'static str> {
    path.split('/').skip(1).collect()
}

fn pointer(steps: &[Step]) -> String {
    let text = |step: &Step| match step {
        Step::Field(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        Step::Element(index) => format!("/{index}"),
    };
    steps.iter().map(text).collect()
}

/// Follows a path of the table in both objects, and calls `take` with each place at its end, and both values there.
fn visit(
    live: &Value,
    desired: &Value,
    path: &[&str],
    at: &mut Vec<Step>,
    take: &mut dyn FnMut(&[Step], &Value, &Value),
) {
    let Some((step, rest)) = path.split_first() else { return take(at, live, desired) };
    if *step == "*" {
        for (index, element) in live.as_array().into_iter().flatten().enumerate() {
            let Some(own) = same_name(desired, element) else { continue };
            at.push(Step::Element(index));
            visit(element, own, rest, at, take);
            at.pop();
        }
    } else if let Some(field) = live.get(step) {
        at.push(Step::Field((*step).to_owned()));
        visit(field, desired.get(step).unwrap_or(&Value::Null), rest, at, take);
        at.pop();
    }
}

/// Returns what `live` has beyond `desired`: the value itself (`None`), keys or elements.
fn beyond(live: &Value, desired: &Value, default: &str) -> Vec<Option<Step>> {
    match (live, desired) {
        (live, Value::Null) if is_empty(live) || is_json(live, default) => Vec::new(),
        (_, Value::Null) => vec![None],
        (Value::Object(live), Value::Object(desired)) => {
            let keys = live.keys().filter(|key| !desired.contains_key(*key));
            keys.map(|key| Some(Step::Field(key.clone()))).collect()
        }
        (Value::Array(elements), desired) => elements
            .iter()
            .enumerate()
            .filter(|(_, element)| element.get("name").is_some() && same_name(desired, element).is_none())
            .map(|(index, _)| Some(Step::Element(index)))
            .collect(),
        _ => Vec::new(),
    }
}

/// Returns the elements of `live` that have the name of a desired element, and another number or protocol.
fn renumbered(live: &Value, desired: &Value, number: &str) -> Vec<usize> {
    let id = |element: &Value| {
        let protocol = element.get("protocol").and_then(Value::as_str).unwrap_or("TCP").to_owned();
        (element.get(number).cloned(), protocol)
    };
    let all = live.as_array().into_iter().flatten().enumerate();
    all.filter(|(_, element)| same_name(desired, element).is_some_and(|own| id(own) != id(element)))
        .map(|(index, _)| index)
        .collect()
}

/// Returns the element of a list that has the same name.
fn same_name<'a>(list: &'a Value, element: &Value) -> Option<&'a Value> {
    let name = element.get("name")?;
    list.as_array()?.iter().find(|other| other.get("name") == Some(name))
}

fn is_json(value: &Value, text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|other| *value == other)
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}
