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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Returns the packages with their features, as cargo builds them on this platform.
    fn features(packages: &[&str], edges: &str) -> BTreeSet<String> {
        let mut tree = cargo();
        tree.args(["tree", "--locked", "--prefix", "none", "--format", "{p} {f}", "--edges", edges]).args(packages);
        let output = tree.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
    }

    #[test]
    fn dependencies_are_built_once_for_xtask_the_demo_and_tests() {
        let tests = features(&["--workspace"], "normal,build,dev");
        for packages in [&["--package", "xtask"][..], &["--workspace"]] {
            let others: Vec<_> = features(packages, "normal,build").difference(&tests).cloned().collect();
            assert_eq!(others, [""; 0], "{packages:?}: name the features of tests in xtask/Cargo.toml");
        }
    }
}
