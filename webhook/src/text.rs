//! Bounds for text that comes from clients and goes back into a response.

use std::{
    borrow::Cow,
    fmt::{self, Display, Write},
};

const MAX_CHARS: usize = 250;

/// Returns the text on one line, truncated to [`MAX_CHARS`] characters.
pub(crate) fn shortened(text: &str) -> String {
    limited(text, MAX_CHARS).into_owned()
}

/// Formats a value on one line, truncated to [`MAX_CHARS`] characters. Of a longer text no more is kept: an error quotes
/// what it is about, which may be the whole body.
pub(crate) fn shown(value: &impl Display) -> String {
    let mut beginning = Beginning(String::new());
    // Fails if the text is longer, and then the beginning suffices.
    let _ = write!(beginning, "{value}");
    shortened(&beginning.0)
}

/// Beginning of a text, with at least one character more than [`MAX_CHARS`] if there are more.
struct Beginning(String);

impl Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let missing = (MAX_CHARS + 1).saturating_sub(self.0.chars().count());
        self.0.extend(text.chars().take(missing));
        if missing == 0 { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Returns the text on one line, truncated to `max` characters. An ellipsis marks a truncated text.
pub(crate) fn limited(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max && !text.contains(char::is_control) {
        return text.into();
    }
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = chars.by_ref().take(max).collect();
    if chars.next().is_some() {
        short.pop();
        short.push('…');
    }
    short.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_text_is_the_shortened_one() {
        for text in ["", "a\nb", &"ä".repeat(MAX_CHARS), &"x".repeat(MAX_CHARS + 1), &"x".repeat(10 * MAX_CHARS)] {
            assert_eq!(shown(&text), shortened(text));
            assert_eq!(shown(&format_args!("{text}{text}")), shortened(&text.repeat(2)));
        }
    }

    #[test]
    fn text_is_limited_to_one_line() {
        for (text, expected) in [("abc", "abc"), ("abcd", "ab…"), ("äöü", "äöü"), ("a\nb", "a b"), ("", "")] {
            assert_eq!(limited(text, 3), expected);
        }
    }
}
