//! Shell commands of the documentation. The comment before a block names the mark by which a test runs it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "what tests share is a test too")]

use std::{fs, path::Path};

/// Root of the checkout.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const SHELLS: [&str; 2] = ["```sh", "```console"];
const END: &str = "```";

/// Fenced block of shell commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Text of the HTML comment before the block; empty if there is none.
    pub mark: String,
    /// Lines of the block, without the indentation of a list.
    pub text: String,
}

impl Block {
    /// Returns the lines after a `$ ` prompt, without the output that the block shows.
    pub fn commands(&self) -> Vec<&str> {
        self.text.lines().filter_map(|line| line.strip_prefix("$ ")).collect()
    }
}

/// Returns the blocks of a page that have the mark, in their order.
///
/// # Panics
/// If there is none.
pub fn blocks(page: &str, mark: &str) -> Vec<Block> {
    let mut blocks = all(page);
    blocks.retain(|block| block.mark == mark);
    assert!(!blocks.is_empty(), "{page} has no block with <!-- {mark} -->");
    blocks
}

/// Returns the paths of `README.md` and of every page of the documentation, relative to the root of the repository.
pub fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned()];
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(ROOT).join(&folder)).unwrap().map(Result::unwrap) {
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() { folders.push(path) } else { pages.push(path) }
        }
    }
    pages
}

/// Returns all blocks of a page. The path is relative to the root of the repository.
pub fn all(page: &str) -> Vec<Block> {
    parse(&fs::read_to_string(Path::new(ROOT).join(page)).unwrap())
}

