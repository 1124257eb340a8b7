//! One admission review, from the bytes of the request to those of the answer.

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

/// Why a review has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReviewError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the answer cannot be written: {0}")]
    Answer(#[from] serde_json::Error),
}

/// Answers the review in `body`.
pub(crate) fn review(
    webhook: WebhookKind,
    body: &[u8],
    facts: &dyn FactSource,
) -> Result<(ReviewOutcome, Vec<u8>), ReviewError> {
    let Envelope { uid, request } = Envelope::read(body)?;
    let outcome = match request {
        Ok(request) => {
            let outcome = decide(webhook, &request, facts);
            log(webhook, &request, &outcome);
            outcome
        }
        // Nothing stands in the way of a deletion.
        Err(_) if webhook == WebhookKind::Delete => AdmissionResult::Ignored,
        Err(malformed) => AdmissionResult::refused(status::bad_request(malformed.to_string())),
    };
    Ok((outcome.verdict(), outcome.to_body(&uid)?))
}

fn decide(webhook: WebhookKind, request: &Request<'_>, facts: &dyn FactSource) -> AdmissionResult {
    if !is_ours(webhook, request) {
        return AdmissionResult::Ignored;
    }
    match (webhook, request.object) {
        (WebhookKind::Delete, _) => deletion::warn(request),
        (_, None) => AdmissionResult::refused(status::bad_request("request.object: is missing".to_owned())),
        (WebhookKind::Validate, Some(object)) => validation::validate(request, object, facts),
        (WebhookKind::Mutate, Some(object)) => match ReviewedObject::read(object) {
            Ok(object) => default(request, &object, facts),
            // The schema and the validation still stand behind.
            Err(_) => AdmissionResult::Allowed(Vec::new()),
        },
    }
}

/// Whether it is for us to judge. A webhook configuration that sends more than it should must not
/// stop what we know nothing of.
fn is_ours(webhook: WebhookKind, request: &Request<'_>) -> bool {
    let operations: &[ReviewOperation] = match webhook {
        WebhookKind::Mutate | WebhookKind::Validate => &[ReviewOperation::Create, ReviewOperation::Update],
        WebhookKind::Delete => &[ReviewOperation::Delete],
    };
    operations.contains(&request.operation)
        && request.sub_resource.is_empty()
        && request.kind.group == status::GROUP
        && request.kind.kind == status::KIND
}

fn default(request: &Request<'_>, object: &ReviewedObject<'_>, facts: &dyn FactSource) -> AdmissionResult {
    let old = ReviewedObject::old(request);
    if object.is_leaving(request, old.as_ref()) {
        return AdmissionResult::Ignored;
    }
    let Ok(spec) = object.spec_json() else { return AdmissionResult::Allowed(Vec::new()) };
    let id = object.id(request);
    let stored: Option<Value> = old.as_ref().and_then(|old| old.spec_json().ok());
    let cluster_facts = validation::cluster_facts(&id, old.as_ref(), facts);
    let (spec, patch) = defaulting::complete(spec, stored.as_ref(), &cluster_facts);
    // The apiserver asks the schema next, and what that finds would hide all that the validation
    // finds: so everything is said here already. A spec that cannot be read is the schema's.
    if let Ok(spec) = ReviewedObject::typed(spec)
        && let refused @ AdmissionResult::Refused(_) =
            validation::judge(request, &id, old, &spec, facts, &cluster_facts)
    {
        return refused;
    }
    if patch.0.is_empty() { AdmissionResult::Allowed(Vec::new()) } else { AdmissionResult::Patched(patch) }
}

fn log(webhook: WebhookKind, request: &Request<'_>, outcome: &AdmissionResult) {
    if let AdmissionResult::Refused(status) = outcome {
        tracing::info!(
            webhook = webhook.as_str(),
            namespace = shortened(&request.namespace),
            name = shortened(&request.name),
            user = shortened(&request.username),
            dry_run = request.dry_run,
            message = shortened(status.message.as_deref().unwrap_or_default()),
            "refused"
        );
    }
}
