//! Programs that tests run, built from source on first use and kept in `${XDG_CACHE_HOME:-~/.cache}/nats-manager`.
//!
//! The key of a program is its version or a hash of its sources, so a checkout never uses the build of another one.

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

/// Linker flags that leave out debug information.
const STRIP: &str = "-s -w";

/// Folder with the sources of the control plane.
const CLUSTER_SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster");

/// Module file of the default version, without its extension.
const DEFAULT_MODULE: &str = "go";

/// Folder with the sources of the stand-ins for the sidecars of a NATS pod.
const STAND_IN_SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster/standin");

/// Folder with the sources of the Go webhook, and that of the types of the resource, which it imports.
const GO_WEBHOOK_SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bench/gowebhook");
const GO_TYPES_SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../api/go/v1alpha1");

/// Age after the last use at which a build is removed: 14 days.
const UNUSED: Duration = Duration::from_hours(14 * 24);

/// Program that tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// Control plane of `tests/cluster`: etcd, kube-apiserver and the other components in one binary.
    Cluster(KubernetesVersion),
    /// kwok, which simulates nodes.
    Kwok,
    /// NATS server.
    NatsServer(NatsVersion),
    /// NATS command line client, `nats`.
    NatsCli,
    /// DNS server of real nodes.
    CoreDns,
    /// Stand-ins for the sidecars of a real NATS pod.
    StandIn,
    /// Webhook on controller-runtime, to which the benchmark compares ours.
    GoWebhook,
}

impl Tool {
    /// Returns the path of the program. Builds it first if the cache does not have it.
    pub async fn path(self) -> Result<PathBuf> {
        blocking(move || self.path_blocking()).await
    }

    /// Returns the path like [`Tool::path`], for callers without a runtime.
    pub fn path_blocking(self) -> Result<PathBuf> {
        let home = cache_folder()?.join(self.name());
        let folder = home.join(self.key()?);
        let program = folder.join(self.name());
        if !program.exists() {
            build::build(self, &home, &folder)?;
            remove_unused(&home, &folder);
        }
        // The modification time records the last use. An error does not matter: a read-only cache works as well.
        if let Ok(file) = File::open(&program) {
            let _ = file.set_modified(SystemTime::now());
        }
        Ok(program)
    }

    /// Returns the file name of the program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster(_) => "cluster",
            Self::Kwok => "kwok",
            Self::NatsServer(_) => "nats-server",
            Self::NatsCli => "nats",
            Self::CoreDns => "coredns",
            Self::StandIn => "standin",
            Self::GoWebhook => "gowebhook",
        }
    }

    /// Returns the description that the progress line of a build shows.
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
            Self::GoWebhook => "the Go webhook of the benchmark (about 2 minutes, once)".into(),
        }
    }

    /// Returns the cache key of a build: a hash of the sources, or the version.
    fn key(self) -> Result<String> {
        match self {
            Self::Cluster(version) => hash_sources(Path::new(CLUSTER_SOURCES), module(version)),
            Self::Kwok => Ok(KWOK.to_owned()),
            Self::NatsServer(version) => Ok(format!("v{version}")),
            Self::NatsCli => Ok(NATS_CLI.to_owned()),
            Self::CoreDns => Ok(CORE_DNS.to_owned()),
            Self::StandIn => hash_sources(Path::new(STAND_IN_SOURCES), DEFAULT_MODULE),
            Self::GoWebhook => {
                let own = hash_sources(Path::new(GO_WEBHOOK_SOURCES), DEFAULT_MODULE)?;
                Ok(format!("{own}-{}", hash_sources(Path::new(GO_TYPES_SOURCES), DEFAULT_MODULE)?))
            }
        }
    }

    /// Returns the command that builds the program into a folder.
    fn build_command(self, target: &Path) -> Command {
        let mut go = Command::new("go");
        // Go settings of the user (a vendor folder, a workspace) must not affect this build.
        go.env_remove("GOFLAGS").env("GOWORK", "off").env("CGO_ENABLED", "0").env("GOBIN", target);
        match self {
            Self::Cluster(_) | Self::StandIn | Self::GoWebhook => {
                go.arg("build").arg("-o").arg(target.join(self.name()))
            }
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
            Self::GoWebhook => go.arg(".").current_dir(GO_WEBHOOK_SOURCES),
        };
        go
    }
}

/// Returns the folder of all files that the harness keeps between runs.
pub fn cache_folder() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(base.ok_or(Error::NoCacheFolder)?.join("nats-manager"))
}

/// Returns linker flags that set the version of the components, as the build of Kubernetes does. The default value is a
/// placeholder that clients cannot parse as a version.
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
    Ok(base16ct::lower::encode_string(&hash.finalize())[..16].to_owned())
}

/// Removes builds that were not used for [`UNUSED`]. A build of the control plane has more than 100 MB, and each change
/// of its sources adds one.
fn remove_unused(home: &Path, current: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let used = entry.path().join(home.file_name().unwrap_or_default()).metadata().and_then(|file| file.modified());
        let unused = used.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > UNUSED));
        if unused && entry.path() != current {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
