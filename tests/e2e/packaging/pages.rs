//! Consistency of the user documentation with the code.

use std::{collections::BTreeSet, fs, path::Path};

use clap::CommandFactory;
use nats_manager::cli::Cli;
use nats_manager_harness::documented;

use super::{path, read};

/// Returns the anchor that GitHub derives from a heading.
fn anchor(heading: &str) -> String {
    let letters = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    letters.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Returns the anchors of a page.
pub(super) fn anchors(page: &str) -> BTreeSet<String> {
    page.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn every_link_has_a_target() {
    let mut found = 0;
    for page in documented::pages() {
        let text = read(&page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(&page).parent().unwrap();
            let target = if file.is_empty() { page.clone() } else { folder.join(file).display().to_string() };
            assert!(Path::new(&path(&target)).exists(), "{page}: {link}");
            assert!(anchor.is_empty() || anchors(&read(&target)).contains(anchor), "{page}: {link}");
            found += 1;
        }
    }
    assert!(found > 60, "{found}");
}

#[test]
fn every_flag_and_variable_is_documented() {
    let page = read("docs/user/configuration.md");
    let command = Cli::command();
    // Flags without a function are those of the predecessor.
    let takeover = read("docs/user/takeover.md");
    let mut flags = 0;
    for flag in command.get_arguments().filter(|flag| flag.get_long().is_some()) {
        let name = flag.get_long().unwrap();
        if flag.is_hide_set() {
            assert!(takeover.contains(&format!("`--{name}`")), "{name}");
        } else {
            assert!(page.contains(&format!("| `--{name}`")), "{name}");
        }
        flags += 1;
    }
    assert!(flags > 6, "{flags}");
    let help = command.get_after_help().unwrap().to_string();
    let (_, variables) = help.split_once("Environment:\n").unwrap();
    let variables: Vec<&str> = variables
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.contains('_') && word.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_'))
        .collect();
    assert!(variables.len() > 10, "{variables:?}");
    for variable in variables {
        assert!(page.contains(&format!("`{variable}`")), "{variable}");
    }
}

#[test]
fn every_condition_and_reason_is_documented() {
    let page = read("docs/user/conditions.md") + &read("docs/user/troubleshooting/jetstream-not-healthy.md");
    let source = read("api/src/status/mod.rs");
    let mut found = 0;
    for of in ["ModuleState", "ConditionType", "Reason"] {
        let (_, rest) = source.split_once(&format!("pub enum {of} {{\n")).unwrap();
        let (body, _) = rest.split_once("\n}").unwrap();
        for name in body.lines().filter_map(|line| line.trim().strip_suffix(',')) {
            // The contract contains this reason, but the manager never sets it.
            assert!(name == "InvalidManifests" || page.contains(&format!("`{name}`")), "{name}");
            found += 1;
        }
    }
    assert!(found > 35, "{found}");
}

/// Checks the tables at the end of the page. Another test runs the commands above them.
#[test]
fn documented_rejections_match_the_rules() {
    let page = read("docs/user/refusals.md");
    let (_, tables) = page.split_once("\n## Other Messages\n").unwrap();
    let mut sources = read("api/src/resource.rs") + &read("api/src/applied.rs");
    for folder in ["api/src/rules", "api/src/rules/scheduling"] {
        let files = fs::read_dir(path(folder)).unwrap().map(|entry| entry.unwrap().path());
        sources.extend(files.filter(|file| file.is_file()).map(|file| fs::read_to_string(file).unwrap()));
    }
    // The sources contain these values by name.
    let sources = sources.replace("{MAX_SIZE}", "99").replace("{MOST_ENTRIES}", "1000");
    let sources =
        sources.replace("{METADATA_SIZE}", "258048").replace("{HIGH_SHARE}", "80").replace("{unit}", "number");
    let sources =
        sources.replace("{zones}", "N").replace("{wanted}", "M").replace("{minimum} for {name}", "20Gi for alicloud");
    let mut found = 0;
    for row in tables.lines().filter_map(|line| line.strip_prefix("| ")) {
        let (messages, _) = row.split_once(" | ").unwrap();
        for message in messages.split('`').skip(1).step_by(2).filter(|message| message.contains(' ')) {
            for part in message.split("...").map(str::trim).filter(|part| part.len() > 3) {
                assert!(sources.contains(part), "{message}: no rule contains {part:?}");
                found += 1;
            }
        }
    }
    assert!(found > 25, "{found}");
}
