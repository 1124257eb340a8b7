//! Lists in texts that stay the same while a state lasts: the first names, and no counts.

/// Number of names in a list. Further names are left out.
const NAMED: usize = 3;

/// Joins the first names to a list.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut all: Vec<&str> = names.into_iter().collect();
    all.dedup();
    let more = all.len() > NAMED;
    all.truncate(NAMED);
    let first = all.join(", ");
    if more { format!("{first} and more") } else { first }
}
