//! What was found in some input.

use std::fmt;

/// What was found in some input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidationReport {
    /// In the order of the input.
    pub findings: Vec<Finding>,
    /// How many NATS resources were looked at.
    pub resources: usize,
}

/// One thing to tell, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which document of several: `document 2 (eventing-nats)`.
    pub subject: Option<String>,
    /// A field path, where there is one, and what is the matter with it.
    pub message: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It would be refused.
    Error,
    /// It would be accepted; somebody should look.
    Warning,
    /// It was not looked at.
    Note,
}

impl ValidationReport {
    /// Whether anything would be refused.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// `2 resources, 1 error, 3 warnings`.
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
    /// What follows the severity. Control characters of the input do not reach a terminal.
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
