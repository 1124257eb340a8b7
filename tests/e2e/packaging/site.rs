//! User documentation as a part of the site of Kyma, which copies `docs/user` and nothing else, imports `_sidebar.ts`,
//! and renders the pages with `VitePress`.

use std::path::Path;

use nats_manager_harness::documented;

use super::{pages, path, read};

const SIDEBAR: &str = "docs/user/_sidebar.ts";
/// Pages under their names in the documentation of the Go manager, with an anchor that other modules link to.
const OLD_NAMES: [(&str, Option<&str>); 6] = [
    ("README.md", None),
    ("01-05-nats-custom-resource.md", None),
    ("01-10-access-nats-server.md", None),
    ("troubleshooting/README.md", None),
    ("troubleshooting/03-05-nats-troubleshooting.md", Some("4-inspect-the-nats-jetstream")),
    ("troubleshooting/03-10-fix-pending-events.md", None),
];

/// Returns the paths of the pages for users, relative to `docs/user`.
fn user_pages() -> Vec<String> {
    let pages = documented::pages();
    let pages = pages.iter().filter_map(|page| page.strip_prefix("docs/user/"));
    pages
        .filter(|page| Path::new(page).extension().is_some_and(|extension| extension == "md"))
        .map(str::to_owned)
        .collect()
}

/// Returns the targets of the links in a page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// Returns the text without blocks and spans of code.
fn without_code(text: &str) -> String {
    let prose: Vec<&str> = text.split("```").step_by(2).collect();
    prose.join("\n").split('`').step_by(2).collect()
}

/// Returns the anchor that `VitePress` derives from a heading.
fn site_anchor(heading: &str) -> String {
    let words: Vec<&str> =
        heading.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let anchor = words.join("-").to_lowercase();
    if anchor.starts_with(|first: char| first.is_ascii_digit()) { format!("_{anchor}") } else { anchor }
}

/// Returns whether a page has an anchor on the site: of a heading, or of an `a` element.
fn has_site_anchor(page: &str, anchor: &str) -> bool {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings.map(site_anchor).any(|known| known == anchor) || page.contains(&format!("<a id=\"{anchor}\"></a>"))
}

#[test]
fn sidebar_lists_every_page_once() {
    let text = read(SIDEBAR);
    assert!(text.starts_with("export default [\n") && text.ends_with("\n];\n"), "{text}");
    for (open, close) in [('[', ']'), ('{', '}')] {
        assert_eq!(text.matches(open).count(), text.matches(close).count(), "{open}");
    }
    let mut linked = Vec::new();
    for line in text.lines().filter(|line| line.contains('{')) {
        assert!(line.trim_start().starts_with("{ text: '"), "{line}");
        let Some((_, link)) = line.split_once(", link: './") else {
            assert!(line.ends_with("collapsed: true, items: ["), "{line}");
            continue;
        };
        linked.push(format!("{}.md", link.split('\'').next().unwrap()));
    }
    linked.sort();
    // The site itself links to the first page.
    let mut pages: Vec<String> = user_pages().into_iter().filter(|page| page != "README.md").collect();
    pages.sort();
    assert_eq!(linked, pages);
    assert!(pages.len() > 25, "{}", pages.len());
}

#[test]
fn pages_that_others_link_to_have_their_old_names() {
    for (page, anchor) in OLD_NAMES {
        let text = read(&format!("docs/user/{page}"));
        let Some(anchor) = anchor else { continue };
        assert!(pages::anchors(&text).contains(anchor), "{page} on GitHub");
        assert!(has_site_anchor(&text, anchor), "{page} on the site");
    }
}

#[test]
fn links_of_user_pages_work_on_the_site() {
    for page in user_pages() {
        let text = read(&format!("docs/user/{page}"));
        for link in links(&text).filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(&page).parent().unwrap();
            let depth = folder.components().count();
            assert!(file.matches("../").count() <= depth, "{page}: the site has no {link}");
            let target = if file.is_empty() { page.clone() } else { folder.join(file).display().to_string() };
            let has_anchor = anchor.is_empty() || has_site_anchor(&read(&format!("docs/user/{target}")), anchor);
            assert!(has_anchor, "{page}: {link}");
        }
    }
}

#[test]
fn every_page_has_one_title_and_nothing_that_the_site_evaluates() {
    for page in user_pages() {
        let text = read(&format!("docs/user/{page}"));
        let prose = without_code(&text);
        let titles = prose.lines().filter(|line| line.starts_with("# ")).count();
        assert_eq!(titles, 1, "{page}");
        assert!(!prose.lines().any(|line| line.starts_with("####")), "{page}");
        let lines: Vec<&str> = prose.lines().filter(|line| !line.is_empty()).collect();
        let bare = lines.windows(2).find(|pair| pair[0].starts_with('#') && pair[1].starts_with('|'));
        assert_eq!(bare, None, "{page}: a table without an introduction");
        // VitePress compiles pages as Vue templates.
        assert!(!prose.contains("{{"), "{page}");
        let tags = prose.split('<').skip(1).filter(|rest| rest.starts_with(|first: char| first.is_alphabetic()));
        for tag in tags {
            assert!(tag.starts_with("a id="), "{page}: <{}", tag.split('>').next().unwrap());
        }
    }
}

#[test]
fn install_page_begins_with_the_checkout() {
    let first = documented::all("docs/user/install.md").remove(0);
    assert!(first.text.starts_with("cargo xtask image"), "{first:?}");
}

#[test]
fn no_page_installs_a_release_of_the_go_manager() {
    for page in documented::pages() {
        if Path::new(&page).extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        for part in ["releases/latest/download", "releases/download"] {
            assert!(!read(&page).contains(part), "{page}: {part}");
        }
    }
}

#[test]
fn pictures_are_in_the_assets_of_the_site() {
    let mut found = 0;
    for page in user_pages() {
        let text = read(&format!("docs/user/{page}"));
        let pictures = text.split("![").skip(1).filter_map(|rest| rest.split_once("](")?.1.split(')').next());
        for picture in pictures {
            assert!(picture.starts_with("./assets/"), "{page}: {picture}");
            assert!(Path::new(&path(&format!("docs/user/{picture}"))).exists(), "{page}: {picture}");
            found += 1;
        }
    }
    assert!(found > 0);
}
