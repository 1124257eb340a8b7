//! Words that the glossary replaces, in comments, identifiers and pages.

use super::{
    comments::Source,
    words::{BANNED, EXCEPTIONS, Scope, parts, tokens},
};

/// A word that has to be replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) word: &'static str,
    /// The term to use.
    pub(super) instead: &'static str,
}

/// Finds words in comments.
pub(super) fn comments(path: &str, source: &Source) -> Vec<Finding> {
    let lines = source.comments.iter().map(|(line, text)| (*line, tokens(&without_code(text))));
    find(path, lines, |_| true)
}

/// Finds words in the parts of identifiers: `is_held` has the parts `is` and `held`.
pub(super) fn identifiers(path: &str, source: &Source) -> Vec<Finding> {
    let lines = source.code.iter().map(|(line, text)| (*line, parts(text)));
    find(path, lines, |scope| scope == Scope::Everywhere)
}

/// Finds words in the prose of a page: blocks and spans of code are left out.
pub(super) fn prose(path: &str, text: &str) -> Vec<Finding> {
    let mut is_code = false;
    let lines = text.lines().enumerate().filter_map(|(index, line)| {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            return None;
        }
        let is_prose = !is_code && !line.starts_with("    ");
        is_prose.then(|| (index + 1, tokens(&without_code(line))))
    });
    find(path, lines, |_| true)
}

fn find(
    path: &str,
    lines: impl Iterator<Item = (usize, Vec<String>)>,
    is_in_scope: impl Fn(Scope) -> bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, words) in lines {
        for banned in BANNED.iter().filter(|banned| is_in_scope(banned.scope)) {
            for form in banned.forms {
                let form_words: Vec<&str> = form.split(' ').collect();
                let is_there = words.windows(form_words.len()).any(|window| window == form_words);
                let is_exception = EXCEPTIONS.iter().any(|known| known.covers(path, form));
                if is_there && !is_exception {
                    findings.push(Finding { path: path.to_owned(), line, word: form, instead: banned.instead });
                }
            }
        }
    }
    findings
}

/// Removes spans of code, quotations of messages, and the targets of links.
fn without_code(text: &str) -> String {
    let mut plain = String::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 0 {
            plain.push_str(part);
        }
        plain.push(' ');
    }
    let mut prose = String::new();
    let mut rest = plain.as_str();
    while let Some((before, after)) = rest.split_once("](") {
        prose.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    prose + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_comments_identifiers_and_pages() {
        let source = Source::parse("// Nobody `looks`.\nfn is_settled() {}\nlet text = \"nobody\";\n");
        let words = |findings: Vec<Finding>| findings.iter().map(|found| (found.line, found.word)).collect::<Vec<_>>();
        assert_eq!(words(comments("a.rs", &source)), [(1, "nobody")]);
        assert_eq!(words(identifiers("a.rs", &source)), [(2, "settled")]);
        let page = "The manager gives up.\n```\nnobody\n```\n[a](nobody.md) under way\n";
        assert_eq!(words(prose("a.md", page)), [(1, "gives up"), (5, "under way")]);
    }
}
