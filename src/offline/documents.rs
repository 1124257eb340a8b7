//! The documents of a YAML stream, each read on its own: a broken one does not hide the others.

use serde_json::Value;

use super::value;

/// Brackets that are open at once. The parser takes quadratic time over them, long before it says
/// that the nesting is too deep.
const MOST_OPEN_BRACKETS: usize = 1000;

/// A document that says something.
pub(super) struct Document {
    /// Counted from 1, as a person counts.
    pub(super) number: usize,
    /// Or what is wrong with it, in one line, with the line of the stream.
    pub(super) content: Result<Value, String>,
}

/// Reads all documents.
pub(super) fn read(input: &str) -> Vec<Document> {
    split(input)
        .into_iter()
        .enumerate()
        .map(|(index, (line, text))| Document { number: index + 1, content: parse(line, text) })
        .collect()
}

/// The text of each document, with the number of lines before it. As kubectl does, at lines that
/// start with `---`; what is blank, or only comments, is none.
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
    documents.retain(|(_, text)| says_something(text));
    documents
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn says_something(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.strip_prefix("---").unwrap_or(line).trim();
        !(line.is_empty() || line.starts_with(['#', '%', '\u{feff}']) || line == "...")
    })
}

fn parse(lines_before: usize, text: &str) -> Result<Value, String> {
    if let Some(line) = too_deep(text) {
        return Err(format!("is nested too deeply at line {}", lines_before + line));
    }
    value::read(serde_yaml::Deserializer::from_str(text)).map_err(|error| moved(&error.to_string(), lines_before))
}

/// The line, from 1, where too many brackets are open. Brackets in text count too: nobody writes
/// that many without closing them.
fn too_deep(text: &str) -> Option<usize> {
    let (mut open, mut line) = (0_usize, 1);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            b'\n' => line += 1,
            _ => {}
        }
        if open > MOST_OPEN_BRACKETS {
            return Some(line);
        }
    }
    None
}

/// A message of the parser, whose lines are those of the document, with those of the stream.
fn moved(message: &str, lines: usize) -> String {
    const LINE: &str = " line ";
    let mut parts = message.split(LINE);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        text.push_str(LINE);
        let (number, rest) = part.split_at(digits);
        let number = number.parse::<usize>().map_or_else(|_| number.to_owned(), |line| (line + lines).to_string());
        text.push_str(&number);
        text.push_str(rest);
    }
    text
}
