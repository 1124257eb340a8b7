//! Labels of a request to the apiserver, each with few values.

use std::borrow::Cow;

use axum::http::{Method, Request, StatusCode, header};
use prometheus_client::encoding::EncodeLabelSet;

/// Labels of a counted request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Verb in the apiserver's terms: get, list, watch, create, update, patch, apply, delete, deletecollection. Other
    /// for any other method.
    pub verb: &'static str,
    /// Plural such as `statefulsets`, also for subresources. `none` for a path outside of resources.
    pub resource: Cow<'static, str>,
    /// Status code, or `timeout` or `error` without a response.
    pub code: Cow<'static, str>,
}

impl RequestLabels {
    /// Returns the labels of a request without a response yet, with `error` as the code.
    pub fn of<B>(request: &Request<B>) -> Self {
        let (resource, is_named) = resource(request.uri().path());
        let method = request.method();
        let verb = if *method == Method::GET {
            match (is_watch(request), is_named) {
                (true, _) => "watch",
                (false, true) => "get",
                (false, false) => "list",
            }
        } else if *method == Method::PATCH {
            let kind = request.headers().get(header::CONTENT_TYPE).map(header::HeaderValue::as_bytes);
            if kind.is_some_and(|kind| kind.starts_with(b"application/apply-patch")) { "apply" } else { "patch" }
        } else if *method == Method::POST {
            "create"
        } else if *method == Method::PUT {
            "update"
        } else if *method == Method::DELETE {
            if is_named { "delete" } else { "deletecollection" }
        } else {
            "other"
        };
        Self {
            verb,
            resource: resource.map_or("none".into(), |resource| resource.to_owned().into()),
            code: "error".into(),
        }
    }

    /// Sets the code of a response.
    #[must_use]
    pub fn answered(self, status: StatusCode) -> Self {
        Self { code: status.as_str().to_owned().into(), ..self }
    }

    /// Sets the code of a request without a response within the limit.
    #[must_use]
    pub fn timed_out(self) -> Self {
        Self { code: "timeout".into(), ..self }
    }
}

/// Returns whether the response is a stream without an end.
pub(crate) fn is_watch<B>(request: &Request<B>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
}

/// Returns the plural in a path, and whether the path names one object.
fn resource(path: &str) -> (Option<&str>, bool) {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let rest: Vec<&str> = match segments.next() {
        // /api/v1/...
        Some("api") => segments.skip(1).collect(),
        // /apis/<group>/<version>/...
        Some("apis") => segments.skip(2).collect(),
        _ => Vec::new(),
    };
    match rest.as_slice() {
        ["namespaces", _, "status" | "finalize"] => (Some("namespaces"), true),
        ["namespaces", _, plural, name @ ..] | [plural, name @ ..] => (Some(plural), !name.is_empty()),
        [] => (None, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_has_verb_and_resource() {
        let nats = "/apis/operator.kyma-project.io/v1alpha1";
        let cases = [
            ("GET", "/api/v1/namespaces/a/secrets/b".to_owned(), "get", "secrets"),
            ("GET", "/api/v1/namespaces/a/secrets?limit=5".to_owned(), "list", "secrets"),
            (
                "GET",
                "/api/v1/namespaces/a/secrets?&watch=true&fieldSelector=metadata.name%3Db".to_owned(),
                "watch",
                "secrets",
            ),
            ("GET", "/api/v1/nodes".to_owned(), "list", "nodes"),
            ("GET", "/api/v1/nodes/n".to_owned(), "get", "nodes"),
            ("GET", "/api/v1/namespaces".to_owned(), "list", "namespaces"),
            ("GET", "/api/v1/namespaces/a".to_owned(), "get", "namespaces"),
            ("POST", "/api/v1/namespaces/a/pods/b/eviction".to_owned(), "create", "pods"),
            ("PATCH", format!("{nats}/namespaces/a/nats/b/status"), "patch", "nats"),
            ("PUT", format!("{nats}/namespaces/a/nats/b"), "update", "nats"),
            ("GET", format!("{nats}/nats?watch=1"), "watch", "nats"),
            ("DELETE", "/apis/apps/v1/namespaces/a/statefulsets/b".to_owned(), "delete", "statefulsets"),
            (
                "DELETE",
                "/api/v1/namespaces/a/persistentvolumeclaims".to_owned(),
                "deletecollection",
                "persistentvolumeclaims",
            ),
            ("GET", "/version".to_owned(), "list", "none"),
            ("GET", "/apis".to_owned(), "list", "none"),
            ("OPTIONS", "/".to_owned(), "other", "none"),
        ];
        for (method, uri, verb, resource) in cases {
            let request = Request::builder().method(method).uri(&uri).body(()).unwrap();
            let labels = RequestLabels::of(&request);
            assert_eq!((labels.verb, &*labels.resource), (verb, resource), "{method} {uri}");
        }
        let apply = Request::patch("/api/v1/namespaces/a/services/b?force=true")
            .header("content-type", "application/apply-patch+yaml");
        assert_eq!(RequestLabels::of(&apply.body(()).unwrap()).verb, "apply");
    }
}
