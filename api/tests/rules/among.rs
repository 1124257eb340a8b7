//! Specs beside the cluster facts, and what is asked of them.

use nats_manager_api::{
    Bytes, DeployedCluster, FileStore, NatsSpec, Provider, Spread,
    rules::{self, ClusterFacts, Findings, StorageClasses, ViolationClass},
};

pub(crate) const IMMUTABLE: &str = "fileStorage is immutable once it was set";
pub(crate) const FILE_SIZE: &str = "spec.jetStream.fileStorage.size";
pub(crate) const MEMORY_SIZE: &str = "spec.jetStream.memStorage.size";

pub(crate) fn spec(yaml: &str) -> NatsSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

/// Only a size of the file store.
pub(crate) fn sized(size: &str) -> String {
    format!("{{jetStream: {{fileStorage: {{size: {size}}}}}}}")
}

pub(crate) fn accepts(what: &str, spec: &str) {
    Among::nothing().accepts(what, spec);
}

pub(crate) fn rejects(what: &str, spec: &str, field: &str, message: &str, class: ViolationClass) {
    Among::nothing().rejects(what, spec, field, message, class);
}

pub(crate) fn warns(what: &str, spec: &str, field: &str, message: &str) {
    Among::nothing().warns(what, spec, field, message);
}

pub(crate) fn accepts_change(what: &str, old: &str, new: &str) {
    Among::nothing().accepts_change(what, old, new);
}

pub(crate) fn rejects_change(what: &str, old: &str, new: &str, field: &str, message: &str) {
    Among::nothing().rejects_change(what, old, new, field, message);
}

/// Inherited findings, in one line each, where the change itself is accepted.
pub(crate) fn tolerates(what: &str, old: &str, new: &str) -> Vec<String> {
    let findings = rules::check_update(&spec(old), &spec(new), &ClusterFacts::default());
    assert_eq!(findings.violations, [], "{what}");
    findings.warnings.iter().map(ToString::to_string).collect()
}

pub(crate) struct Among(pub(crate) ClusterFacts);

impl Among {
    pub(crate) fn nothing() -> Self {
        Self(ClusterFacts::default())
    }

    pub(crate) fn alicloud() -> Self {
        Self(ClusterFacts { provider: Provider::AliCloud, ..ClusterFacts::default() })
    }

    /// Volumes of so many GiB.
    pub(crate) fn volumes(gibi: u64) -> Self {
        Self::deployed(FileStore::Volume { size: Bytes::gibi(gibi), class: None })
    }

    pub(crate) fn deployed(file_store: FileStore) -> Self {
        let deployed = DeployedCluster {
            size: 3,
            file_store,
            spread: Spread::Soft,
            memory_store: None,
            restarted_for_memory_store: None,
        };
        Self(ClusterFacts { deployed: Some(deployed), ..ClusterFacts::default() })
    }

    pub(crate) fn zones(zones: usize) -> Self {
        Self(ClusterFacts { zones: Some(zones), ..ClusterFacts::default() })
    }

    pub(crate) fn classes(names: &[&str], default: Option<&str>) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let classes = StorageClasses { names, default: default.map(str::to_owned) };
        Self(ClusterFacts { storage_classes: Some(classes), ..ClusterFacts::default() })
    }

    pub(crate) fn check(&self, new: &str) -> Findings {
        rules::check(&spec(new), &self.0)
    }

    pub(crate) fn change(&self, old: &str, new: &str) -> Findings {
        rules::check_update(&spec(old), &spec(new), &self.0)
    }

    pub(crate) fn accepts(&self, what: &str, new: &str) {
        assert_eq!(self.check(new).violations, [], "{what}");
    }

    pub(crate) fn rejects(&self, what: &str, new: &str, field: &str, message: &str, class: ViolationClass) {
        let violation = only(what, self.check(new));
        assert_eq!((violation.0.as_str(), violation.2), (field, class), "{what}");
        assert!(violation.1.starts_with(message), "{what}: {}", violation.1);
    }

    pub(crate) fn accepts_change(&self, what: &str, old: &str, new: &str) {
        assert_eq!(self.change(old, new).violations, [], "{what}");
    }

    pub(crate) fn rejects_change(&self, what: &str, old: &str, new: &str, field: &str, message: &str) {
        let violation = only(what, self.change(old, new));
        assert_eq!(violation.0, field, "{what}");
        assert!(violation.1.starts_with(message), "{what}: {}", violation.1);
    }

    /// The warning is one of those given; it is no reason to refuse.
    pub(crate) fn warns(&self, what: &str, new: &str, field: &str, message: &str) {
        let findings = self.check(new);
        assert_eq!(findings.violations, [], "{what}");
        let says_so = findings.warnings.iter().any(|it| it.field == field && it.message.contains(message));
        assert!(says_so, "{what}: {:?}", findings.warnings);
    }

    pub(crate) fn is_silent(&self, what: &str, new: &str) {
        assert_eq!(self.check(new), Findings::default(), "{what}");
    }
}

pub(crate) fn only(what: &str, findings: Findings) -> (String, String, ViolationClass) {
    let count = findings.violations.len();
    match <[_; 1]>::try_from(findings.violations) {
        Ok([violation]) => (violation.field, violation.message, violation.class),
        Err(all) => panic!("{what}: {count} violations: {all:?}"),
    }
}
