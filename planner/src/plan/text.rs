//! Texts that stay the same while a state lasts: the first names, and no counts.

/// Names beyond these are left out.
const NAMED: usize = 3;

/// Returns the first names as a list.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut all: Vec<&str> = names.into_iter().collect();
    all.dedup();
    let more = all.len() > NAMED;
    all.truncate(NAMED);
    let first = all.join(", ");
    if more { format!("{first} and more") } else { first }
}
