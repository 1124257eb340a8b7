//! One admission review, from the bytes of the request to those of the response.

use serde_json::Value;

use crate::{
    FactSource, ReviewOutcome, WebhookKind,
    answer::AdmissionResult,
    defaulting, deletion,
    envelope::{Envelope, Request, ReviewOperation, Unreadable},
    object::ReviewedObject,
    status,
    text::shortened,
    validation,
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
    Ok((result.outcome(), result.to_body(&uid)?))
}

/// Passes a request in scope to the webhook that it was sent to.
fn decide(webhook: WebhookKind, request: &Request<'_>, facts: &dyn FactSource) -> AdmissionResult {
    if !is_in_scope(webhook, request) {
        return AdmissionResult::Ignored;
    }
    match (webhook, request.object) {
        (WebhookKind::Delete, _) => deletion::warn(request),
        (_, None) => AdmissionResult::rejected(status::bad_request("request.object: is missing".to_owned())),
        (WebhookKind::Validate, Some(object)) => validation::validate(request, object, facts),
        (WebhookKind::Mutate, Some(object)) => match ReviewedObject::read(object) {
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
    operations.contains(&request.operation)
        && request.sub_resource.is_empty()
        && request.kind.group == status::GROUP
        && request.kind.kind == status::KIND
}

/// Fills in defaults, and rejects a spec that breaks a rule.
fn default(request: &Request<'_>, object: &ReviewedObject<'_>, facts: &dyn FactSource) -> AdmissionResult {
    let old = ReviewedObject::old(request);
    let Ok(spec) = object.spec_json() else { return AdmissionResult::Allowed(Vec::new()) };
    let stored: Option<Value> = old.as_ref().and_then(|old| old.spec_json().ok());
    let cluster_facts = validation::cluster_facts(&object.id(request), old.as_ref(), facts);
    let (spec, patch) = defaulting::complete(spec, stored.as_ref(), &cluster_facts);
    // The apiserver checks the schema next, and findings there would hide all findings of the validating webhook. So
    // the rules are checked here already. A spec that is unreadable is left to the schema.
    if let Ok(spec) = ReviewedObject::typed(spec)
        && let rejected @ AdmissionResult::Rejected(_) =
            validation::check_spec(request, object, old, spec, facts, &cluster_facts)
    {
        return rejected;
    }
    if patch.0.is_empty() { AdmissionResult::Allowed(Vec::new()) } else { AdmissionResult::Patched(patch) }
}

fn log(webhook: WebhookKind, request: &Request<'_>, result: &AdmissionResult) {
    if let AdmissionResult::Rejected(status) = result {
        // Anyone who reaches the port can post reviews. A person who is rejected sees the reason.
        tracing::debug!(
            webhook = webhook.as_str(),
            namespace = shortened(&request.namespace),
            name = shortened(&request.name),
            user = shortened(&request.username),
            dry_run = request.dry_run,
            reason = shortened(status.message.as_deref().unwrap_or_default()),
            "rejected an admission request"
        );
    }
}
