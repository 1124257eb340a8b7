//! Checks the language of code and documentation: words of the field, figures of doc comments, spelling.

mod comments;
mod figures;
mod findings;
mod spelling;
mod words;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    table::Table,
    terminal::{done, note},
    workspace,
};
use comments::Source;
use figures::Figures;
use findings::{Finding, identifiers, prose};

/// A failed check of the language.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LanguageError {
    /// A file of the checkout is not readable.
    #[error("cannot read {path}: {cause}", path = path.display())]
    Read { path: PathBuf, cause: io::Error },
    /// The list of files is not available.
    #[error("cannot list the files of the checkout with git: {0}")]
    List(String),
    /// Findings, each printed before.
    #[error("{0} findings; docs/contributor/glossary.md has the terms")]
    Findings(usize),
    /// The spelling check did not run, or found mistakes.
    #[error(transparent)]
    Spelling(#[from] spelling::SpellingError),
}

/// Folders whose text comes from elsewhere: the sources of Kubernetes' control plane, objects of the Go manager, licences.
const FOREIGN: [&str; 3] = ["tests/cluster/", "tests/reference/", "LICENSES/"];
/// Files that list the words themselves.
const LISTS: [&str; 3] =
    ["docs/contributor/glossary.md", "xtask/src/language/words.rs", "xtask/src/language/findings.rs"];

/// Prints the figures and every finding. Fails if there is a finding, or a figure that misses its target.
pub(crate) fn run() -> Result<(), LanguageError> {
    let mut figures = Figures::default();
    let mut findings = Vec::new();
    for path in files()? {
        let text = fs::read_to_string(workspace::path(&path))
            .map_err(|cause| LanguageError::Read { path: path.clone().into(), cause })?;
        if Path::new(&path).extension().is_some_and(|extension| extension == "rs") {
            let source = Source::parse(&text);
            figures.add(&source);
            findings.extend(findings::comments(&path, &source));
            findings.extend(identifiers(&path, &source));
        } else {
            findings.extend(prose(&path, &text));
        }
    }
    print(&figures, &findings);
    spelling::check()?;
    let missed = figures.rows().iter().filter(|row| !row.is_met()).count();
    match findings.len() + missed {
        0 => Ok(()),
        count => Err(LanguageError::Findings(count)),
    }
}

fn print(figures: &Figures, findings: &[Finding]) {
    let mut table = Table::new(&["DOC COMMENTS", "FIGURE", "TARGET"]);
    for row in figures.rows() {
        let mark = if row.is_met() { "" } else { "  missed" };
        table.row([row.name.to_owned(), format!("{:.1}{mark}", row.value), row.target()]);
    }
    table.print();
    for Finding { path, line, word, instead } in findings {
        note(format!("{path}:{line}: {word:?}: {instead}"));
    }
    if findings.is_empty() {
        done("no word outside of the glossary");
    }
}

/// Lists Rust sources and Markdown pages that the checkout tracks or would track.
fn files() -> Result<Vec<String>, LanguageError> {
    let mut git = workspace::command("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", "*.rs", "*.md"]);
    let output = git.output().map_err(|error| LanguageError::List(error.to_string()))?;
    if !output.status.success() {
        return Err(LanguageError::List(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let all = String::from_utf8_lossy(&output.stdout);
    let is_ours = |path: &&str| !FOREIGN.iter().any(|folder| path.starts_with(folder)) && !LISTS.contains(path);
    let exists = |path: &&str| workspace::path(path).exists();
    Ok(all.lines().filter(is_ours).filter(exists).map(str::to_owned).collect())
}
