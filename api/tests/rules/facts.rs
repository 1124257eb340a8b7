//! Cluster facts for the tests, and assertions on specs with them.

use nats_manager_api::{
    Bytes, DeployedCluster, FileStore, NatsSpec, Provider, Spread,
    rules::{self, ClusterFacts, Findings, StorageClasses, ViolationClass},
};

pub(crate) const IMMUTABLE: &str = "fileStorage is immutable once it was set";
pub(crate) const GROWS_ONLY: &str = "fileStorage is immutable once it was set, but its size can grow";
pub(crate) const FILE_SIZE: &str = "spec.jetStream.fileStorage.size";
pub(crate) const MEMORY_SIZE: &str = "spec.jetStream.memStorage.size";

pub(crate) fn spec(yaml: &str) -> NatsSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

/// Builds a spec that sets only the size of the file store.
pub(crate) fn sized(size: &str) -> String {
    format!("{{jetStream: {{fileStorage: {{size: {size}}}}}}}")
}

pub(crate) fn accepts(case: &str, spec: &str) {
    Facts::none().accepts(case, spec);
}

pub(crate) fn rejects(case: &str, spec: &str, field: &str, message: &str, class: ViolationClass) {
    Facts::none().rejects(case, spec, field, message, class);
}

pub(crate) fn warns(case: &str, spec: &str, field: &str, message: &str) {
    Facts::none().warns(case, spec, field, message);
}

pub(crate) fn accepts_change(case: &str, old: &str, new: &str) {
    Facts::none().accepts_change(case, old, new);
}

pub(crate) fn rejects_change(case: &str, old: &str, new: &str, field: &str, message: &str) {
    Facts::none().rejects_change(case, old, new, field, message);
}

/// Asserts that a change is accepted. Returns the inherited findings, one line each.
pub(crate) fn tolerates(case: &str, old: &str, new: &str) -> Vec<String> {
    let findings = rules::check_update(&spec(old), &spec(new), &ClusterFacts::default());
    assert_eq!(findings.violations, [], "{case}");
    findings.warnings.iter().map(ToString::to_string).collect()
}

/// Cluster facts of a test.
pub(crate) struct Facts(pub(crate) ClusterFacts);

impl Facts {
    pub(crate) fn none() -> Self {
        Self(ClusterFacts::default())
    }

    pub(crate) fn alicloud() -> Self {
        Self(ClusterFacts { provider: Provider::AliCloud, ..ClusterFacts::default() })
    }

    /// Builds the facts of a deployed cluster with volumes of `gibi` GiB.
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
        let all = names.iter().map(|name| ((*name).to_owned(), true)).collect();
        let classes = StorageClasses { all, default: default.map(str::to_owned) };
        Self(ClusterFacts { storage_classes: Some(classes), ..ClusterFacts::default() })
    }

    pub(crate) fn check(&self, new: &str) -> Findings {
        rules::check(&spec(new), &self.0)
    }

    pub(crate) fn change(&self, old: &str, new: &str) -> Findings {
        rules::check_update(&spec(old), &spec(new), &self.0)
    }

    pub(crate) fn accepts(&self, case: &str, new: &str) {
        assert_eq!(self.check(new).violations, [], "{case}");
    }

    pub(crate) fn rejects(&self, case: &str, new: &str, field: &str, message: &str, class: ViolationClass) {
        let violation = only(case, self.check(new));
        assert_eq!((violation.0.as_str(), violation.2), (field, class), "{case}");
        assert!(violation.1.starts_with(message), "{case}: {}", violation.1);
    }

    pub(crate) fn accepts_change(&self, case: &str, old: &str, new: &str) {
        assert_eq!(self.change(old, new).violations, [], "{case}");
    }

    pub(crate) fn rejects_change(&self, case: &str, old: &str, new: &str, field: &str, message: &str) {
        let violation = only(case, self.change(old, new));
        assert_eq!(violation.0, field, "{case}");
        assert!(violation.1.starts_with(message), "{case}: {}", violation.1);
    }

    /// Asserts that a spec is accepted with a warning, perhaps among others.
    pub(crate) fn warns(&self, case: &str, new: &str, field: &str, message: &str) {
        let findings = self.check(new);
        assert_eq!(findings.violations, [], "{case}");
        let is_reported = findings.warnings.iter().any(|it| it.field == field && it.message.contains(message));
        assert!(is_reported, "{case}: {:?}", findings.warnings);
    }

    pub(crate) fn reports_nothing(&self, case: &str, new: &str) {
        assert_eq!(self.check(new), Findings::default(), "{case}");
    }
}

pub(crate) fn only(case: &str, findings: Findings) -> (String, String, ViolationClass) {
    let count = findings.violations.len();
    match <[_; 1]>::try_from(findings.violations) {
        Ok([violation]) => (violation.field, violation.message, violation.class),
        Err(all) => panic!("{case}: {count} violations: {all:?}"),
    }
}
