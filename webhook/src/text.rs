//! Bounds for text that comes from clients and goes back into a response.

use std::borrow::Cow;

const MAX_CHARS: usize = 250;

/// Returns the text on one line, truncated to [`MAX_CHARS`] characters.
pub(crate) fn shortened(text: &str) -> String {
    limited(text, MAX_CHARS).into_owned()
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
    fn text_is_limited_to_one_line() {
        for (text, expected) in [("abc", "abc"), ("abcd", "ab…"), ("äöü", "äöü"), ("a\nb", "a b"), ("", "")] {
            assert_eq!(limited(text, 3), expected);
        }
    }
}
