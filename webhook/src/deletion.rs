//! Reviews of deletions, which are always allowed, with a warning about the data that they affect.

use nats_manager_api::rules;

use crate::{answer::AdmissionResult, envelope::Request};

/// Allows a DELETE. The warning depends only on the stored object.
pub(crate) fn warn(request: &Request<'_>) -> AdmissionResult {
    let Some(stored) = request.old_object.as_ref().and_then(|stored| stored.nats().ok()) else {
        return AdmissionResult::Allowed(Vec::new());
    };
    let name = stored.id(request).name;
    let warning = stored
        .recorded()
        .jet_stream
        .and_then(|data| rules::deletion_warning(&name, &data, stored.is_deletion_forced()));
    AdmissionResult::Allowed(warning.into_iter().collect())
}
