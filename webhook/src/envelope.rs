//! Request side of an `AdmissionReview`.
//!
//! The response carries the uid even if the contents of the envelope are malformed: then each level is parsed by itself.
//! The apiserver treats a response without the uid as a failed call.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    json::{Object, Text},
    object::{ReviewedObject, TypeError},
    text::shortened,
};

/// `apiVersion` of every review, read or written.
pub(crate) const API_VERSION: &str = "admission.k8s.io/v1";
/// `kind` of every review, read or written.
pub(crate) const KIND: &str = "AdmissionReview";

/// Upper bound for a uid, in bytes. The apiserver sends UUIDs.
const LONGEST_UID: usize = 128;

/// Review with a uid, so that a response is possible.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) uid: Cow<'a, str>,
    pub(crate) request: Result<Request<'a>, Malformed>,
}

/// Request of a review.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) kind: ReviewedKind<'a>,
    pub(crate) resource: ReviewedResource<'a>,
    pub(crate) sub_resource: Cow<'a, str>,
    pub(crate) operation: ReviewOperation,
    pub(crate) name: Cow<'a, str>,
    pub(crate) namespace: Cow<'a, str>,
    pub(crate) dry_run: bool,
    pub(crate) username: Cow<'a, str>,
    pub(crate) object: Option<Subject<'a>>,
    pub(crate) old_object: Option<Subject<'a>>,
}

/// Object in a request.
#[derive(Debug)]
pub(crate) enum Subject<'a> {
    /// NATS resource that was read together with the envelope.
    Nats(ReviewedObject<'a>),
    /// Object of another kind, or one in a malformed request. It is not parsed yet.
    Raw(&'a RawValue),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ReviewedKind<'a> {
    #[serde(borrow)]
    pub(crate) group: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) kind: Cow<'a, str>,
}

/// Resource of the request. For a subresource it is that of the parent, while the kind is that of the object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ReviewedResource<'a> {
    #[serde(borrow)]
    pub(crate) group: Cow<'a, str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ReviewOperation {
    Create,
    Update,
    Delete,
    Connect,
}

/// Reason for which a body is not a review that can be answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the body is not UTF-8")]
    NotUtf8,
    #[error("the body is not a JSON object: {0}")]
    NotJson(String),
    #[error("the body is not an AdmissionReview of admission.k8s.io/v1")]
    NotAReview,
    #[error("the review has no request")]
    NoRequest,
    #[error("the request has no uid")]
    NoUid,
}

/// Field of a request with a wrong type or value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("request.{field}: {message}")]
pub(crate) struct Malformed {
    field: &'static str,
    message: String,
}

/// Review whose fields take any JSON, so that one malformed field cannot hide another.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReview<'a, R> {
    #[serde(borrow)]
    api_version: Option<&'a RawValue>,
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
    request: Option<R>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRequest<'a, O> {
    #[serde(borrow)]
    uid: Option<&'a RawValue>,
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    sub_resource: Option<&'a RawValue>,
    #[serde(borrow)]
    operation: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    namespace: Option<&'a RawValue>,
    #[serde(borrow)]
    dry_run: Option<&'a RawValue>,
    #[serde(borrow)]
    user_info: Option<&'a RawValue>,
    object: Option<O>,
    old_object: Option<O>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserInfo<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
}

impl<'a> Envelope<'a> {
    /// Parses a review except for the objects in it.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(body).map_err(|_| Unreadable::NotUtf8)?;
        let review = match parse::<RawReview<'_, Object<RawRequest<'_, Object<ReviewedObject<'_>>>>>>(text) {
            Ok(review)
                if review.request.as_ref().is_some_and(|request| request.0.sub_resource.is_none_or(is_empty)) =>
            {
                review.map(|request| Ok(request.0.map(|object| Subject::Nats(object.0))))
            }
            // Each level by itself, so that a malformed one does not hide the one around it.
            _ => parse::<RawReview<'_, &RawValue>>(text)?.map(|request| {
                parse::<RawRequest<'_, &RawValue>>(request.get()).map(|request| request.map(Subject::Raw))
            }),
        };
        let is = |field: Option<&'a RawValue>, expected: &str| field.and_then(text_of).as_deref() == Some(expected);
        if !is(review.api_version, API_VERSION) || !is(review.kind, KIND) {
            return Err(Unreadable::NotAReview);
        }
        let request = review.request.ok_or(Unreadable::NoRequest)??;
        let uid = request.uid.and_then(text_of);
        match uid {
            Some(uid) if !uid.is_empty() && uid.len() <= LONGEST_UID => Ok(Self { uid, request: request.read() }),
            _ => Err(Unreadable::NoUid),
        }
    }
}

impl<'a, R> RawReview<'a, R> {
    fn map<T>(self, convert: impl FnOnce(R) -> T) -> RawReview<'a, T> {
        let Self { api_version, kind, request } = self;
        RawReview { api_version, kind, request: request.map(convert) }
    }
}

