//! What the process waits for before it is ready, and the answers of `/healthz` and `/readyz`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The named checks of the process; a clone is the same checks. Without checks it is ready.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<Checks>>);

/// By name; what a check waits for, `None` when it is passed.
type Checks = BTreeMap<&'static str, Option<Cow<'static, str>>>;

/// The handle of whoever passes or fails one check; from any thread, never blocking for long.
#[derive(Debug, Clone)]
pub struct Check {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// No checks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check that is not passed yet, for the reason given. Add all before serving probes,
    /// else the process looks ready in between.
    pub fn check(&self, name: &'static str, reason: impl Into<Cow<'static, str>>) -> Check {
        let check = Check { name, readiness: self.clone() };
        check.waiting(reason);
        check
    }

    /// Whether all checks are passed.
    pub fn is_ready(&self) -> bool {
        self.checks().values().all(Option::is_none)
    }

    /// The text for `/readyz`, a line per check that is not passed, or with `verbose` for each.
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
    /// The check is passed.
    pub fn pass(&self) {
        self.readiness.checks().insert(self.name, None);
    }

    /// The check is not passed, with what it waits for, such as `waiting for the
    /// CustomResourceDefinition nats.operator.kyma-project.io`.
    pub fn waiting(&self, reason: impl Into<Cow<'static, str>>) {
        self.readiness.checks().insert(self.name, Some(reason.into()));
    }

    /// As [`Check::waiting`], unless the check was passed once: then it stays passed.
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
    fn a_line_for_each_check_that_waits() {
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
