//! Access to the network of the nodes, which is a network namespace.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    os::fd::AsFd,
    panic,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};

use super::RealCluster;
use crate::error::{Error, Result};

/// Network of the nodes, as the supervisor announces it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Network {
    /// File of the network namespace.
    #[serde(rename = "network")]
    pub(crate) namespace: PathBuf,
    /// File for `/etc/resolv.conf` in the network.
    pub(crate) resolv_conf: PathBuf,
    /// Socket that stops and starts nodes.
    pub(crate) control: PathBuf,
}

/// Script that mounts the resolv.conf in a mount namespace of its own and executes the program.
const RESOLVE: &str = r#"mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@""#;

impl RealCluster {
    /// Returns the file of the network namespace, for `nsenter --net=FILE`.
    pub fn namespace(&self) -> &Path {
        &self.network.namespace
    }

    /// Returns a command that runs a program in the network, where Services and pods are reachable and names of the
    /// cluster resolve. The process of the command is the program itself, so it can be waited for and killed.
    pub fn enter(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let mut net = OsString::from("--net=");
        net.push(&self.network.namespace);
        command.arg(net).args(["unshare", "--mount", "sh", "-c", RESOLVE]).arg(&self.network.resolv_conf).arg(program);
        command
    }

    /// Runs `work` on a runtime whose threads are all in the network. Services and pods are reachable by address, but
    /// names of the cluster do not resolve. Child processes run in the network as well.
    pub fn block_on<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> Result<T> {
        let result = thread::scope(|scope| {
            // A thread of its own, since a thread cannot leave the network again. The threads of the runtime inherit
            // it.
            scope
                .spawn(|| {
                    let runtime = self.runtime()?;
                    let value = runtime.block_on(work());
                    runtime.shutdown_background();
                    Ok(value)
                })
                .join()
        });
        result.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    }

    fn runtime(&self) -> Result<Runtime> {
        self.enter_thread()?;
        // Threads inherit the network namespace of the thread that starts them.
        Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(Error::io("a runtime"))
    }

    /// Moves the calling thread into the network, with the threads and processes that it starts afterwards. A thread
    /// cannot leave the network again.
    pub fn enter_thread(&self) -> Result<()> {
        let path = &self.network.namespace;
        let namespace = File::open(path).map_err(Error::io(path.display()))?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| Error::io("the network of the nodes")(error.into()))
    }
}
