//! Texts that stay the same while a state lasts.

/// Maximum number of streams that are named. A longer list has no names, since its order changes while the state lasts.
const MAX_NAMED_STREAMS: usize = 3;

/// Returns the names of the streams, or `several streams`.
pub(super) fn streams(names: &[String]) -> String {
    match names {
        [one] => format!("stream {one}"),
        few if few.len() <= MAX_NAMED_STREAMS => format!("streams {}", few.join(", ")),
        _ => "several streams".to_owned(),
    }
}

/// Returns the text behind `prefix` in `old` if it differs from `new` in figures only, and `new` otherwise. Texts of
/// other programs contain counts that change all the time.
pub(super) fn steady<'a>(old: Option<&'a str>, prefix: &str, new: &'a str) -> String {
    let old = old.and_then(|old| old.split_once(prefix)).map(|(_, rest)| rest);
    old.and_then(|old| with_other_figures(old, new)).unwrap_or(new).to_owned()
}

/// Returns the start of `old` that equals `new` apart from the figures.
fn with_other_figures<'a>(old: &'a str, new: &str) -> Option<&'a str> {
    let mut rest = old;
    let digit = |c: char| c.is_ascii_digit();
    for part in new.split(digit).filter(|part| !part.is_empty()) {
        rest = rest.trim_start_matches(digit).strip_prefix(part)?;
    }
    if new.ends_with(digit) {
        rest = rest.trim_start_matches(digit);
    }
    old.strip_suffix(rest)
}

/// Returns the old list of obstacles if it contains the first of the present ones, so that a longer or shorter list is
/// no change.
pub(super) fn still_named<'a>(old: Option<&'a str>, new: &str) -> Option<&'a str> {
    let first = new.split("; ").next().unwrap_or(new);
    old.filter(|old| old.split("; ").any(|named| named == first))
}

/// Returns a text without the cause behind its first colon, which may differ at each attempt.
pub(super) fn without_cause(text: &str) -> &str {
    text.split_once(": ").map_or(text, |(head, _)| head)
}

/// Returns whether two texts have the same head before the first colon, and differ behind it only in words that contain a
/// digit.
pub(super) fn differs_in_ids_only(old: &str, new: &str) -> bool {
    let words = |text: &'_ str| -> Vec<String> {
        let all = text.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
        all.map(str::to_owned).collect()
    };
    without_cause(old) == without_cause(new) && words(old) == words(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_while_they_are_few() {
        let names = |count: usize| (0..count).map(|index| format!("s{index}")).collect::<Vec<_>>();
        assert_eq!(streams(&names(1)), "stream s0");
        assert_eq!(streams(&names(3)), "streams s0, s1, s2");
        assert_eq!((streams(&names(4)), streams(&names(500))), (streams(&names(9)), "several streams".to_owned()));
    }

    #[test]
    fn moving_figures_do_not_change_a_text() {
        for (old, prefix, new, expected) in [
            (None, "", "lag 12", "lag 12"),
            (Some("lag 3 of s"), "", "lag 12 of s", "lag 3 of s"),
            (Some("n-1: lag 3. n-2: lag 4."), "n-2: ", "lag 55", "lag 4"),
            (Some("n-1: lag 3. n-2: lag 4."), "n-3: ", "lag 55", "lag 55"),
            (Some("lag 3"), "", "lost 3", "lost 3"),
            (Some("used: 2, limited: 2 and more"), "", "used: 10, limited: 2", "used: 2, limited: 2"),
            (Some("100 is too much"), "", "7 is too much", "100 is too much"),
            (Some("é1"), "", "é2", "é1"),
        ] {
            assert_eq!(steady(old, prefix, new), expected, "{old:?} {new}");
        }
    }

    #[test]
    fn ids_of_requests_do_not_change_a_text() {
        for (expected, old, new) in [
            (
                true,
                "PVC n-0 fails: quota of request 1a2b. Try again",
                "PVC n-0 fails: quota of request 3c4d. Try again",
            ),
            (false, "PVC n-0 fails: quota of request 1a2b.", "PVC n-1 fails: quota of request 1a2b."),
            (false, "PVC n-0 fails: quota of request 1a2b.", "PVC n-0 fails: maximum of request 1a2b."),
        ] {
            assert_eq!(differs_in_ids_only(old, new), expected, "{old} {new}");
        }
    }

    #[test]
    fn list_of_obstacles_is_kept_while_the_first_is_in_it() {
        for (old, new, expected) in [
            (Some("a; b; and more"), "b; c", Some("a; b; and more")),
            (Some("a; b"), "c; a", None),
            (Some("aa"), "a", None),
            (None, "a", None),
        ] {
            assert_eq!(still_named(old, new), expected, "{old:?} {new}");
        }
    }
}
