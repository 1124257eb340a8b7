//! Requirements of real nodes: packages, root, namespaces and cgroups of this machine.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use rustix::process::geteuid;

use super::RealCluster;

/// Debian packages that real nodes require.
pub const PACKAGES: [&str; 7] =
    ["containerd", "runc", "containernetworking-plugins", "conntrack", "iptables", "e2fsprogs", "xfsprogs"];

/// Programs in `PATH`, each with the package that installs it.
const PROGRAMS: [(&str, &str); 7] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("conntrack", "conntrack"),
    ("iptables", "iptables"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
];
/// File of the CNI plugins and the package that installs it.
const CNI_PLUGIN: (&str, &str) = ("/usr/lib/cni/bridge", "containernetworking-plugins");
const CGROUPS: &str = "/sys/fs/cgroup";

/// Error: this machine cannot have real nodes. Its text is one line with the reason and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no real nodes here: {missing}; {fix}")]
pub struct Unavailable {
    /// Missing requirement.
    pub missing: String,
    /// Action or command that provides it.
    pub fix: String,
    /// Packages that provide it; empty if no installation helps.
    pub packages: Vec<&'static str>,
}

/// Returns whether tests must fail on a machine that cannot have real nodes: `NATS_MANAGER_REAL=required`.
pub fn is_required() -> bool {
    env::var_os("NATS_MANAGER_REAL").is_some_and(|value| value == "required")
}

impl RealCluster {
    /// Checks that this machine can have real nodes. The error names the first missing requirement.
    pub fn available() -> Result<(), Unavailable> {
        let other = |missing: &str, fix: &str| {
            Err(Unavailable { missing: missing.to_owned(), fix: fix.to_owned(), packages: Vec::new() })
        };
        if !cfg!(target_os = "linux") {
            return other("they need Linux", "run it on a Linux machine, or in a virtual one");
        }
        if !geteuid().is_root() {
            return other(
                "they need root",
                "fix it with: sudo -E env \"PATH=$PATH\" cargo xtask test --only real --only install",
            );
        }
        let packages = missing_packages();
        if !packages.is_empty() {
            let names = packages.join(" ");
            let fix = format!("fix it with: apt-get update && apt-get install --no-install-recommends {names}");
            return Err(Unavailable { missing: format!("{names} not installed"), fix, packages });
        }
        if !can_have_namespaces() {
            return other(
                "namespaces are not allowed",
                "give the container CAP_SYS_ADMIN and CAP_NET_ADMIN, or use a VM",
            );
        }
        if !can_have_cgroups() {
            return other("cgroups cannot be written", "mount /sys/fs/cgroup writable, or use a VM");
        }
        Ok(())
    }
}

fn missing_packages() -> Vec<&'static str> {
    let mut missing: Vec<_> =
        PROGRAMS.iter().filter(|(program, _)| !is_in_path(program)).map(|(_, package)| *package).collect();
    if !Path::new(CNI_PLUGIN.0).exists() {
        missing.push(CNI_PLUGIN.1);
    }
    missing.dedup();
    missing
}

fn is_in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn can_have_namespaces() -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(["--fork", "--pid", "--net", "--mount-proc", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    unshare.status().is_ok_and(|status| status.success())
}

/// Returns whether a cgroup can be created. The check of one hierarchy is sufficient for all.
fn can_have_cgroups() -> bool {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _probing = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let version_1 = Path::new(CGROUPS).join("memory");
    let hierarchy = if version_1.exists() { version_1 } else { CGROUPS.into() };
    let probe = hierarchy.join(format!("nats-manager-probe-{}", std::process::id()));
    fs::create_dir(&probe).is_ok() && fs::remove_dir(&probe).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_checked() {
        for package in PACKAGES {
            assert!(PROGRAMS.iter().chain([&CNI_PLUGIN]).any(|(_, of)| *of == package), "{package}");
        }
    }
}
