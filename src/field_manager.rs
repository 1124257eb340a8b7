//! Parameters of writes. Each write names the manager, so that `managedFields` show which fields it has written.

use kube::api::{PatchParams, PostParams};
use nats_manager_api::naming::FIELD_MANAGER;

/// Returns the parameters of a server-side apply. It takes over fields that others have written.
pub(crate) fn apply() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

/// Returns the parameters of a patch of any other kind.
pub(crate) fn patch() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Returns the parameters of a create, and of a replace.
pub(crate) fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
