//! The response side of an `AdmissionReview`.

use json_patch::Patch;
use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::Status};
use nats_manager_api::rules::Warning;
use serde::Serialize;

use crate::{
    envelope::{API_VERSION, KIND},
    observer::Verdict,
    text::limited,
};

/// What Kubernetes asks of a warning, in characters.
const LONGEST_WARNING: usize = 120;
/// What the apiserver passes on of all warnings together, in bytes.
const MOST_WARNING_BYTES: usize = 4096;

/// What comes of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Allowed(Vec<Warning>),
    Patched(Patch),
    Refused(Box<Status>),
    Ignored,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Outcome {
    pub(crate) fn refused(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Allowed(_) => Verdict::Allowed,
            Self::Patched(_) => Verdict::Patched,
            Self::Refused(_) => Verdict::Refused,
            Self::Ignored => Verdict::Ignored,
        }
    }

    /// The body of the answer to the request with this uid.
    pub(crate) fn to_body(&self, uid: &str) -> Result<Vec<u8>, serde_json::Error> {
        let mut response =
            Response { uid, allowed: true, status: None, patch: None, patch_type: None, warnings: Vec::new() };
        match self {
            Self::Allowed(warnings) => response.warnings = written(warnings),
            Self::Patched(patch) => {
                response.patch = Some(ByteString(serde_json::to_vec(patch)?));
                response.patch_type = Some("JSONPatch");
            }
            Self::Refused(status) => {
                response.allowed = false;
                response.status = Some(status);
            }
            Self::Ignored => {}
        }
        serde_json::to_vec(&Review { api_version: API_VERSION, kind: KIND, response })
    }
}

/// The warnings within their bounds; the last one tells of those that did not fit.
fn written(warnings: &[Warning]) -> Vec<String> {
    let mut left = MOST_WARNING_BYTES - LONGEST_WARNING;
    let mut all = Vec::new();
    for warning in warnings {
        let text = limited(&warning.to_string(), LONGEST_WARNING);
        let Some(rest) = left.checked_sub(text.len()) else {
            all.push(format!("and {} more warnings", warnings.len() - all.len()));
            break;
        };
        left = rest;
        all.push(text);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(message: &str) -> Warning {
        Warning { field: "spec.a".to_owned(), message: message.to_owned() }
    }

    #[test]
    fn warnings_are_short_and_few() {
        assert_eq!(written(&[warning("b\nc")]), ["spec.a: b c"]);
        let many = vec![warning(&"ä".repeat(500)); 50];
        let all = written(&many);
        assert!(all.iter().all(|text| text.chars().count() <= 120));
        assert!(all.iter().map(String::len).sum::<usize>() <= 4096);
        assert_eq!(all.last().unwrap(), &format!("and {} more warnings", 51 - all.len()));
    }
}
