//! Where things are in the checkout, and the cargo that runs us.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// A path in the checkout, given from its root.
pub(crate) fn path(relative: &str) -> PathBuf {
    root().join(relative)
}

/// The checkout.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// The same cargo, and so the same toolchain, in the root of the checkout.
pub(crate) fn cargo() -> Command {
    command(env::var("CARGO").as_deref().unwrap_or("cargo"))
}

/// A program in the root of the checkout.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}
