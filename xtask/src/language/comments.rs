//! Comments and identifiers of a Rust source file.

/// A source file, split into what people read.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Doc comments, each with all of its lines.
    pub(super) docs: Vec<DocComment>,
    /// Lines of comments of any kind, with their line numbers.
    pub(super) comments: Vec<(usize, String)>,
    /// Lines of code without comments and without the content of string literals, with their line numbers.
    pub(super) code: Vec<(usize, String)>,
}

/// A doc comment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DocComment {
    /// Number of its first line.
    pub(super) line: usize,
    /// Its text, in one line.
    pub(super) text: String,
    /// A function follows.
    pub(super) is_of_function: bool,
}

impl Source {
    /// Splits a source file. Raw strings that span lines count as code: no check depends on them.
    pub(super) fn parse(text: &str) -> Self {
        let mut source = Self::default();
        let mut open: Option<DocComment> = None;
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let trimmed = line.trim_start();
            if let Some(doc) = trimmed.strip_prefix("///").or_else(|| trimmed.strip_prefix("//!")) {
                let comment = open.get_or_insert_with(|| DocComment { line: line_number, ..DocComment::default() });
                comment.text.push_str(doc.trim());
                comment.text.push(' ');
                source.comments.push((line_number, doc.to_owned()));
                continue;
            }
            let (code, comment) = split(line);
            if let Some(comment) = comment {
                source.comments.push((line_number, comment.to_owned()));
            }
            if !trimmed.starts_with("#[")
                && let Some(mut doc) = open.take()
            {
                doc.is_of_function = code.contains("fn ");
                source.docs.push(doc);
            }
            source.code.push((line_number, code));
        }
        source.docs.extend(open);
        for doc in &mut source.docs {
            doc.text.truncate(doc.text.trim_end().len());
        }
        source
    }
}

/// Splits a line into its code, with string literals emptied, and its comment.
fn split(line: &str) -> (String, Option<&str>) {
    let mut code = String::new();
    let mut is_string = false;
    let mut rest = line.char_indices().peekable();
    while let Some((at, letter)) = rest.next() {
        match letter {
            '\\' if is_string => _ = rest.next(),
            '"' => {
                is_string = !is_string;
                code.push(letter);
            }
            '/' if !is_string && line[at..].starts_with("//") => return (code, Some(&line[at + 2..])),
            _ if is_string => {}
            _ => code.push(letter),
        }
    }
    (code, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_is_split_into_comments_and_code() {
        let source = Source::parse(
            "//! Module.\n\n/// Returns\n/// it.\n#[must_use]\nfn it() {\n    let a = \"// b\"; // c\n}\n",
        );
        assert_eq!(source.docs.len(), 2);
        assert_eq!(source.docs[0].text, "Module.");
        let function = DocComment { line: 3, text: "Returns it.".to_owned(), is_of_function: true };
        assert_eq!(source.docs[1], function);
        assert_eq!(source.comments.last().unwrap(), &(7, " c".to_owned()));
        assert!(source.code.contains(&(7, "    let a = \"\"; ".to_owned())), "{:?}", source.code);
    }
}
