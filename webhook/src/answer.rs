//! Response side of an `AdmissionReview`.

use std::borrow::Cow;

use json_patch::Patch;
use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::Status};
use serde::Serialize;

use crate::{
    envelope::{API_VERSION, KIND},
    observer::ReviewOutcome,
    text::limited,
};

/// Characters of a warning that the apiserver passes on in any case
/// (`k8s.io/apiserver/pkg/endpoints/filters/warning.go`).
const MAX_WARNING_CHARS: usize = 256;
/// Bytes of all warnings together that the apiserver passes on.
const MAX_WARNING_BYTES: usize = 4096;

/// Length of most responses, in bytes.
const USUAL_LENGTH: usize = 512;

/// Result of one admission request, before it is serialized.
#[derive(Debug)]
pub(crate) enum AdmissionResult {
    Allowed(Vec<String>),
    Patched(Patch),
    Rejected(Box<Status>),
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
    status: Option<Box<Status>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl AdmissionResult {
    /// Builds a rejection with the Status that clients print.
    pub(crate) fn rejected(status: Status) -> Self {
        Self::Rejected(Box::new(status))
    }

    /// Returns the outcome as metrics count it.
    pub(crate) fn outcome(&self) -> ReviewOutcome {
        match self {
            Self::Allowed(_) => ReviewOutcome::Allowed,
            Self::Patched(_) => ReviewOutcome::Patched,
            Self::Rejected(_) => ReviewOutcome::Rejected,
            Self::Ignored => ReviewOutcome::Ignored,
        }
    }

    /// Serializes the `AdmissionReview` that answers the request with this `uid`.
    pub(crate) fn into_body(self, uid: &str) -> Result<Vec<u8>, serde_json::Error> {
        let mut response =
            AdmissionResponse { uid, allowed: true, status: None, patch: None, patch_type: None, warnings: Vec::new() };
        match self {
            Self::Allowed(warnings) => response.warnings = bounded_warnings(warnings),
            Self::Patched(patch) => {
                response.patch = Some(ByteString(serde_json::to_vec(&patch)?));
                response.patch_type = Some("JSONPatch");
            }
            Self::Rejected(status) => {
                response.allowed = false;
                response.status = Some(status);
            }
            Self::Ignored => {}
        }
        let mut body = Vec::with_capacity(USUAL_LENGTH);
        serde_json::to_writer(&mut body, &Review { api_version: API_VERSION, kind: KIND, response })?;
        Ok(body)
    }
}

/// Truncates warnings to the apiserver's bounds. The last one counts those that were left out.
fn bounded_warnings(mut warnings: Vec<String>) -> Vec<String> {
    for warning in &mut warnings {
        if let Cow::Owned(short) = limited(warning, MAX_WARNING_CHARS) {
            *warning = short;
        }
    }
    let mut left = MAX_WARNING_BYTES - MAX_WARNING_CHARS;
    let is_beyond = |warning: &String| left.checked_sub(warning.len()).map(|rest| left = rest).is_none();
    if let Some(kept) = warnings.iter().position(is_beyond) {
        let rest = warnings.len() - kept;
        warnings.truncate(kept);
        warnings.push(format!("and {rest} more warnings"));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_stay_within_apiserver_bounds() {
        assert_eq!(bounded_warnings(vec!["spec.a: b\nc".to_owned()]), ["spec.a: b c"]);
        let many = vec!["ä".repeat(500); 50];
        let all = bounded_warnings(many);
        assert!(all.iter().all(|text| text.chars().count() <= 256));
        assert!(all.iter().map(String::len).sum::<usize>() <= 4096);
        assert_eq!(all.last().unwrap(), &format!("and {} more warnings", 51 - all.len()));
    }
}
