//! Selection of objects by namespace, labels and fields.

use serde_json::Value;

use super::target::Target;

/// Objects of a list or a watch.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    pub(super) collection: String,
    namespace: Option<String>,
    labels: Vec<Requirement>,
    fields: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
enum Requirement {
    Equals(String, String),
    Absent(String),
    Present(String),
}

impl Selection {
    /// Returns the selection of a request.
    pub(super) fn of(target: &Target) -> Self {
        let terms = |name: &str| {
            let text = target.query.get(name).map(String::as_str).unwrap_or_default();
            text.split(',').filter(|term| !term.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        Self {
            collection: target.collection.clone(),
            namespace: target.namespace.clone(),
            labels: terms("labelSelector").iter().map(|term| Requirement::parse(term)).collect(),
            fields: terms("fieldSelector").iter().filter_map(|term| pair(term)).collect(),
        }
    }

    /// Returns whether an object of the collection is selected.
    pub(super) fn has(&self, object: &Value) -> bool {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        self.namespace.as_deref().is_none_or(|namespace| namespace == text("/metadata/namespace"))
            && self.labels.iter().all(|requirement| requirement.is_met(&object["metadata"]["labels"]))
            && self.fields.iter().all(|(path, value)| text(&format!("/{}", path.replace('.', "/"))) == value)
    }
}

impl Requirement {
    fn parse(term: &str) -> Self {
        match (term.strip_prefix('!'), pair(term)) {
            (Some(absent), _) => Self::Absent(absent.to_owned()),
            (None, Some((label, value))) => Self::Equals(label, value),
            (None, None) => Self::Present(term.to_owned()),
        }
    }

    fn is_met(&self, labels: &Value) -> bool {
        match self {
            Self::Equals(label, value) => labels[label] == **value,
            Self::Absent(label) => labels.get(label).is_none(),
            Self::Present(label) => labels.get(label).is_some(),
        }
    }
}

/// Splits `name=value` or `name==value`.
fn pair(term: &str) -> Option<(String, String)> {
    let (name, value) = term.split_once('=')?;
    Some((name.to_owned(), value.trim_start_matches('=').to_owned()))
}

#[cfg(test)]
mod tests {
    use http::Uri;
    use serde_json::json;

    use super::*;

    #[test]
    fn selection_honours_namespace_labels_and_fields() {
        let object = json!({"metadata": {"namespace": "a", "name": "x", "labels": {"l": "1"}}, "spec": {"of": "b"}});
        for (uri, expected) in [
            ("/api/v1/pods", true),
            ("/api/v1/namespaces/a/pods", true),
            ("/api/v1/namespaces/b/pods", false),
            ("/api/v1/pods?labelSelector=l%3D1", true),
            ("/api/v1/pods?labelSelector=l%3D2", false),
            ("/api/v1/pods?labelSelector=l", true),
            ("/api/v1/pods?labelSelector=%21l", false),
            ("/api/v1/pods?labelSelector=%21m", true),
            ("/api/v1/pods?fieldSelector=metadata.name%3Dx", true),
            ("/api/v1/pods?fieldSelector=metadata.name%3Dy", false),
            ("/api/v1/pods?labelSelector=l%3D1&fieldSelector=spec.of%3Dc", false),
        ] {
            let target = Target::parse(&Uri::from_static(uri)).unwrap();
            assert_eq!(Selection::of(&target).has(&object), expected, "{uri}");
        }
    }
}
