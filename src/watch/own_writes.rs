//! What we write into a status comes back as an event, which is no news. Without this a failure
//! whose text differs each time (it names a port, say) would wake its own next attempt.

use std::sync::{Mutex, PoisonError};

use kube::{Resource, ResourceExt};
use nats_manager_api::{Nats, NatsStatus};

use super::GuardedNats;

/// The status that was written last.
#[derive(Debug, Default)]
pub struct OwnStatusWrites(Mutex<Option<Words>>);

#[derive(Debug)]
struct Words {
    uid: Option<String>,
    status: serde_json::Value,
}

impl OwnStatusWrites {
    /// This status is about to be written: the event may come before the answer.
    pub fn record(&self, nats: &Nats, status: &NatsStatus) {
        let words = Words { uid: nats.uid(), status: as_stored(status) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    }

    /// Whether `now` differs from `before` in nothing but what we said.
    pub(super) fn explain(&self, now: &GuardedNats, before: Option<&GuardedNats>) -> bool {
        let (Ok(now), Some(Ok(before))) = (&now.0, before.map(|before| &before.0)) else { return false };
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = words.as_ref().is_some_and(|words| {
            words.uid == now.uid() && now.status.as_ref().is_some_and(|status| as_stored(status) == words.status)
        });
        said && now.spec == before.spec && unversioned(now) == unversioned(before)
    }
}

/// Times are stored by the second.
fn as_stored(status: &NatsStatus) -> serde_json::Value {
    serde_json::to_value(status).unwrap_or_default()
}

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
    fn only_what_we_said_ourselves_is_no_news() {
        let words = OwnStatusWrites::default();
        let before = nats("1", "x", 3, "Ready");
        let error = nats("2", "x", 3, "Error");
        assert!(!words.explain(&error, Some(&before)), "nothing was said");
        let Ok(said) = &error.0 else { unreachable!() };
        words.record(said, said.status.as_ref().unwrap());
        assert!(words.explain(&error, Some(&before)));
        assert!(!words.explain(&error, None));
        for news in [nats("2", "y", 3, "Error"), nats("2", "x", 5, "Error"), nats("2", "x", 3, "Warning")] {
            assert!(!words.explain(&news, Some(&before)), "{news:?}");
        }
    }
}
