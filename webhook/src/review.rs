//! One admission review, from the bytes of the request to those of the answer.

use serde_json::Value;

use crate::{
    Facts, Verdict, Webhook,
    answer::Outcome,
    defaulting, deletion,
    envelope::{Envelope, Operation, Request, Unreadable},
    object::Object,
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
pub(crate) fn review(webhook: Webhook, body: &[u8], facts: &dyn Facts) -> Result<(Verdict, Vec<u8>), ReviewError> {
    let Envelope { uid, request } = Envelope::read(body)?;
    let outcome = match request {
        Ok(request) => {
            let outcome = decide(webhook, &request, facts);
            log(webhook, &request, &outcome);
            outcome
        }
        // Nothing stands in the way of a deletion.
        Err(_) if webhook == Webhook::Delete => Outcome::Ignored,
        Err(malformed) => Outcome::refused(status::bad_request(malformed.to_string())),
    };
    Ok((outcome.verdict(), outcome.to_body(&uid)?))
}

fn decide(webhook: Webhook, request: &Request<'_>, facts: &dyn Facts) -> Outcome {
    if !is_ours(webhook, request) {
        return Outcome::Ignored;
    }
    match (webhook, request.object) {
        (Webhook::Delete, _) => deletion::warn(request),
        (_, None) => Outcome::refused(status::bad_request("request.object: is missing".to_owned())),
        (Webhook::Validate, Some(object)) => validation::validate(request, object, facts),
        (Webhook::Mutate, Some(object)) => match Object::read(object) {
            Ok(object) => default(request, &object, facts),
            // The schema and the validation still stand behind.
            Err(_) => Outcome::Allowed(Vec::new()),
        },
    }
}

/// Whether it is for us to judge. A webhook configuration that sends more than it should must not
/// stop what we know nothing of.
fn is_ours(webhook: Webhook, request: &Request<'_>) -> bool {
    let operations: &[Operation] = match webhook {
        Webhook::Mutate | Webhook::Validate => &[Operation::Create, Operation::Update],
        Webhook::Delete => &[Operation::Delete],
    };
    operations.contains(&request.operation)
        && request.sub_resource.is_empty()
        && request.kind.group == status::GROUP
        && request.kind.kind == status::KIND
}

fn default(request: &Request<'_>, object: &Object<'_>, facts: &dyn Facts) -> Outcome {
    let old = Object::old(request);
    if object.is_leaving(request, old.as_ref()) {
        return Outcome::Ignored;
    }
    let Ok(spec) = object.spec_json() else { return Outcome::Allowed(Vec::new()) };
    let id = object.id(request);
    let stored: Option<Value> = old.as_ref().and_then(|old| old.spec_json().ok());
    let cluster_facts = validation::cluster_facts(&id, old.as_ref(), facts);
    let (spec, patch) = defaulting::complete(spec, stored.as_ref(), &cluster_facts);
    // The apiserver asks the schema next, and what that finds would hide all that the validation
    // finds: so everything is said here already. A spec that cannot be read is the schema's.
    if let Ok(spec) = Object::typed(spec)
        && let refused @ Outcome::Refused(_) = validation::judge(request, &id, old, &spec, facts, &cluster_facts)
    {
        return refused;
    }
    if patch.0.is_empty() { Outcome::Allowed(Vec::new()) } else { Outcome::Patched(patch) }
}

fn log(webhook: Webhook, request: &Request<'_>, outcome: &Outcome) {
    if let Outcome::Refused(status) = outcome {
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
