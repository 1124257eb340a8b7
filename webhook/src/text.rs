//! Bounds on text that comes from outside and goes back into an answer.

const LONGEST: usize = 250;

/// On one line, and not too long.
pub(crate) fn shortened(text: &str) -> String {
    limited(text, LONGEST)
}

/// On one line and of at most so many characters, the last of which tells when there were more.
pub(crate) fn limited(text: &str, most: usize) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = chars.by_ref().take(most).collect();
    if chars.next().is_some() {
        short.pop();
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_to_the_limit() {
        for (text, expected) in [("abc", "abc"), ("abcd", "ab…"), ("äöü", "äöü"), ("a\nb", "a b"), ("", "")] {
            assert_eq!(limited(text, 3), expected);
        }
    }
}
