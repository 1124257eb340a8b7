//! Figures of doc comments, with the targets that `docs/contributor/glossary.md` explains.

use super::{comments::Source, words::tokens};

/// Counts over all doc comments.
#[derive(Debug, Default)]
pub(super) struct Figures {
    comments: usize,
    words: usize,
    clauses: usize,
    verbs: usize,
    persons: usize,
    sayings: usize,
}

/// A figure and its target.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) value: f64,
    target: Target,
}

#[derive(Debug)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
}

const CLAUSES: [&str; 10] = ["what", "whether", "who", "which", "where", "when", "why", "how", "whose", "whoever"];
const PERSONS: [&str; 5] = ["somebody", "nobody", "whoever", "anybody", "someone"];
const SAYINGS: [&str; 8] = ["tell", "tells", "told", "telling", "say", "says", "said", "saying"];

impl Figures {
    /// Adds the doc comments of a file.
    pub(super) fn add(&mut self, source: &Source) {
        for doc in &source.docs {
            let words = tokens(&doc.text);
            let Some(first) = words.first() else { continue };
            let count = |list: &[&str]| words.iter().filter(|word| list.contains(&word.as_str())).count();
            self.comments += 1;
            self.words += words.len();
            self.clauses += usize::from(CLAUSES.contains(&first.as_str()));
            self.verbs += usize::from(doc.is_of_function && first.len() > 2 && first.ends_with('s'));
            self.persons += count(&PERSONS);
            self.sayings += count(&SAYINGS);
        }
    }

    /// Returns the figures with their targets.
    pub(super) fn rows(&self) -> [Row; 4] {
        [
            Row::new("start with a wh-clause, %", ratio(self.clauses, self.comments, 100), Target::AtMost(3.0)),
            Row::new("start with a verb, %", ratio(self.verbs, self.comments, 100), Target::AtLeast(25.0)),
            Row::new(
                "somebody, nobody, ..., per 1,000 words",
                ratio(self.persons, self.words, 1000),
                Target::AtMost(0.0),
            ),
            Row::new("tell, say, ..., per 1,000 words", ratio(self.sayings, self.words, 1000), Target::AtMost(0.6)),
        ]
    }
}

impl Row {
    fn new(name: &'static str, value: f64, target: Target) -> Self {
        Self { name, value, target }
    }

    /// Returns whether the figure meets its target.
    pub(super) fn is_met(&self) -> bool {
        match self.target {
            Target::AtMost(limit) => self.value <= limit,
            Target::AtLeast(limit) => self.value >= limit,
        }
    }

    /// Formats the target.
    pub(super) fn target(&self) -> String {
        match self.target {
            Target::AtMost(limit) => format!("<= {limit}"),
            Target::AtLeast(limit) => format!(">= {limit}"),
        }
    }
}

fn ratio(part: usize, all: usize, scale: u32) -> f64 {
    let float = |count: usize| u32::try_from(count).map_or(f64::MAX, f64::from);
    if all == 0 { 0.0 } else { float(part) * f64::from(scale) / float(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_count_beginnings_and_words() {
        let mut figures = Figures::default();
        figures.add(&Source::parse(
            "/// What it is.\nstruct A;\n/// Returns it.\nfn a() {}\n/// Names of nobody.\nstruct B;\n",
        ));
        let values = figures.rows().map(|row| (row.value.round(), row.is_met()));
        assert_eq!(values, [(33.0, false), (33.0, true), (125.0, false), (0.0, true)]);
    }
}
