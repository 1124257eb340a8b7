//! The programs that tests run, built from source on first use and kept in `${XDG_CACHE_HOME:-~/.cache}/nats-manager`.
//!
//! Each is kept under a key of its own (a version, or a hash of its sources), so a checkout never gets another's build.

mod build;
mod progress;

use std::{
    borrow::Cow,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result, blocking},
    version::{KubernetesVersion, NatsVersion},
};

const KWOK: &str = "v0.7.0";
const NATS_CLI: &str = "v0.5.1";
const CORE_DNS: &str = "v1.15.0";

/// Linker flags that leave out what only debuggers read.
const STRIP: &str = "-s -w";

/// Where the control plane's sources are.
const CLUSTER_SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster");

/// The module file of the default version, without its extension.
const DEFAULT_MODULE: &str = "go";

/// Where the programs are that play what a NATS pod has beside the server.
const STAND_IN_SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster/standin");

/// Builds that nobody used for so long are removed.
const UNUSED: Duration = Duration::from_hours(14 * 24);

/// A program that tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// The control plane of `tests/cluster`: etcd, kube-apiserver and the rest in one binary.
    Cluster(KubernetesVersion),
    /// kwok, which plays the nodes.
    Kwok,
    /// The NATS server.
    NatsServer(NatsVersion),
    /// The NATS command line.
    NatsCli,
    /// The DNS server of real nodes.
    CoreDns,
    /// What plays the sidecars of a real NATS pod.
    StandIn,
}

impl Tool {
    /// The path of the program, built first when the cache does not have it.
    pub async fn path(self) -> Result<PathBuf> {
        blocking(move || self.path_blocking()).await
    }

    /// [`Tool::path`] for callers without a runtime.
    pub fn path_blocking(self) -> Result<PathBuf> {
        let home = cache_folder()?.join(self.name());
        let folder = home.join(self.key()?);
        let program = folder.join(self.name());
        if !program.exists() {
            build::build(self, &home, &folder)?;
            remove_unused(&home, &folder);
        }
        // The time says when it was last used; a cache that cannot be written serves all the same.
        if let Ok(file) = File::open(&program) {
            let _ = file.set_modified(SystemTime::now());
        }
        Ok(program)
    }

    /// The name of the program's file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster(_) => "cluster",
            Self::Kwok => "kwok",
            Self::NatsServer(_) => "nats-server",
            Self::NatsCli => "nats",
            Self::CoreDns => "coredns",
            Self::StandIn => "standin",
        }
    }

    /// What a person who waits for the build should read.
    fn title(self) -> Cow<'static, str> {
        match self {
            Self::Cluster(version) => {
                format!("the control plane of Kubernetes {version} (about 7 minutes, once)").into()
            }
            Self::Kwok => "kwok (about 1 minute, once)".into(),
            Self::NatsServer(version) => format!("the NATS server {version} (about 1 minute, once)").into(),
            Self::NatsCli => "the NATS command line (about 1 minute, once)".into(),
            Self::CoreDns => "CoreDNS (about 3 minutes, once)".into(),
            Self::StandIn => "the stand-ins for the sidecars of NATS (seconds, once)".into(),
        }
    }

    /// What a build is good for: these sources, or this version.
    fn key(self) -> Result<String> {
        match self {
            Self::Cluster(version) => hash_sources(Path::new(CLUSTER_SOURCES), module(version)),
            Self::Kwok => Ok(KWOK.to_owned()),
            Self::NatsServer(version) => Ok(format!("v{version}")),
            Self::NatsCli => Ok(NATS_CLI.to_owned()),
            Self::CoreDns => Ok(CORE_DNS.to_owned()),
            Self::StandIn => hash_sources(Path::new(STAND_IN_SOURCES), DEFAULT_MODULE),
        }
    }

    /// The command that puts the program into a folder.
    fn build_command(self, target: &Path) -> Command {
        let mut go = Command::new("go");
        // Settings of the user's own Go work (a vendor folder, a workspace) are not about this build.
        go.env_remove("GOFLAGS").env("GOWORK", "off").env("CGO_ENABLED", "0").env("GOBIN", target);
        match self {
            Self::Cluster(_) | Self::StandIn => go.arg("build").arg("-o").arg(target.join(self.name())),
            Self::Kwok | Self::NatsServer(_) | Self::NatsCli | Self::CoreDns => go.arg("install"),
        };
        let linker = match self {
            Self::Cluster(version) => cluster_linker_flags(version),
            _ => STRIP.to_owned(),
        };
        go.arg("-trimpath").arg(format!("-ldflags={linker}"));
        match self {
            Self::Cluster(version) => go.args(build_flags(version)).arg(".").current_dir(CLUSTER_SOURCES),
            Self::Kwok => go.arg(format!("sigs.k8s.io/kwok/cmd/kwok@{KWOK}")),
            Self::NatsServer(version) => go.arg(format!("github.com/nats-io/nats-server/v2@v{version}")),
            Self::NatsCli => go.arg(format!("github.com/nats-io/natscli/nats@{NATS_CLI}")),
            Self::CoreDns => go.arg(format!("github.com/coredns/coredns@{CORE_DNS}")),
            Self::StandIn => go.arg(".").current_dir(STAND_IN_SOURCES),
        };
        go
    }
}

/// The folder of everything that the harness keeps from run to run.
pub fn cache_folder() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(base.ok_or(Error::NoCacheFolder)?.join("nats-manager"))
}

/// Tells the components their version, as Kubernetes' own build does. The placeholder that is there otherwise is no
/// version, which clients that ask for one do not bear.
fn cluster_linker_flags(version: KubernetesVersion) -> String {
    let packages = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];
    packages.iter().fold(STRIP.to_owned(), |flags, package| format!("{flags} -X {package}.gitVersion=v{version}"))
}

/// Returns the module file of a version, without its extension.
fn module(version: KubernetesVersion) -> &'static str {
    match version {
        KubernetesVersion::V1_34_4 => DEFAULT_MODULE,
        KubernetesVersion::V1_37_2 => "go-1.37",
    }
}

/// Returns the flags of `go build` that choose a version. Versions other than the default have no node components:
/// containerd of Debian 12 does not work with their kubelet.
fn build_flags(version: KubernetesVersion) -> Vec<String> {
    match module(version) {
        DEFAULT_MODULE => Vec::new(),
        module => vec![format!("-modfile={module}.mod"), "-tags=simulated_nodes".to_owned()],
    }
}

/// Returns a hash of the Go files of a folder, and of a module file with its sums.
fn hash_sources(folder: &Path, module: &str) -> Result<String> {
    let module_files = ["mod", "sum"].map(|extension| format!("{module}.{extension}"));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder.display()))? {
        let path = entry.map_err(Error::io(folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let source = path.extension().is_some_and(|extension| extension == "go") && !name.ends_with("_test.go");
        if source || module_files.contains(&name) {
            files.push((name, path));
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    for (name, path) in files {
        let content = fs::read(&path).map_err(Error::io(path.display()))?;
        hash.update(format!("{name} {}\n", content.len()));
        hash.update(content);
    }
    Ok(format!("{:x}", hash.finalize())[..16].to_owned())
}

/// Makes room: a build of the control plane is more than 100 MB, and each change of its sources makes one more.
fn remove_unused(home: &Path, current: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let used = entry.path().join(home.file_name().unwrap_or_default()).metadata().and_then(|file| file.modified());
        let unused = used.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > UNUSED));
        if unused && entry.path() != current {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
