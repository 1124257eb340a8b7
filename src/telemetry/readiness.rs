//! Readiness checks of the process, and the responses of `/healthz` and `/readyz`.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Named checks of the process. Clones share them. Without checks the process is ready.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<Checks>>);

/// Reason for which a check has not passed, by its name. `None` for a check that has passed.
type Checks = BTreeMap<&'static str, Option<Cow<'static, str>>>;

/// Handle that passes or fails one check, from any thread, without blocking for long.
#[derive(Debug, Clone)]
pub struct Check {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Creates an empty set of checks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check that has not passed yet, for the reason given. Add all checks before probes are served, otherwise
    /// the process reports ready in between.
    pub fn check(&self, name: &'static str, reason: impl Into<Cow<'static, str>>) -> Check {
        let check = Check { name, readiness: self.clone() };
        check.waiting(reason);
        check
    }

    /// Returns whether all checks have passed.
    pub fn is_ready(&self) -> bool {
        self.checks().values().all(Option::is_none)
    }

    /// Returns the text for `/readyz`: a line per check that has not passed, or with `verbose` for each check.
    pub fn report(&self, verbose: bool) -> String {
        let checks = self.checks();
        let mut text = String::new();
        for (name, reason) in checks.iter() {
            // Writing to a String cannot fail.
            let _ = match reason {
                Some(reason) => writeln!(text, "[-]{name}: {reason}"),
                None if verbose => writeln!(text, "[+]{name} ok"),
                None => Ok(()),
            };
        }
        match (checks.values().all(Option::is_none), verbose) {
            (true, true) => text.push_str("readyz check passed\n"),
            (true, false) => text.push_str("ok"),
            (false, _) => text.push_str("readyz check failed\n"),
        }
        text
    }

    fn checks(&self) -> MutexGuard<'_, Checks> {
        // No code can leave the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check {
    /// Marks the check as passed.
    pub fn pass(&self) {
        self.readiness.checks().insert(self.name, None);
    }

    /// Marks the check as not passed, with a reason such as `waiting for the CustomResourceDefinition
    /// nats.operator.kyma-project.io`.
    pub fn waiting(&self, reason: impl Into<Cow<'static, str>>) {
        self.readiness.checks().insert(self.name, Some(reason.into()));
    }

    /// Updates the reason as [`Check::waiting`] does, unless the check has passed once. It stays passed then.
    pub fn still_waiting(&self, reason: impl Into<Cow<'static, str>>) {
        if let Some(Some(waiting)) = self.readiness.checks().get_mut(self.name) {
            *waiting = reason.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_has_line_per_waiting_check() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        assert_eq!(readiness.report(false), "ok");

        let crd = readiness.check("crd", "waiting for the CustomResourceDefinition nats.operator.kyma-project.io");
        let caches = readiness.check("caches", "waiting for caches");
        caches.pass();
        assert!(!readiness.is_ready());
        let waiting = "[-]crd: waiting for the CustomResourceDefinition nats.operator.kyma-project.io\n";
        assert_eq!(readiness.report(false), format!("{waiting}readyz check failed\n"));
        assert_eq!(readiness.report(true), format!("[+]caches ok\n{waiting}readyz check failed\n"));

        crd.pass();
        assert!(readiness.is_ready());
        assert_eq!(readiness.report(false), "ok");
        assert_eq!(readiness.report(true), "[+]caches ok\n[+]crd ok\nreadyz check passed\n");

        crd.waiting(format!("gone: {}", 1));
        assert!(!readiness.is_ready());
    }
}
