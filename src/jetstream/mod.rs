//! What JetStream itself says: the only one who knows whether there is data.

mod contents;

pub use contents::{Contents, Unreachable, ask};
