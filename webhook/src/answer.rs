//! The response side of an `AdmissionReview`.

use json_patch::Patch;
use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::Status};
use serde::Serialize;

use crate::{
    envelope::{API_VERSION, KIND},
    observer::ReviewOutcome,
    text::limited,
};

/// What the apiserver leaves of a warning in any case, in characters
/// (`k8s.io/apiserver/pkg/endpoints/filters/warning.go`).
const LONGEST_WARNING: usize = 256;
/// What the apiserver passes on of all warnings together, in bytes.
const MOST_WARNING_BYTES: usize = 4096;

/// What comes of a request.
#[derive(Debug)]
pub(crate) enum AdmissionResult {
    Allowed(Vec<String>),
    Patched(Patch),
    Refused(Box<Status>),
    Ignored,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: AdmissionResponse<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionResponse<'a> {
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

impl AdmissionResult {
    pub(crate) fn refused(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }

    pub(crate) fn verdict(&self) -> ReviewOutcome {
        match self {
            Self::Allowed(_) => ReviewOutcome::Allowed,
            Self::Patched(_) => ReviewOutcome::Patched,
            Self::Refused(_) => ReviewOutcome::Refused,
            Self::Ignored => ReviewOutcome::Ignored,
        }
    }

    /// The body of the answer to the request with this uid.
    pub(crate) fn to_body(&self, uid: &str) -> Result<Vec<u8>, serde_json::Error> {
        let mut response =
            AdmissionResponse { uid, allowed: true, status: None, patch: None, patch_type: None, warnings: Vec::new() };
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
fn written(warnings: &[String]) -> Vec<String> {
    let mut left = MOST_WARNING_BYTES - LONGEST_WARNING;
    let mut all = Vec::new();
    for warning in warnings {
        let text = limited(warning, LONGEST_WARNING);
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

    #[test]
    fn warnings_are_short_and_few() {
        assert_eq!(written(&["spec.a: b\nc".to_owned()]), ["spec.a: b c"]);
        let many = vec!["ä".repeat(500); 50];
        let all = written(&many);
        assert!(all.iter().all(|text| text.chars().count() <= 256));
        assert!(all.iter().map(String::len).sum::<usize>() <= 4096);
        assert_eq!(all.last().unwrap(), &format!("and {} more warnings", 51 - all.len()));
    }
}
