//! What a watch says of one object, ahead of the watch by what we wrote ourselves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::{Resource, ResourceExt};

/// The last known state of one object with a fixed name.
#[derive(Debug)]
pub struct CachedObject<K>(Mutex<Entry<K>>);

#[derive(Debug)]
struct Entry<K> {
    object: Option<Arc<K>>,
    /// The object is an answer to a write of ours that the watch has not caught up with. Until it
    /// has, older news is ignored, or the next reconcile would write the same again.
    ahead: bool,
}

impl<K> Default for CachedObject<K> {
    fn default() -> Self {
        Self(Mutex::new(Entry { object: None, ahead: false }))
    }
}

impl<K: Resource> CachedObject<K> {
    /// The object, if it exists.
    pub fn get(&self) -> Option<Arc<K>> {
        self.slot().object.clone()
    }

    /// The watch shows this object.
    pub fn observed(&self, object: K) {
        let mut slot = self.slot();
        if slot.ahead && slot.object.as_ref().is_some_and(|written| is_older(&object, written)) {
            return;
        }
        *slot = Entry { object: Some(Arc::new(object)), ahead: false };
    }

    /// The watch reports the deletion of this object. One that was created since under its name stays.
    pub fn deleted(&self, object: &K) {
        let mut slot = self.slot();
        if slot.ahead && slot.object.as_ref().is_some_and(|written| written.uid() != object.uid()) {
            return;
        }
        *slot = Entry { object: None, ahead: false };
    }

    /// The watch shows that there is none.
    pub fn gone(&self) {
        *self.slot() = Entry { object: None, ahead: false };
    }

    /// The apiserver answered a write of ours with this object.
    pub fn written(&self, object: K) {
        let mut slot = self.slot();
        if slot.object.as_ref().is_none_or(|known| !is_older(&object, known)) {
            *slot = Entry { object: Some(Arc::new(object)), ahead: true };
        }
    }

    fn slot(&self) -> MutexGuard<'_, Entry<K>> {
        // A slot is replaced whole, so it is sound even after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `this` is an older version of the same object than `that`. Versions that are not numbers
/// cannot be compared, and an object made anew is never older.
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
    fn a_write_is_not_undone_by_older_news() {
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
    fn late_deletion_keeps_a_newer_write() {
        let named = CachedObject::default();
        named.observed(object("a", "5"));
        named.written(object("b", "9"));
        named.deleted(&object("a", "8"));
        assert_eq!(version(&named).as_deref(), Some("9"));
        named.deleted(&object("b", "10"));
        assert_eq!(version(&named), None);
    }

    #[test]
    fn a_store_that_was_restored_is_believed() {
        let named = CachedObject::default();
        named.observed(object("a", "50"));
        named.observed(object("a", "5"));
        assert_eq!(version(&named).as_deref(), Some("5"));
    }

    #[test]
    fn an_object_made_anew_replaces_a_written_one() {
        let named = CachedObject::default();
        named.written(object("a", "9"));
        named.observed(object("b", "3"));
        assert_eq!(version(&named).as_deref(), Some("3"));
        named.gone();
        assert_eq!(version(&named), None);
    }
}
