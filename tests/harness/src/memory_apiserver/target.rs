//! Parser of request targets: the paths and queries of the Kubernetes API.

use std::collections::BTreeMap;

use http::Uri;

/// Resources or one resource that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Path of the group and version with the plural, such as `apis/apps/v1/statefulsets`.
    pub(super) collection: String,
    /// Plural of the resource.
    pub(super) plural: String,
    /// `None` for all namespaces, and for resources without a namespace.
    pub(super) namespace: Option<String>,
    /// `None` for a collection.
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
    pub(super) query: BTreeMap<String, String>,
}

impl Target {
    /// Parses the target of a request; `None` for a path that is not one of resources.
    pub(super) fn parse(uri: &Uri) -> Option<Self> {
        let mut parts = uri.path().trim_matches('/').split('/');
        let root = parts.next()?;
        let version = match root {
            "api" => format!("api/{}", parts.next()?),
            "apis" => format!("apis/{}/{}", parts.next()?, parts.next()?),
            _ => return None,
        };
        let mut plural = parts.next()?;
        let mut namespace = None;
        let mut name = parts.next();
        if plural == "namespaces"
            && let (Some(of), Some(inner)) = (name, parts.next())
        {
            (namespace, plural, name) = (Some(of.to_owned()), inner, parts.next());
        }
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        Some(Self {
            collection: format!("{version}/{plural}"),
            plural: plural.to_owned(),
            namespace,
            name: name.map(str::to_owned),
            subresource: parts.next().map(str::to_owned),
            query,
        })
    }

    /// Returns whether the request starts a watch.
    pub(super) fn is_watch(&self) -> bool {
        self.query.get("watch").is_some_and(|value| value == "true")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_names_collection_namespace_and_object() {
        let parts = |uri: &'static str| {
            let target = Target::parse(&Uri::from_static(uri)).unwrap();
            [Some(target.collection), target.namespace, target.name, target.subresource].map(Option::unwrap_or_default)
        };
        for (uri, expected) in [
            ("/api/v1/nodes?watch=true", ["api/v1/nodes", "", "", ""]),
            ("/api/v1/namespaces/a", ["api/v1/namespaces", "", "a", ""]),
            ("/api/v1/namespaces/a/pods?&limit=500", ["api/v1/pods", "a", "", ""]),
            ("/apis/apps/v1/namespaces/a/statefulsets/b/status", ["apis/apps/v1/statefulsets", "a", "b", "status"]),
        ] {
            assert_eq!(parts(uri), expected, "{uri}");
        }
        assert_eq!(Target::parse(&Uri::from_static("/version")), None);
        let target = Target::parse(&Uri::from_static("/api/v1/pods?watch=true&labelSelector=a%3Db%2C%21c")).unwrap();
        assert!(target.is_watch());
        assert_eq!(target.query["labelSelector"], "a=b,!c");
    }
}
