//! Paths in the checkout, and the cargo that runs this program.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Returns the absolute path of a file in the checkout.
pub(crate) fn path(relative: &str) -> PathBuf {
    root().join(relative)
}

/// Returns the root of the checkout.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Returns a command of the cargo that runs this program, and so of its toolchain, in the root of the checkout.
pub(crate) fn cargo() -> Command {
    command(env::var("CARGO").as_deref().unwrap_or("cargo"))
}

/// Returns a command of a program in the root of the checkout.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}
