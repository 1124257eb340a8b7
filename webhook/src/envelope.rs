//! Request side of an `AdmissionReview`.
//!
//! The response carries the uid even if the contents of the envelope are malformed: then each level is parsed by itself.
//! The apiserver treats a response without the uid as a failed call.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{
    json::{Object, Text},
    object::{ReviewedObject, TypeError},
    text::shown,
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
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request<'a> {
    #[serde(borrow, default)]
    pub(crate) kind: ReviewedKind<'a>,
    #[serde(borrow, default)]
    pub(crate) resource: ReviewedResource<'a>,
    #[serde(borrow, default)]
    pub(crate) sub_resource: Cow<'a, str>,
    pub(crate) operation: ReviewOperation,
    #[serde(borrow, default)]
    pub(crate) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) namespace: Cow<'a, str>,
    #[serde(default)]
    pub(crate) dry_run: bool,
    #[serde(borrow, default)]
    pub(crate) user_info: UserInfo<'a>,
    #[serde(borrow)]
    pub(crate) object: Option<Subject<'a>>,
    #[serde(borrow)]
    pub(crate) old_object: Option<Subject<'a>>,
    #[serde(borrow)]
    uid: Cow<'a, str>,
}

/// Object in a request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a review has at most two, and a box takes an allocation")]
pub(crate) enum Subject<'a> {
    /// Object that was read together with the envelope. It is a NATS resource if its kind is in scope.
    Nats(ReviewedObject<'a>),
    /// Object that is not parsed yet: that of a subresource, or any in a request that is not read in one pass.
    Raw(&'a RawValue),
}

impl<'de: 'a, 'a> Deserialize<'de> for Subject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::deserialize(deserializer).map(|object| Self::Nats(object.0))
    }
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

/// Review in which each field has its type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(borrow)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    request: Object<Request<'a>>,
}

/// Review whose fields take any JSON, so that one malformed field cannot hide another.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReview<'a> {
    #[serde(borrow)]
    api_version: Option<&'a RawValue>,
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRequest<'a> {
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
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    old_object: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct UserInfo<'a> {
    #[serde(borrow)]
    pub(crate) username: Cow<'a, str>,
}

impl<'a> Envelope<'a> {
    /// Parses a review with the NATS resources in it.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(body).map_err(|_| Unreadable::NotUtf8)?;
        Self::read_in_one_pass(text).map_or_else(|| Self::read_by_level(text), Ok)
    }

    /// `None` if anything is malformed, and for subresources, whose objects are of other kinds.
    fn read_in_one_pass(text: &'a str) -> Option<Self> {
        let Review { api_version, kind, request: Object(request) } = parse(text).ok()?;
        let is_plain = request.sub_resource.is_empty() && is_review(&api_version, &kind) && is_uid(&request.uid);
        is_plain.then(|| Self { uid: request.uid.clone(), request: Ok(request) })
    }

    /// Parses each level by itself, so that a malformed one does not hide the one around it. Objects are not parsed.
    fn read_by_level(text: &'a str) -> Result<Self, Unreadable> {
        let review: RawReview<'_> = parse(text)?;
        let [api_version, kind] = [review.api_version, review.kind].map(|field| field.and_then(text_of));
        if !is_review(&api_version.unwrap_or_default(), &kind.unwrap_or_default()) {
            return Err(Unreadable::NotAReview);
        }
        let request: RawRequest<'_> = parse(review.request.ok_or(Unreadable::NoRequest)?.get())?;
        match request.uid.and_then(text_of) {
            Some(uid) if is_uid(&uid) => Ok(Self { uid: uid.clone(), request: request.read(uid) }),
            _ => Err(Unreadable::NoUid),
        }
    }
}

impl<'a> RawRequest<'a> {
    fn read(self, uid: Cow<'a, str>) -> Result<Request<'a>, Malformed> {
        Ok(Request {
            kind: optional("kind", self.kind)?,
            resource: optional("resource", self.resource)?,
            sub_resource: optional::<Text<'_>>("subResource", self.sub_resource)?.0,
            operation: required("operation", self.operation)?,
            name: optional::<Text<'_>>("name", self.name)?.0,
            namespace: optional::<Text<'_>>("namespace", self.namespace)?.0,
            dry_run: optional("dryRun", self.dry_run)?,
            user_info: optional("userInfo", self.user_info)?,
            object: self.object.map(Subject::Raw),
            old_object: self.old_object.map(Subject::Raw),
            uid,
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

fn is_review(api_version: &str, kind: &str) -> bool {
    (api_version, kind) == (API_VERSION, KIND)
}

fn is_uid(uid: &str) -> bool {
    (1..=LONGEST_UID).contains(&uid.len())
}

/// Parses JSON text that is one object.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map(|Object(value)| value).map_err(|error| Unreadable::NotJson(shown(&error)))
}

/// Parses a string. `None` for any other value.
fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0)
}

fn required<'a, T: Deserialize<'a>>(field: &'static str, raw: Option<&'a RawValue>) -> Result<T, Malformed> {
    let raw = raw.ok_or_else(|| Malformed { field, message: "is missing".to_owned() })?;
    serde_json::from_str(raw.get()).map_err(|error| Malformed { field, message: shown(&error) })
}

fn optional<'a, T: Deserialize<'a> + Default>(field: &'static str, raw: Option<&'a RawValue>) -> Result<T, Malformed> {
    raw.map_or_else(|| Ok(T::default()), |raw| required(field, Some(raw)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(request: &str) -> String {
        format!(r#"{{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {request}}}"#)
    }

    #[test]
    fn request_is_the_same_in_one_pass_and_by_level() {
        let request = json!({
            "uid": "u",
            "kind": {"group": "g", "version": "v", "kind": "k"},
            "resource": {"group": "rg", "version": "v", "resource": "r"},
            "operation": "UPDATE",
            "name": "n",
            "namespace": "ns",
            "dryRun": true,
            "userInfo": {"username": "me", "groups": ["g"]},
            "object": {"metadata": {"name": "new"}},
            "oldObject": {"metadata": {"name": "old"}},
        });
        let body = body(&request.to_string());
        let text = |envelope: Envelope<'_>| {
            let mut request = envelope.request.unwrap();
            // By level, objects are parsed when they are needed.
            for object in [&mut request.object, &mut request.old_object] {
                let nats = object.take().unwrap().nats().unwrap().into_owned();
                *object = Some(Subject::Nats(nats));
            }
            format!("{request:?}")
        };
        let all = text(Envelope::read_in_one_pass(&body).unwrap());
        assert_eq!(all, text(Envelope::read_by_level(&body).unwrap()));
        for value in ["g", "k", "rg", "Update", "n", "ns", "true", "me", "new", "old"] {
            assert!(all.contains(value), "{value}: {all}");
        }
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