impl<'a, O> RawRequest<'a, O> {
    fn map(self, convert: impl Fn(O) -> Subject<'a>) -> RawRequest<'a, Subject<'a>> {
        RawRequest {
            uid: self.uid,
            kind: self.kind,
            resource: self.resource,
            sub_resource: self.sub_resource,
            operation: self.operation,
            name: self.name,
            namespace: self.namespace,
            dry_run: self.dry_run,
            user_info: self.user_info,
            object: self.object.map(&convert),
            old_object: self.old_object.map(&convert),
        }
    }
}

impl<'a> RawRequest<'a, Subject<'a>> {
    fn read(self) -> Result<Request<'a>, Malformed> {
        Ok(Request {
            kind: optional("kind", self.kind)?,
            resource: optional("resource", self.resource)?,
            sub_resource: optional::<Text<'_>>("subResource", self.sub_resource)?.0,
            operation: required("operation", self.operation)?,
            name: optional::<Text<'_>>("name", self.name)?.0,
            namespace: optional::<Text<'_>>("namespace", self.namespace)?.0,
            dry_run: optional("dryRun", self.dry_run)?,
            username: optional::<UserInfo<'_>>("userInfo", self.user_info)?.username,
            object: self.object,
            old_object: self.old_object,
        })
    }
}

impl<'a> Subject<'a> {
    /// Returns the object as a NATS resource.
    pub(crate) fn nats(&self) -> Result<Cow<'_, ReviewedObject<'a>>, TypeError> {
        match self {
            Self::Nats(object) => Ok(Cow::Borrowed(object)),
            Self::Raw(raw) => ReviewedObject::read(raw).map(Cow::Owned),
        }
    }
}

fn is_empty(text: &RawValue) -> bool {
    text.get() == r#""""#
}

/// Parses JSON text that is one object. serde also accepts an array for a struct.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Unreadable> {
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Unreadable::NotJson("it does not begin with a brace".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| Unreadable::NotJson(shortened(&error.to_string())))
}

/// Parses a string. `None` for any other value.
fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0)
}

fn required<'a, T: Deserialize<'a>>(field: &'static str, raw: Option<&'a RawValue>) -> Result<T, Malformed> {
    let raw = raw.ok_or_else(|| Malformed { field, message: "is missing".to_owned() })?;
    serde_json::from_str(raw.get()).map_err(|error| Malformed { field, message: shortened(&error.to_string()) })
}

fn optional<'a, T: Deserialize<'a> + Default>(field: &'static str, raw: Option<&'a RawValue>) -> Result<T, Malformed> {
    raw.map_or_else(|| Ok(T::default()), |raw| required(field, Some(raw)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(request: &str) -> String {
        format!(r#"{{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {request}}}"#)
    }

    #[test]
    fn uid_is_read_from_malformed_request() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for rest in [
            r#""operation": "EXPLODE""#,
            r#""operation": 1e999"#,
            r#""kind": []"#,
            r#""name": {}"#,
            r#""dryRun": "yes", "operation": "CREATE""#,
            &format!(r#""operation": "CREATE", "name": {deep}"#),
        ] {
            let body = body(&format!(r#"{{{rest}, "uid": "u"}}"#));
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            assert_eq!(envelope.uid, "u");
            let error = envelope.request.unwrap_err().to_string();
            assert!(error.starts_with("request.") && error.len() < 400, "{error}");
        }
    }

    #[test]
    fn malformed_objects_are_not_parsed() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body = body(&format!(r#"{{"uid": "u", "operation": "UPDATE", "object": {deep}, "oldObject": 1e999}}"#));
        let request = Envelope::read(body.as_bytes()).unwrap().request.unwrap();
        let raw = |object| if let Some(Subject::Raw(raw)) = object { raw.get() } else { "" };
        assert_eq!(raw(request.object), deep);
        assert_eq!(raw(request.old_object), "1e999");
    }

    #[test]
    fn body_without_review_yields_reason() {
        let long = "u".repeat(129);
        let no_uid = ["{}", r#"{"uid": ""}"#, r#"{"uid": 5}"#, r#"{"uid": null}"#, &format!(r#"{{"uid": "{long}"}}"#)];
        for request in no_uid {
            assert_eq!(Envelope::read(body(request).as_bytes()).unwrap_err(), Unreadable::NoUid, "{request}");
        }
        assert_eq!(Envelope::read(body("null").as_bytes()).unwrap_err(), Unreadable::NoRequest);
        assert_eq!(Envelope::read(b"\xff{}").unwrap_err(), Unreadable::NotUtf8);
        assert_eq!(Envelope::read(b"{}").unwrap_err(), Unreadable::NotAReview);
        let old = br#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1", "request": {"uid": "u"}}"#;
        assert_eq!(Envelope::read(old).unwrap_err(), Unreadable::NotAReview);
        let twice = body(r#"{"uid": "a", "uid": "b"}"#);
        let truncated = body(r#"{"uid": "a"}"#);
        for not_json in ["", "5", "[]", "null", "{", "{]", &twice, &truncated[..80], &format!("{truncated}x")] {
            let error = Envelope::read(not_json.as_bytes()).unwrap_err();
            assert!(matches!(error, Unreadable::NotJson(_)), "{not_json}: {error}");
        }
    }
}
