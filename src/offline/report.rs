//! Report of the checks on some input.

use std::fmt;

/// Findings on some input, and the number of resources in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidationReport {
    /// Findings in the order of the input.
    pub findings: Vec<Finding>,
    /// Number of NATS resources that were checked.
    pub resources: usize,
}

/// Finding, printed as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// Document among several, such as `document 2 (eventing-nats)`.
    pub subject: Option<String>,
    /// Field path, if there is one, and the problem.
    pub message: String,
}

/// Severity of a finding, by the effect at admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Resource that would be rejected.
    Error,
    /// Resource that would be accepted, but needs attention.
    Warning,
    /// Document that was not checked.
    Note,
}

impl ValidationReport {
    /// Returns whether any resource would be rejected.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Returns a summary such as `2 NATS resources, 1 error, 3 warnings`.
    pub fn summary(&self) -> String {
        let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let mut parts = vec![counted(self.resources, "NATS resource")];
        for (severity, what) in [(Severity::Error, "error"), (Severity::Warning, "warning")] {
            let count = self.count(severity);
            parts.extend((count > 0).then(|| counted(count, what)));
        }
        if parts.len() == 1 {
            parts.push("no findings".to_owned());
        }
        parts.join(", ")
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

impl Finding {
    /// Returns subject and message, the text after the severity. Control characters of the input are escaped for the
    /// terminal.
    pub fn text(&self) -> String {
        let subject = self.subject.as_ref().map(|subject| format!("{subject}: ")).unwrap_or_default();
        let mut text = String::new();
        for character in subject.chars().chain(self.message.chars()) {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        text
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.text())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}
