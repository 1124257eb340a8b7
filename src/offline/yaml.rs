//! JSON as YAML that means the same to every reader.
//!
//! kubectl reads YAML 1.1, where `yes`, `1_000` and `12:30` are no text. The library writes 1.2 and
//! leaves such text without quotes, so labels that say so would come out as something else.

use serde_json::{Map, Value};

/// Appends a value as a block, with its end of line.
pub(super) fn write(text: &mut String, value: &Value) {
    match value {
        Value::Object(fields) if !fields.is_empty() => write_fields(text, fields, "", ""),
        Value::Array(items) if !items.is_empty() => write_items(text, items, ""),
        scalar => write_scalar(text, scalar, ""),
    }
}

fn write_fields(text: &mut String, fields: &Map<String, Value>, first_indent: &str, indent: &str) {
    for (index, (key, value)) in fields.iter().enumerate() {
        text.push_str(if index == 0 { first_indent } else { indent });
        text.push_str(&plain_or_quoted(key));
        text.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                let deeper = format!("{indent}  ");
                write_fields(text, inner, &deeper, &deeper);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                write_items(text, items, indent);
            }
            scalar => {
                text.push(' ');
                write_scalar(text, scalar, indent);
            }
        }
    }
}

fn write_items(text: &mut String, items: &[Value], indent: &str) {
    for item in items {
        text.push_str(indent);
        text.push_str("- ");
        let deeper = format!("{indent}  ");
        match item {
            Value::Object(fields) if !fields.is_empty() => write_fields(text, fields, "", &deeper),
            Value::Array(inner) if !inner.is_empty() => {
                text.push('\n');
                write_items(text, inner, &deeper);
            }
            scalar => write_scalar(text, scalar, &deeper),
        }
    }
}

fn write_scalar(text: &mut String, value: &Value, indent: &str) {
    match value {
        Value::String(content) if is_block(content) => {
            text.push('|');
            for line in content.trim_end_matches('\n').split('\n') {
                text.push('\n');
                if !line.is_empty() {
                    text.push_str(indent);
                    text.push_str("  ");
                    text.push_str(line);
                }
            }
        }
        Value::String(content) => text.push_str(&plain_or_quoted(content)),
        other => text.push_str(&other.to_string()),
    }
    text.push('\n');
}

/// Whether text can stand as lines: it ends with one line break, as a block does, and the first
/// line, which sets the indent, has none of its own.
fn is_block(content: &str) -> bool {
    content.ends_with('\n')
        && !content.ends_with("\n\n")
        && !content.starts_with([' ', '\n'])
        && content.chars().all(|c| c == '\n' || (' '..='~').contains(&c))
}

/// Text without quotes where no reader takes it for anything else. A JSON string is YAML too.
fn plain_or_quoted(content: &str) -> String {
    const WORDS: [&str; 11] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];
    let starts_as_word = content.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_word = content.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    if starts_as_word && is_word && !WORDS.contains(&content.to_ascii_lowercase().as_str()) {
        content.to_owned()
    } else {
        Value::from(content).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_reads_the_same() {
        for value in [
            json!({"a": {"b": [{"c": 1, "d": [1, [2, {}], []]}, "x"], "e": {}}, "z": null}),
            json!({"yes": "no", "1": "1", "a: b": "# c", "": "", "é": "\u{1b}", "/": "~", "t": true}),
            json!({"text": "one\n\n  two # \n", "tail": "a\n\n", "lead": " a\n", "open": "a\nb", "tab": "a\tb\n"}),
            json!(["a\nb\n", {"c": "d\n"}]),
        ] {
            let mut text = String::new();
            write(&mut text, &value);
            assert_eq!(serde_yaml::from_str::<Value>(&text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn text_that_an_older_reader_takes_for_something_else_is_quoted() {
        for text in ["yes", "ON", "1_000", "12:30", "2001-01-01", "=", "0x1", "null", "<<", "-", "1e3", ".inf"] {
            assert_eq!(plain_or_quoted(text), format!("\"{text}\""));
        }
        for text in ["a", "nats-0.17.3", "app.kubernetes.io/name", "/var/run", "DoNotSchedule"] {
            assert_eq!(plain_or_quoted(text), text);
        }
    }
}
