//! The way into the network of the nodes, which is a namespace of its own.

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

/// Where the supervisor says that its network is.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Network {
    /// The file of the namespace.
    #[serde(rename = "network")]
    pub(crate) namespace: PathBuf,
    /// What /etc/resolv.conf is in there.
    pub(crate) resolv_conf: PathBuf,
    /// The socket that nodes are stopped and started by.
    pub(crate) control: PathBuf,
}

/// Puts the resolv.conf into a mount namespace of its own, and becomes the program.
const RESOLVE: &str = r#"mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@""#;

impl RealCluster {
    /// The file of the network's namespace, for `nsenter --net=FILE`.
    pub fn namespace(&self) -> &Path {
        &self.network.namespace
    }

    /// A command for a program that runs in the network, where Services and pods are reached and names of the cluster
    /// resolve. Its process is the program's: it can be waited for and killed as ever.
    pub fn enter(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let mut net = OsString::from("--net=");
        net.push(&self.network.namespace);
        command.arg(net).args(["unshare", "--mount", "sh", "-c", RESOLVE]).arg(&self.network.resolv_conf).arg(program);
        command
    }

    /// Runs something on a runtime all of whose threads are in the network: Services and pods are reached by address
    /// (names of the cluster do not resolve), processes that it starts are in there as well.
    pub fn block_on<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> Result<T> {
        let result = thread::scope(|scope| {
            // A thread of its own, since there is no way back out of the network. The runtime's are in there with it.
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
        // Threads are where the one is that starts them.
        Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(Error::io("a runtime"))
    }

    /// Moves the calling thread into the network, with the threads and processes that it starts from now on. There is no
    /// way back.
    pub fn enter_thread(&self) -> Result<()> {
        let path = &self.network.namespace;
        let namespace = File::open(path).map_err(Error::io(path.display()))?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| Error::io("the network of the nodes")(error.into()))
    }
}
