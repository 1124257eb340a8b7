//! What the comparison with the reference (`tests/reference.rs`) does not say.

