//! Read-your-writes cache of one object: the last own write until the watch has caught up with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::{Resource, ResourceExt};

/// Last known state of one object with a fixed name.
#[derive(Debug)]
pub struct CachedObject<K>(Mutex<Entry<K>>);

#[derive(Debug)]
struct Entry<K> {
    object: Option<Arc<K>>,
    /// True if the object is the response to an own write that the watch has not caught up with. Until then older
    /// events are ignored. Otherwise the next reconcile would write the same again.
    is_ahead: bool,
}

impl<K> Default for CachedObject<K> {
    fn default() -> Self {
        Self(Mutex::new(Entry { object: None, is_ahead: false }))
    }
}

impl<K: Resource> CachedObject<K> {
    /// Returns the object, if it exists.
    pub fn get(&self) -> Option<Arc<K>> {
        self.slot().object.clone()
    }

    /// Stores an object from the watch, unless it is older than an own write.
    pub fn observed(&self, object: K) {
        let mut slot = self.slot();
        if slot.is_ahead && slot.object.as_ref().is_some_and(|written| is_older(&object, written)) {
            return;
        }
        *slot = Entry { object: Some(Arc::new(object)), is_ahead: false };
    }

    /// Removes the object after the watch reported its deletion. An object that was created since under the same name
    /// stays.
    pub fn deleted(&self, object: &K) {
        let mut slot = self.slot();
        if slot.is_ahead && slot.object.as_ref().is_some_and(|written| written.uid() != object.uid()) {
            return;
        }
        *slot = Entry { object: None, is_ahead: false };
    }

    /// Removes the object: the list of the watch is empty.
    pub fn gone(&self) {
        *self.slot() = Entry { object: None, is_ahead: false };
    }

    /// Stores the response of the apiserver to an own write.
    pub fn written(&self, object: K) {
        let mut slot = self.slot();
        if slot.object.as_ref().is_none_or(|known| !is_older(&object, known)) {
            *slot = Entry { object: Some(Arc::new(object)), is_ahead: true };
        }
    }

    fn slot(&self) -> MutexGuard<'_, Entry<K>> {
        // A slot is replaced as a whole, so it is consistent even after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether `this` is an older version of the same object than `that`. Versions that are not numbers cannot be
/// compared, and an object that was recreated is never older.
pub(crate) fn is_older<K: Resource>(this: &K, that: &K) -> bool {
    let version = |object: &K| object.resource_version().and_then(|version| version.parse::<u64>().ok());
    this.uid() == that.uid() && version(this).zip(version(that)).is_some_and(|(this, that)| this < that)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn object(uid: &str, version: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.uid = Some(uid.to_owned());
        object.metadata.resource_version = Some(version.to_owned());
        object
    }

    fn version(named: &CachedObject<ConfigMap>) -> Option<String> {
        named.get().and_then(|object| object.resource_version())
    }

    #[test]
    fn own_write_survives_older_event() {
        let named = CachedObject::default();
        named.observed(object("a", "5"));
        named.written(object("a", "9"));
        named.observed(object("a", "7"));
        assert_eq!(version(&named).as_deref(), Some("9"));
        named.observed(object("a", "9"));
        named.observed(object("a", "12"));
        assert_eq!(version(&named).as_deref(), Some("12"));
    }

    #[test]
    fn late_deletion_keeps_newer_write() {
        let named = CachedObject::default();
        named.observed(object("a", "5"));
        named.written(object("b", "9"));
        named.deleted(&object("a", "8"));
        assert_eq!(version(&named).as_deref(), Some("9"));
        named.deleted(&object("b", "10"));
        assert_eq!(version(&named), None);
    }

    #[test]
    fn older_version_after_etcd_restore_is_accepted() {
        let named = CachedObject::default();
        named.observed(object("a", "50"));
        named.observed(object("a", "5"));
        assert_eq!(version(&named).as_deref(), Some("5"));
    }

    #[test]
    fn recreated_object_replaces_own_write() {
        let named = CachedObject::default();
        named.written(object("a", "9"));
        named.observed(object("b", "3"));
        assert_eq!(version(&named).as_deref(), Some("3"));
        named.gone();
        assert_eq!(version(&named), None);
    }
}
