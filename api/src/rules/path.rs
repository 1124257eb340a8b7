//! Path of a field, as `field.Path` of Kubernetes.

use std::fmt;

use super::truncated;

/// Path of a field in a spec. It refers to its parent, and becomes text only when something is wrong with the field.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> FieldPath<'a> {
    /// Begins a path.
    pub(super) const fn new(name: &'a str) -> Self {
        Self { parent: None, segment: Segment::Name(name) }
    }

    /// Returns the path of a field in an object.
    pub(super) fn child<'b>(&'b self, name: &'b str) -> FieldPath<'b> {
        FieldPath { parent: Some(self), segment: Segment::Name(name) }
    }

    /// Returns the path of an element of a list.
    pub(super) fn index(&self, index: usize) -> FieldPath<'_> {
        FieldPath { parent: Some(self), segment: Segment::Index(index) }
    }

    /// Returns the path of an entry of a map. The key comes from the user, so that only its start is in the text.
    pub(super) fn key<'b>(&'b self, key: &'b str) -> FieldPath<'b> {
        FieldPath { parent: Some(self), segment: Segment::Key(key) }
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}")?;
        }
        match self.segment {
            Segment::Name(name) if self.parent.is_none() => f.write_str(name),
            Segment::Name(name) => write!(f, ".{name}"),
            Segment::Index(index) => write!(f, "[{index}]"),
            Segment::Key(key) => write!(f, "[{}]", truncated(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_has_the_notation_of_kubernetes() {
        let root = FieldPath::new("spec.a");
        let list = root.child("list");
        let element = list.index(2);
        assert_eq!(element.child("b").key("example.com/c").to_string(), "spec.a.list[2].b[example.com/c]");
        assert_eq!(root.key(&"x".repeat(100)).to_string(), format!("spec.a[{}]", "x".repeat(80)));
    }
}
