//! Sections of `docs/contributor/performance.md` that come from runs: text and tables between two markers, and pictures
//! in the folder beside the page.

use std::{fs, io, path::PathBuf, time::Instant};

use sha2::{Digest, Sha256};

use crate::workspace;

const PAGE: &str = "docs/contributor/performance.md";
const PICTURES: &str = "docs/contributor/performance";
/// Description of the processors on Linux.
const PROCESSORS: &str = "/proc/cpuinfo";

/// Results of a run, for the section of the page with the name.
#[derive(Debug)]
pub(super) struct Section {
    /// Name of the section, as in its markers.
    pub(super) name: &'static str,
    /// Command line of the run.
    pub(super) command: String,
    /// Markdown: tables and what they mean for this run.
    pub(super) body: String,
    /// Pictures, which follow the text in this order.
    pub(super) pictures: Vec<Picture>,
}

/// Picture of a section.
#[derive(Debug)]
pub(super) struct Picture {
    /// Last part of the file name: the file is `SECTION-name.svg`.
    pub(super) name: &'static str,
    /// Description, for readers who cannot see it.
    pub(super) title: String,
    /// SVG document.
    pub(super) svg: String,
}

/// Failure to write the results into the page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    /// File that cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Page without the markers of the section.
    #[error("{PAGE} has no lines {} and {}", begin(.0), end(.0))]
    NoSection(&'static str),
    /// Failed git command, whose output is part of the section.
    #[error("git: {0}")]
    Git(String),
    /// Failure to draw a picture.
    #[error("failed to draw a picture: {0}")]
    Draw(String),
}

impl Section {
    /// Replaces the section in the page, and its pictures.
    pub(super) fn record(&self) -> Result<(), PageError> {
        let text = format!("{}\n\n{}", origin(&self.command)?, self.text());
        let folder = workspace::path(PICTURES);
        fs::create_dir_all(&folder).map_err(file_error(&folder))?;
        for picture in &self.pictures {
            let path = folder.join(self.file(picture));
            fs::write(&path, &picture.svg).map_err(file_error(&path))?;
        }
        update(self.name, |_| text)
    }

    fn text(&self) -> String {
        let links = self.pictures.iter().map(|all| format!("![{}](performance/{})", all.title, self.file(all)));
        [self.body.trim().to_owned()].into_iter().chain(links).collect::<Vec<_>>().join("\n\n")
    }

    fn file(&self, picture: &Picture) -> String {
        format!("{}-{}.svg", self.name, picture.name)
    }
}

fn begin(name: &str) -> String {
    format!("<!-- begin: {name} -->")
}

fn end(name: &str) -> String {
    format!("<!-- end: {name} -->")
}

/// Replaces the text of a section in the page.
pub(super) fn update(name: &'static str, change: impl FnOnce(&str) -> String) -> Result<(), PageError> {
    let path = workspace::path(PAGE);
    let page = fs::read_to_string(&path).map_err(file_error(&path))?;
    let page = replace(&page, name, change).ok_or(PageError::NoSection(name))?;
    fs::write(&path, page).map_err(file_error(&path))
}

/// Returns the page with another text between the markers of a section; `None` if it has no such markers.
fn replace(page: &str, name: &str, change: impl FnOnce(&str) -> String) -> Option<String> {
    let (begin, end) = (begin(name), end(name));
    let (before, rest) = page.split_once(&begin)?;
    let (text, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n{end}{after}", change(text.trim()).trim()))
}

/// Returns the line with date, commit, machine and command of the run.
fn origin(command: &str) -> Result<String, PageError> {
    Ok(format!("Measured on {}, commit {}, {}: `{command}`", date(), commit()?, machine()))
}

/// Returns the date of today (UTC).
pub(super) fn date() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// Returns the commit of the checkout, with a note if files differ from it.
pub(super) fn commit() -> Result<String, PageError> {
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let is_changed = !git(&["status", "--porcelain", "--untracked-files=no", "--", ":!docs"])?.is_empty();
    Ok(if is_changed { format!("{commit} with changes") } else { commit })
}

fn git(arguments: &[&str]) -> Result<String, PageError> {
    let output =
        workspace::command("git").args(arguments).output().map_err(|error| PageError::Git(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(PageError::Git(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Returns the model and the number of the processors, and how fast one of them is: machines of one model differ.
fn machine() -> String {
    let text = fs::read_to_string(PROCESSORS).unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, model)| model);
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let model = model.unwrap_or("unknown processor").trim();
    format!("{model} ({processors} cores, SHA-256 at {:.0} MB/s)", hash_speed())
}

/// Returns the speed at which a processor computes SHA-256, in MB/s: that of the fastest of ten tries.
fn hash_speed() -> f64 {
    const MEGABYTES: u32 = 8;
    let bytes = vec![0; MEGABYTES as usize * 1_000_000];
    let tries = (0..10).map(|_| {
        let begun = Instant::now();
        std::hint::black_box(Sha256::digest(&bytes));
        begun.elapsed()
    });
    f64::from(MEGABYTES) / tries.min().unwrap_or_default().as_secs_f64()
}

fn file_error(path: &std::path::Path) -> impl FnOnce(io::Error) -> PageError + use<> {
    let path = path.to_owned();
    |source| PageError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_section_leaves_the_others() {
        let page = "# Page\n<!-- begin: a -->\nold\n<!-- end: a -->\n<!-- begin: b -->\nb\n<!-- end: b -->\n";
        let replaced = "# Page\n<!-- begin: a -->\nnew\n<!-- end: a -->\n<!-- begin: b -->\nb\n<!-- end: b -->\n";
        let changed = |text: &str| replace(page, "a", |old| [old, text].concat());
        assert_eq!(changed("\nmore\n\n").as_deref(), Some(&*replaced.replace("new", "old\nmore")));
        assert_eq!(replace(page, "a", |_| "new".to_owned()).as_deref(), Some(replaced));
        assert_eq!(replace(page, "c", str::to_owned), None);
    }

    #[test]
    fn page_has_a_section_for_each_part() {
        let page = fs::read_to_string(workspace::path(PAGE)).unwrap();
        for name in ["admission", "admission-runs", "reconcile", "scale", "start", "manager"] {
            assert!(replace(&page, name, str::to_owned).is_some(), "{name}");
        }
    }
}
