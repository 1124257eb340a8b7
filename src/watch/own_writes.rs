//! Filter for watch events of own status writes. Without it a failure whose message differs each time, for example by a
//! port, would trigger its own next attempt.

use std::sync::{Mutex, PoisonError};

use kube::{Resource, ResourceExt};
use nats_manager_api::{Nats, NatsStatus};

use super::GuardedNats;

/// Last status that this process wrote.
#[derive(Debug, Default)]
pub struct OwnStatusWrites(Mutex<Option<StatusWrite>>);

#[derive(Debug)]
struct StatusWrite {
    uid: Option<String>,
    status: serde_json::Value,
}

impl OwnStatusWrites {
    /// Records a status that is about to be written: the event may arrive before the response.
    pub fn record(&self, nats: &Nats, status: &NatsStatus) {
        let write = StatusWrite { uid: nats.uid(), status: as_stored(status) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(write);
    }

    /// Returns whether `now` differs from `before` only by an own status write.
    pub(super) fn is_own_write(&self, now: &GuardedNats, before: Option<&GuardedNats>) -> bool {
        let (Ok(now), Some(Ok(before))) = (&now.0, before.map(|before| &before.0)) else { return false };
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_written = last.as_ref().is_some_and(|last| {
            last.uid == now.uid() && now.status.as_ref().is_some_and(|status| as_stored(status) == last.status)
        });
        is_written && now.spec == before.spec && unversioned(now) == unversioned(before)
    }
}

/// Returns the status as the apiserver stores it, with times in whole seconds.
fn as_stored(status: &NatsStatus) -> serde_json::Value {
    serde_json::to_value(status).unwrap_or_default()
}

/// Returns metadata without the fields that every write changes.
fn unversioned(nats: &Nats) -> kube::api::ObjectMeta {
    let mut meta = nats.meta().clone();
    meta.resource_version = None;
    meta.managed_fields = None;
    meta
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::DeserializeGuard;
    use serde_json::json;

    fn nats(version: &str, label: &str, size: i64, state: &str) -> GuardedNats {
        let nats = json!({
            "apiVersion": "operator.kyma-project.io/v1alpha1",
            "kind": "NATS",
            "metadata": {"name": "a", "uid": "u", "resourceVersion": version, "labels": {"l": label}},
            "spec": {"cluster": {"size": size}},
            "status": {"state": state, "url": "", "availabilityZonesUsed": 0, "conditions": []},
        });
        DeserializeGuard(Ok(serde_json::from_value(nats).unwrap()))
    }

    #[test]
    fn only_own_status_write_is_filtered() {
        let writes = OwnStatusWrites::default();
        let before = nats("1", "x", 3, "Ready");
        let error = nats("2", "x", 3, "Error");
        assert!(!writes.is_own_write(&error, Some(&before)), "nothing was written");
        let Ok(written) = &error.0 else { unreachable!() };
        writes.record(written, written.status.as_ref().unwrap());
        assert!(writes.is_own_write(&error, Some(&before)));
        assert!(!writes.is_own_write(&error, None));
        for other in [nats("2", "y", 3, "Error"), nats("2", "x", 5, "Error"), nats("2", "x", 3, "Warning")] {
            assert!(!writes.is_own_write(&other, Some(&before)), "{other:?}");
        }
    }
}
