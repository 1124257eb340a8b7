//! One admission review, from the bytes of the request to those of the response.

use nats_manager_api::NatsSpec;

use crate::{
    FactSource, ReviewOutcome, WebhookKind,
    answer::AdmissionResult,
    defaulting::MissingFileSize,
    deletion,
    envelope::{Envelope, Request, ReviewOperation, Subject, Unreadable},
    object::ReviewedObject,
    scale, status,
    text::shortened,
    validation::{self, Review},
};

/// Reason for which a review has no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReviewError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the answer cannot be written: {0}")]
    Answer(#[from] serde_json::Error),
}

/// Reviews the request in `body`. Returns the outcome and the body of the response.
pub(crate) fn review(
    webhook: WebhookKind,
    body: &[u8],
    facts: &dyn FactSource,
) -> Result<(ReviewOutcome, Vec<u8>), ReviewError> {
    let Envelope { uid, request } = Envelope::read(body)?;
    let result = match request {
        Ok(request) => {
            let result = decide(webhook, &request, facts);
            log(webhook, &request, &result);
            result
        }
        // A deletion is allowed even if its request is malformed.
        Err(_) if webhook == WebhookKind::Delete => AdmissionResult::Ignored,
        Err(malformed) => AdmissionResult::rejected(status::bad_request(malformed.to_string())),
    };
    Ok((result.outcome(), result.into_body(&uid)?))
}

/// Passes a request in scope to the webhook that it was sent to.
fn decide(webhook: WebhookKind, request: &Request<'_>, facts: &dyn FactSource) -> AdmissionResult {
    if !is_in_scope(webhook, request) {
        return AdmissionResult::Ignored;
    }
    match (webhook, &request.object) {
        (WebhookKind::Delete, _) => deletion::warn(request),
        (_, None) => AdmissionResult::rejected(status::bad_request("request.object: is missing".to_owned())),
        (_, Some(Subject::Raw(object))) if request.sub_resource == scale::SUB_RESOURCE => {
            scale::validate(request, object, facts)
        }
        (WebhookKind::Validate, Some(object)) => validation::validate(request, object, facts),
        (WebhookKind::Mutate, Some(object)) => match object.nats() {
            Ok(object) => default(request, &object, facts),
            // The schema and the validating webhook check the object afterwards.
            Err(_) => AdmissionResult::Allowed(Vec::new()),
        },
    }
}

/// Returns whether the webhook decides on this request. A webhook configuration with rules that are too broad must not
/// block other kinds of objects.
fn is_in_scope(webhook: WebhookKind, request: &Request<'_>) -> bool {
    let operations: &[ReviewOperation] = match webhook {
        WebhookKind::Mutate | WebhookKind::Validate => &[ReviewOperation::Create, ReviewOperation::Update],
        WebhookKind::Delete => &[ReviewOperation::Delete],
    };
    let is_scale = webhook == WebhookKind::Validate
        && request.operation == ReviewOperation::Update
        && request.sub_resource == scale::SUB_RESOURCE;
    let expected = match &*request.sub_resource {
        "" => (status::GROUP, status::KIND),
        _ if is_scale && request.resource.group == status::GROUP => scale::KIND,
        _ => return false,
    };
    operations.contains(&request.operation) && (&*request.kind.group, &*request.kind.kind) == expected
}

/// Fills in defaults, and rejects a spec that breaks a rule.
fn default(request: &Request<'_>, object: &ReviewedObject<'_>, facts: &dyn FactSource) -> AdmissionResult {
    let old = ReviewedObject::old(request);
    let spec = object.spec();
    if spec.check_bounds().is_err() {
        return AdmissionResult::Allowed(Vec::new());
    }
    let id = object.id(request);
    let cluster_facts = validation::cluster_facts(&id, old.as_deref(), facts);
    let stored = || old.as_ref()?.spec().jet_stream;
    let typed = spec.read_bounded();
    let is_complete = typed.as_ref().is_ok_and(NatsSpec::has_file_size);
    let missing = if is_complete { None } else { MissingFileSize::find(spec.jet_stream, stored, &cluster_facts) };
    // The apiserver checks the schema next, and findings there would hide all findings of the validating webhook. So
    // the rules are checked here already. A spec that is unreadable is left to the schema.
    if let Ok(mut spec) = typed {
        if let Some(missing) = &missing {
            spec.jet_stream.file_storage.size = Some(missing.size.clone());
        }
        let review = Review { request, id: &id, new: object, old: old.as_deref() };
        if let rejected @ AdmissionResult::Rejected(_) = review.check(spec, facts, &cluster_facts) {
            return rejected;
        }
    }
    missing.map_or_else(|| AdmissionResult::Allowed(Vec::new()), |missing| AdmissionResult::Patched(missing.patch()))
}

fn log(webhook: WebhookKind, request: &Request<'_>, result: &AdmissionResult) {
    if let AdmissionResult::Rejected(status) = result {
        // Anyone who reaches the port can post reviews. A person who is rejected sees the reason.
        tracing::debug!(
            webhook = webhook.as_str(),
            namespace = shortened(&request.namespace),
            name = shortened(&request.name),
            user = shortened(&request.user_info.username),
            dry_run = request.dry_run,
            reason = shortened(status.message.as_deref().unwrap_or_default()),
            "rejected an admission request"
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::facts::NoFacts;

    /// Upper bound for the memory of a review, as a multiple of its body. Two of the largest bodies, of 8 MiB, fit into the
    /// manager's memory limit of 256 MiB. The counter counts a text twice while it is moved to grow.
    const MAX_FACTOR: u64 = 14;

    #[test]
    fn errors_about_long_text_take_bounded_memory() {
        // serde quotes a text of a wrong type, and this character with six.
        let long = "\u{7f}".repeat(1 << 20);
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "u",
                "kind": {"group": status::GROUP, "kind": status::KIND},
                "resource": {"group": status::GROUP},
                "operation": "UPDATE",
                "dryRun": false,
                "userInfo": {"username": "me"},
                "object": {"metadata": {"annotations": {}}, "spec": {"cluster": {"size": 3}}, "status": {}},
                "oldObject": {"spec": {"cluster": {"size": 3}}, "status": {"members": 3}},
            },
        });
        for field in [
            "/apiVersion",
            "/request",
            "/request/uid",
            "/request/kind",
            "/request/resource/group",
            "/request/operation",
            "/request/dryRun",
            "/request/userInfo",
            "/request/object",
            "/request/object/metadata",
            "/request/object/metadata/annotations",
            "/request/object/spec",
            "/request/object/spec/cluster",
            "/request/object/spec/cluster/size",
            "/request/oldObject/spec/cluster/size",
            "/request/oldObject/status/members",
        ] {
            let mut review = review.clone();
            *review.pointer_mut(field).unwrap() = json!(long);
            let body = review.to_string();
            let bound = MAX_FACTOR * u64::try_from(body.len()).unwrap();
            for webhook in WebhookKind::ALL {
                let mut answered = 0;
                let memory = allocation_counter::measure(|| {
                    answered =
                        super::review(webhook, body.as_bytes(), &NoFacts::default()).map_or(0, |(_, body)| body.len());
                });
                assert!(answered < 4000, "{field}");
                assert!(memory.bytes_max <= bound, "{field}: {} bytes", memory.bytes_max);
            }
        }
    }
}
