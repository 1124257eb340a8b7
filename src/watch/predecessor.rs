//! Pods of the predecessor: the Go manager that this one replaces.

use kube::runtime::watcher::Config;

/// Label that only Pods of this manager carry.
pub(super) const OWN_LABEL: &str = "nats.operator.kyma-project.io/manager";

/// ServiceAccount of both managers.
const SERVICE_ACCOUNT: &str = "nats-manager";

/// Selects Pods under the manager's ServiceAccount that are not Pods of this manager.
pub(super) fn selector() -> Config {
    Config::default().labels(&format!("!{OWN_LABEL}")).fields(&format!("spec.serviceAccountName={SERVICE_ACCOUNT}"))
}
