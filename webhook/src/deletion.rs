//! Deletions: always allowed. Whoever deletes data is told what becomes of it.

use nats_manager_api::rules;

use crate::{answer::AdmissionResult, envelope::Request, object::ReviewedObject};

/// Allows a DELETE; warns from what is stored alone.
pub(crate) fn warn(request: &Request<'_>) -> AdmissionResult {
    let Some(stored) = request.old_object.and_then(|stored| ReviewedObject::read(stored).ok()) else {
        return AdmissionResult::Allowed(Vec::new());
    };
    let name = stored.id(request).name;
    let warning =
        stored.jet_stream().and_then(|held| rules::deletion_warning(&name, &held, stored.is_deletion_forced()));
    AdmissionResult::Allowed(warning.into_iter().collect())
}
