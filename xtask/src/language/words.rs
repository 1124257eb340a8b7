//! The words that the glossary replaces, each with the term to use.

/// Forms of a word, and the term to use.
#[derive(Debug)]
pub(super) struct Banned {
    /// Lower-case forms; several words are separated by a space.
    pub(super) forms: &'static [&'static str],
    /// The term to use.
    pub(super) instead: &'static str,
    /// Texts in which the word is searched.
    pub(super) scope: Scope,
}

/// Texts in which a word is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Comments, identifiers and pages.
    Everywhere,
    /// Comments and pages: as a part of an identifier the word has another meaning.
    Prose,
}

/// A word that is allowed in a file.
#[derive(Debug)]
pub(super) struct Exception {
    path: &'static str,
    form: &'static str,
    #[expect(dead_code, reason = "for readers")]
    reason: &'static str,
}

/// Servers report, controllers reconcile, checks fail: they are not people. A term of Kubernetes or NATS is used with its
/// meaning there.
pub(super) const BANNED: &[Banned] = &[
    everywhere(&["somebody", "nobody", "whoever", "anybody", "someone"], "name the actor, or use the passive"),
    everywhere(&["look", "looks", "looked", "looking", "looker"], "poll, check, read, list, snapshot"),
    everywhere(&["sight", "sighting", "sightings"], "snapshot, first reconcile"),
    everywhere(&["lack", "lacks", "lacking"], "health issue, missing"),
    everywhere(&["settle", "settles", "settled", "settling", "unsettled"], "resolve, consistent, propagated"),
    everywhere(&["surroundings"], "cluster facts"),
    everywhere(&["undeployable"], "invalid"),
    everywhere(&["silence"], "unreachable, no response"),
    everywhere(&["underway", "under way"], "in progress"),
    everywhere(&["mend", "mends", "mended", "mending"], "repair, fix, correct"),
    everywhere(&["rival"], "predecessor"),
    everywhere(&["gist", "crowd", "crowded", "eyes"], "summary; connection limiter; poller"),
    everywhere(&["verdict", "verdicts"], "plan, decision, outcome"),
    everywhere(&["trouble", "troubles"], "issue, diagnosis"),
    everywhere(&["holdings"], "inventory"),
    everywhere(&["wish", "wishes", "wished"], "desired"),
    prose(&["roll", "rolls", "rolled"], "rolling update, rollout, restart"),
    prose(&["claim", "claims"], "PVC"),
    prose(&["held back", "is held", "are held"], "blocked"),
    prose(&["gives up", "give up", "gave up", "given up"], "stops, times out, releases"),
    prose(&["goes on", "go on", "went on", "going on"], "continues"),
    prose(&["forgets", "forget", "forgot", "forgotten"], "removes, drops"),
    prose(&["wants", "wanted"], "desired, requested"),
    prose(&["takes note", "take note"], "records"),
];

/// Words with another meaning in one file.
pub(super) const EXCEPTIONS: &[Exception] = &[];

const fn everywhere(forms: &'static [&'static str], instead: &'static str) -> Banned {
    Banned { forms, instead, scope: Scope::Everywhere }
}

const fn prose(forms: &'static [&'static str], instead: &'static str) -> Banned {
    Banned { forms, instead, scope: Scope::Prose }
}

impl Exception {
    /// Returns whether the exception is for this word in this file.
    pub(super) fn covers(&self, path: &str, form: &str) -> bool {
        self.path == path && self.form == form
    }
}

/// Splits prose into lower-case words.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '\'';
    text.split(|letter| !is_word(letter)).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Splits the identifiers of a line of code into lower-case words: `has_quorum`, `HasQuorum` are `has` and `quorum`.
pub(super) fn parts(code: &str) -> Vec<String> {
    let mut words = Vec::new();
    for identifier in code.split(|letter: char| !letter.is_alphanumeric()) {
        let mut word = String::new();
        for letter in identifier.chars() {
            let is_start = letter.is_uppercase() && word.chars().last().is_some_and(char::is_lowercase);
            if is_start {
                words.push(std::mem::take(&mut word));
            }
            word.extend(if is_start { letter.to_lowercase().collect() } else { vec![letter] });
        }
        words.push(word);
    }
    words.retain(|word| !word.is_empty());
    words.iter().map(|word| word.to_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_split_into_words() {
        assert_eq!(parts("HasQuorum is_held(PVCs)"), ["has", "quorum", "is", "held", "pvcs"]);
        assert_eq!(tokens("Peers, by id: n-0's"), ["peers", "by", "id", "n", "0's"]);
    }
}
