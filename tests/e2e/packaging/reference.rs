//! Completeness of the reference for users, in both directions: the names in the code are documented, and no others.

use std::{collections::BTreeSet, fs, path::Path};

use nats_manager_harness::documented;

use super::{path, read};

/// Domains of annotations and labels that are NATS Manager's own.
const DOMAINS: [&str; 2] = ["nats.operator.kyma-project.io/", "networking.nats.kyma-project.io/"];

/// Returns the text of all files with this extension in a folder and its subfolders.
fn sources(folder: &str, extension: &str) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(path(folder)).unwrap().map(Result::unwrap) {
        let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            text += &sources(&name, extension);
        } else if Path::new(&name).extension().is_some_and(|found| found == extension) {
            text += &read(&name);
        }
    }
    text
}

/// Returns the values of the text constants in Rust sources.
fn constants(source: &str) -> BTreeSet<&str> {
    let values =
        source.split(": &str =").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    values.collect()
}

/// Returns the variants of an enum.
fn variants(of: &str) -> BTreeSet<String> {
    let source = read("api/src/status/mod.rs");
    let (_, rest) = source.split_once(&format!("pub enum {of} {{\n")).unwrap();
    let (body, _) = rest.split_once("\n}").unwrap();
    body.lines().filter_map(|line| line.trim().strip_suffix(',')).map(str::to_owned).collect()
}

/// Returns the part of a page below a heading, without the parts below its subheadings.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    rest.split("\n## ").next().unwrap()
}

/// Returns the spans of code in a column of the tables of a text.
fn column(text: &str, index: usize) -> Vec<&str> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.trim_matches('|').split(" | ").nth(index));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// Returns all words of a text that begin with one of these prefixes.
fn words<'a>(text: &'a str, prefixes: &[&str]) -> BTreeSet<&'a str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    let words = text.split(|letter: char| !is_part(letter)).map(|word| word.trim_end_matches(['.', '/', '-']));
    words.filter(|word| prefixes.iter().any(|prefix| word.len() > prefix.len() && word.starts_with(prefix))).collect()
}

/// Returns all pages for users.
fn user_pages() -> impl Iterator<Item = (String, String)> {
    let pages = documented::pages().into_iter().filter(|page| page.starts_with("docs/user/"));
    pages.filter(|page| Path::new(page).extension().is_some_and(|extension| extension == "md")).map(|page| {
        let text = read(&page);
        (page, text)
    })
}

#[test]
fn documented_states_conditions_and_reasons_exist() {
    let page = read("docs/user/conditions.md");
    let jetstream = read("docs/user/troubleshooting/jetstream-not-healthy.md");
    for (text, index, of) in [
        (section(&page, "States"), 0, "ModuleState"),
        (section(&page, "Conditions"), 0, "ConditionType"),
        (section(&page, "Reasons"), 0, "ConditionType"),
        (section(&page, "Reasons"), 1, "Reason"),
        (section(&jetstream, "Solution"), 0, "Reason"),
    ] {
        let known = variants(of);
        let names = column(text, index);
        // The first row of a table is its header, which has spans of code for the status of a condition.
        assert!(names.len() >= 5, "{of}: {names:?}");
        for name in names {
            assert!(known.contains(name), "{of} has no {name}");
        }
    }
    let all = variants("ConditionType");
    let documented: BTreeSet<String> = column(section(&page, "Conditions"), 0).into_iter().map(str::to_owned).collect();
    assert_eq!(documented, all);
}

#[test]
fn every_reason_of_an_event_is_documented() {
    let page = read("docs/user/conditions.md");
    let source = sources("src/controller", "rs");
    let named = ["announce(true, Reason::", "announce(false, Reason::", "is_warning: true, reason: Reason::"];
    let reasons: BTreeSet<&str> = named
        .iter()
        .flat_map(|before| source.split(before).skip(1))
        .filter_map(|rest| rest.split(|letter: char| !letter.is_alphanumeric()).next())
        .collect();
    assert!(reasons.len() > 10, "{reasons:?}");
    let documented = column(section(&page, "Events"), 0);
    for reason in reasons {
        assert!(documented.contains(&reason), "{reason}");
    }
    let (conditions, known) = (variants("ConditionType"), variants("Reason"));
    for reason in documented {
        assert!(known.contains(reason) || conditions.contains(reason), "{reason}");
    }
}

#[test]
fn every_annotation_label_and_finalizer_is_documented() {
    let page = read("docs/user/annotations.md");
    let source = sources("api/src", "rs") + &sources("planner/src", "rs") + &sources("src", "rs");
    let is_key = |value: &&str| {
        let (domain, name) = value.split_once('/').unwrap_or_default();
        domain.contains('.') && !name.is_empty() && !value.contains([' ', ':'])
    };
    let naming = read("api/src/naming.rs");
    let own = constants(&source).into_iter().filter(|value| DOMAINS.iter().any(|domain| value.starts_with(domain)));
    let keys: BTreeSet<&str> = constants(&naming).into_iter().filter(is_key).chain(own).collect();
    assert!(keys.len() > 13, "{keys:?}");
    for key in keys {
        assert!(page.contains(&format!("`{key}")), "{key}");
    }
    // Labels of the objects of the NATS cluster.
    let id = nats_manager_api::NamespacedName::new("kyma-system", "eventing-nats");
    for (key, value) in id.labels().into_iter().chain(id.pod_labels()) {
        assert!(page.contains(&format!("`{key}`")) && page.contains(&format!("`{value}`")), "{key}: {value}");
    }
}

#[test]
fn documented_annotations_and_labels_exist() {
    let source =
        ["api/src", "planner/src", "src"].map(|folder| sources(folder, "rs")).concat() + &sources("config", "yaml");
    let known = words(&source, &DOMAINS);
    let mut found = 0;
    for (page, text) in user_pages() {
        // kubectl prints the CR by the same domain.
        for key in words(&text, &DOMAINS).into_iter().filter(|key| !key.ends_with("/eventing-nats")) {
            assert!(known.contains(key), "{page}: {key}");
            found += 1;
        }
    }
    assert!(found > 20, "{found}");
}

#[test]
fn documented_metrics_and_registered_metrics_are_the_same() {
    // The log has targets of the same prefix.
    let source = sources("src/telemetry", "rs").replace(&read("src/telemetry/logging.rs"), "");
    let quoted =
        source.split('"').filter(|text| text.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'));
    let registered: BTreeSet<&str> = quoted.filter(|text| text.starts_with("nats_manager_")).collect();
    assert!(registered.len() > 25, "{registered:?}");
    let plain = |name: &str| {
        let suffixes = ["_bucket", "_count", "_sum", "_total", "_seconds", "_bytes"];
        let mut names = vec![name.to_owned()];
        for suffix in suffixes {
            let shorter: Vec<String> =
                names.iter().filter_map(|name| name.strip_suffix(suffix)).map(str::to_owned).collect();
            names.extend(shorter);
        }
        names
    };
    let reference = read("docs/user/metrics.md");
    let rows = column(&reference, 0);
    let documented: BTreeSet<String> = rows.iter().filter_map(|cell| cell.split('{').next()).flat_map(plain).collect();
    for name in &registered {
        assert!(documented.contains(*name), "{name} is not documented");
    }
    for (page, text) in user_pages() {
        for name in words(&text, &["nats_manager_"]) {
            assert!(plain(name).iter().any(|name| registered.contains(name.as_str())), "{page}: {name}");
        }
    }
}