fn parse(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut before = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let fence = line.trim_start();
        if SHELLS.contains(&fence) {
            let indentation = &line[..line.len() - fence.len()];
            let comment = before.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
            let text: Vec<&str> = lines
                .by_ref()
                .map(|line| line.strip_prefix(indentation).unwrap_or(line).trim_end())
                .take_while(|line| *line != END)
                .collect();
            blocks.push(Block { mark: comment.unwrap_or_default().to_owned(), text: text.join("\n") });
        }
        before = line.trim();
    }
    blocks
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Page, mark and the file of the test that runs its blocks.
    const RUN: [(&str, &str, &str); 65] = [
        ("README.md", "run", "tests/real/install/documented.rs"),
        ("README.md", "run: without a cluster", "tests/e2e/process/mod.rs"),
        ("README.md", "run: demo", "xtask/src/test/steps.rs"),
        ("docs/contributor/develop.md", "by hand", ""),
        ("docs/user/01-10-access-nats-server.md", "run", "tests/real/install/documented.rs"),
        ("docs/user/conditions.md", "run", "tests/real/install/documented.rs"),
        ("docs/user/configure.md", "run", "tests/real/install/documented.rs"),
        ("docs/user/quickstart.md", "run", "tests/real/quickstart.rs"),
        ("docs/user/expand-volumes.md", "run", "tests/real/expansion.rs"),
        ("docs/user/backup.md", "run: stop eventing", "tests/real/backup.rs"),
        ("docs/user/backup.md", "run: back up", "tests/real/backup.rs"),
        ("docs/user/backup.md", "run: on your machine", "tests/real/backup.rs"),
        ("docs/user/backup.md", "run: replace", "tests/real/backup.rs"),
        ("docs/user/backup.md", "run: restore", "tests/real/backup.rs"),
        ("docs/user/backup.md", "run: start eventing", "tests/real/backup.rs"),
        ("docs/user/backup.md", "run: clean up", "tests/real/backup.rs"),
        ("docs/user/gitops.md", "run", "tests/e2e/gitops.rs"),
        ("docs/user/install.md", "run", "tests/real/install/documented.rs"),
        ("docs/user/high-availability.md", "run", "tests/real/install/documented.rs"),
        ("docs/user/install.md", "run: image", "tests/real/install/artifact.rs"),
        ("docs/user/install.md", "run: manifests", "tests/real/install/artifact.rs"),
        ("docs/user/metrics.md", "run", "tests/real/install/documented.rs"),
        ("docs/user/monitoring.md", "run: overlays", "tests/e2e/packaging/overlays.rs"),
        ("docs/user/operations.md", "run: drain", "tests/e2e/nodes.rs"),
        ("docs/user/operations.md", "run: restart", "tests/e2e/nodes.rs"),
        ("docs/user/operations.md", "run: wake up", "tests/e2e/nodes.rs"),
        ("docs/user/pause.md", "run: pause", "tests/e2e/pause.rs"),
        ("docs/user/pause.md", "run: resume", "tests/e2e/pause.rs"),
        ("docs/user/placement.md", "run", "tests/e2e/placement.rs"),
        ("docs/user/network-policies.md", "run: restrict", "tests/e2e/children/network_policy.rs"),
        ("docs/user/network-policies.md", "run: open", "tests/e2e/children/network_policy.rs"),
        ("docs/user/network-policies.md", "run: prometheus", "tests/e2e/children/network_policy.rs"),
        ("docs/user/permissions.md", "run: policy", "tests/e2e/admission/policy.rs"),
        ("docs/user/permissions.md", "run: policy check", "tests/e2e/admission/policy.rs"),
        ("docs/user/refusals.md", "checked", "tests/e2e/admission/documented.rs"),
        ("docs/user/refusals.md", "checked: one server", "tests/e2e/admission/documented.rs"),
        ("docs/user/replace-server.md", "run: replace", "tests/real/replace.rs"),
        ("docs/user/replace-server.md", "run: withdraw", "tests/e2e/replace.rs"),
        ("docs/user/scaling.md", "checked", "tests/e2e/admission/documented.rs"),
        ("docs/user/scaling.md", "run: up", "tests/real/scaling.rs"),
        ("docs/user/scaling.md", "run: only copies", "tests/real/scaling.rs"),
        ("docs/user/scaling.md", "run: one to three", "tests/real/scaling.rs"),
        ("docs/user/scaling.md", "run: restore", "tests/real/scaling.rs"),
        ("docs/user/sizing.md", "run", "tests/real/eventing.rs"),
        ("docs/user/storage.md", "run", "tests/real/install/documented.rs"),
        ("docs/user/storage.md", "run: reservation", "tests/real/storage.rs"),
        ("docs/user/storage.md", "run: nearly full", "tests/real/storage.rs"),
        ("docs/user/takeover.md", "run: take over", "tests/e2e/packaging/takeover.rs"),
        ("docs/user/takeover.md", "run: remove the predecessor", "tests/e2e/packaging/takeover.rs"),
        ("docs/user/takeover.md", "run: apply the predecessor", "tests/e2e/packaging/takeover.rs"),
        ("docs/user/takeover.md", "run: way back", "tests/e2e/admission/removal.rs"),
        ("docs/user/takeover.md", "run: remove what is left", "tests/e2e/packaging/takeover.rs"),
        (
            "docs/user/troubleshooting/terminating-namespace.md",
            "run: terminating namespace",
            "tests/e2e/deletion/namespace.rs",
        ),
        ("docs/user/troubleshooting/03-05-nats-troubleshooting.md", "run", "tests/real/install/documented.rs"),
        ("docs/user/troubleshooting/03-10-fix-pending-events.md", "run", "tests/real/install/documented.rs"),
        ("docs/user/troubleshooting/manager-not-working.md", "run", "tests/real/install/documented.rs"),
        ("docs/user/troubleshooting/not-ready.md", "run", "tests/real/install/documented.rs"),
        ("docs/user/uninstall.md", "run: remove", "tests/real/install/documented.rs"),
        ("docs/user/uninstall.md", "run: force", "tests/real/install/mod.rs"),
        ("docs/user/uninstall.md", "run: after all at once", "tests/real/install/mod.rs"),
        ("docs/user/upgrades.md", "run", "tests/real/install/documented.rs"),
        ("docs/user/upgrades.md", "run: watch", "tests/real/rolling.rs"),
        ("docs/user/upgrades.md", "run: force", "tests/real/rolling.rs"),
        ("docs/user/webhook.md", "checked", "tests/e2e/admission/documented.rs"),
        ("docs/user/webhook.md", "run: overlays", "tests/e2e/packaging/overlays.rs"),
    ];

    #[test]
    fn every_documented_command_is_run_by_a_test() {
        let root = Path::new(ROOT);
        let pages = pages();
        let marked = pages.iter().flat_map(|page| all(page).into_iter().map(move |block| (page.clone(), block.mark)));
        let known = RUN.iter().map(|(page, mark, _)| ((*page).to_owned(), (*mark).to_owned()));
        assert_eq!(marked.collect::<BTreeSet<_>>(), known.collect());

        for (page, mark, test) in RUN.iter().filter(|(_, _, test)| !test.is_empty()) {
            let source = fs::read_to_string(root.join(test)).unwrap();
            let (_, name) = page.rsplit_once('/').unwrap_or(("", page));
            assert!(source.contains(name), "{test} does not run {mark} of {page}");
        }
    }

    #[test]
    fn block_has_the_mark_of_the_comment_before_it() {
        let page = "text\n<!-- run: x -->\n```sh\na <<EOF\n  b\nEOF\nc &\n```\n- item\n\n   ```console\n   $ c\n   d\n   ```\n```json\n{}\n```\n";
        let block = |mark: &str, text: &str| Block { mark: mark.to_owned(), text: text.to_owned() };
        let blocks = parse(page);
        assert_eq!(blocks, [block("run: x", "a <<EOF\n  b\nEOF\nc &"), block("", "$ c\nd")]);
        assert_eq!(blocks[1].commands(), ["c"]);
    }

    /// Returns the pages for contributors.
    fn contributor_pages() -> Vec<String> {
        pages().into_iter().filter(|page| page.starts_with("docs/contributor/")).collect()
    }

    /// Returns the texts of a page that are marked as code within a line.
    fn inline_code(page: &str) -> Vec<String> {
        let mut is_fenced = false;
        let mut text = String::new();
        for line in fs::read_to_string(Path::new(ROOT).join(page)).unwrap().lines() {
            is_fenced ^= line.trim_start().starts_with(END);
            text += if is_fenced || line.trim_start().starts_with(END) { "" } else { line };
            text.push('\n');
        }
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn every_documented_test_exists() {
        // Four words, as tests have them.
        let others = ["disk_io_wait_stats", "nats_manager_"];
        let is_word = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_:*".contains(letter);
        let sources = sources(Path::new(ROOT));
        let mut found = 0;
        for page in contributor_pages() {
            let code = inline_code(&page);
            let names = code.iter().filter(|name| name.chars().all(is_word) && name.matches('_').count() >= 3);
            for name in names.filter(|name| !others.iter().any(|other| name.starts_with(other))) {
                let function = name.rsplit("::").next().unwrap_or(name);
                assert!(function.contains('*') || sources.contains(&format!("fn {function}(")), "{page}: {name}");
                found += 1;
            }
        }
        assert!(found > 80, "{found}");
    }

    #[test]
    fn every_documented_path_exists() {
        let root = Path::new(ROOT);
        // Of other repositories, and of builds.
        let elsewhere = ["docs/external-content/", "target/"];
        let is_path = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
        let mut found = 0;
        for page in contributor_pages() {
            for text in inline_code(&page) {
                let is_relative =
                    text.split_once('/').is_some_and(|(first, _)| !first.is_empty() && root.join(first).is_dir());
                if is_relative && text.chars().all(is_path) && !elsewhere.iter().any(|other| text.starts_with(other)) {
                    assert!(root.join(&text).exists(), "{page}: {text}");
                    found += 1;
                }
            }
        }
        assert!(found > 150, "{found}");
    }

    /// Returns all Rust sources of the checkout.
    fn sources(folder: &Path) -> String {
        let mut sources = String::new();
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                let is_skipped = name == "target" || name.starts_with('.');
                sources += &if is_skipped { String::new() } else { self::sources(&entry.path()) };
            } else if Path::new(&name).extension().is_some_and(|extension| extension == "rs") {
                sources += &fs::read_to_string(entry.path()).unwrap();
            }
        }
        sources
    }
}
