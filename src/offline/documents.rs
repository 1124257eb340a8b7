//! Documents of a YAML stream, each parsed separately, so that a malformed one does not hide the others.

use serde_json::Value;
use serde_saphyr::{budget, options, render_options};

/// Upper bound in bytes for the text of a document after alias expansion. Nothing else makes it longer than the input.
const LONGEST_DOCUMENT: usize = 16 << 20;

/// Document that is neither blank nor comments only.
pub(super) struct Document {
    /// Position in the stream, counted from 1.
    pub(super) number: usize,
    /// Content, or a one-line error with the line of the stream.
    pub(super) content: Result<Value, String>,
}

/// Parses all documents of a stream.
pub(super) fn read(input: &str) -> Vec<Document> {
    split(input)
        .into_iter()
        .enumerate()
        .map(|(index, (line, text))| Document { number: index + 1, content: parse(line, text) })
        .collect()
}

/// Splits a stream as kubectl does, at lines that start with `---`. Returns each text with the number of lines before
/// it, except for those that are blank or only comments.
fn split(input: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut position) = (0, 0, 0);
    for (line, text) in input.split_inclusive('\n').enumerate() {
        if is_separator(text) && position > start {
            documents.push((start_line, &input[start..position]));
            (start, start_line) = (position, line);
        }
        position += text.len();
    }
    documents.push((start_line, &input[start..]));
    documents.retain(|(_, text)| has_content(text));
    documents
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn has_content(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.strip_prefix("---").unwrap_or(line).trim();
        !(line.is_empty() || line.starts_with(['#', '%', '\u{feff}']) || line == "...")
    })
}

fn parse(lines_before: usize, text: &str) -> Result<Value, String> {
    let options = options! {
        budget: budget! { max_total_scalar_bytes: LONGEST_DOCUMENT },
        // kubectl parses YAML 1.1.
        legacy_octal_numbers: true,
        reject_unsupported_tags: true,
        // With it, more than a few lines of comments under a key are an error.
        emit_comments: false,
        // A finding is one line.
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line_offset = u64::try_from(lines_before).unwrap_or(u64::MAX);
        error.render_with_options(render_options! { line_offset: line_offset })
    })
}
