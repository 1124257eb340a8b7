//! Deletions: always allowed. Whoever deletes data is told what becomes of it.

use nats_manager_api::rules;

use crate::{answer::Outcome, envelope::Request, object::Object};

/// Allows a DELETE; warns from what is stored alone.
pub(crate) fn warn(request: &Request<'_>) -> Outcome {
    let Some(stored) = request.old_object.and_then(|stored| Object::read(stored).ok()) else {
        return Outcome::Allowed(Vec::new());
    };
    let name = stored.id(request).name;
    let warning =
        stored.jet_stream().and_then(|held| rules::deletion_warning(&name, &held, stored.is_deletion_forced()));
    Outcome::Allowed(warning.into_iter().collect())
}
