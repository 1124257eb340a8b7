//! Names of the volumes of a Pod.

use nats_manager_api::{FileStore, ResolvedCluster};

/// Volume with the ConfigMap.
pub(super) const CONFIG: &str = "config-volume";
/// Volume with the Secret of the system account.
pub(super) const ACCOUNTS: &str = "accounts-volume";
/// Volume with the file that contains the process ID.
pub(super) const RUN: &str = "pid";
/// Volume that replaces the PVC where no file store exists.
pub(super) const TEMPORARY_STORE: &str = "store";

/// Returns the name of the volume with the store.
pub(super) fn store(cluster: &ResolvedCluster) -> String {
    match cluster.file_store {
        FileStore::Volume { .. } => cluster.id.pvc_template(),
        FileStore::MemoryOnly => TEMPORARY_STORE.to_owned(),
    }
}
