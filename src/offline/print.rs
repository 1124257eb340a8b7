//! Output of reports, coloured on a terminal.

use std::{
    fmt::Display,
    io::{self, Write},
};

use anstyle::{AnsiColor, Style};

use super::report::{Finding, Severity, ValidationReport};

/// Prints findings and summary on stdout: they are the requested output.
pub(super) fn report(report: &ValidationReport) -> io::Result<()> {
    let mut output = anstream::stdout().lock();
    for finding in &report.findings {
        line(&mut output, finding)?;
    }
    writeln!(output, "{}", report.summary())?;
    output.flush()
}

/// Prints findings on stderr, because stdout has the requested output.
pub(super) fn findings_to_stderr(report: &ValidationReport) {
    let mut output = anstream::stderr().lock();
    for finding in &report.findings {
        // A failure to write to stderr cannot be reported.
        let _ = line(&mut output, finding);
    }
}

pub(super) fn failure(error: &dyn Display) {
    let style = style(Severity::Error);
    let _ = writeln!(anstream::stderr(), "{style}{}{style:#}: {error}", Severity::Error);
}

fn line(output: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let style = style(finding.severity);
    writeln!(output, "{style}{}{style:#}: {}", finding.severity, finding.text())
}

fn style(severity: Severity) -> Style {
    let color = match severity {
        Severity::Error => AnsiColor::Red,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Note => AnsiColor::Cyan,
    };
    color.on_default().bold()
}
