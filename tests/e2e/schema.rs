//! The definition, as a real apiserver takes it.
