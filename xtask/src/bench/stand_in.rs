//! The manager on an apiserver stand-in, which answers at once and holds as many objects as a measure needs.

use std::{net::IpAddr, path::Path, time::Duration};

use nats_manager_api::NamespacedName;
use nats_manager_harness::{
    ManagerProcess, MemoryApiserver, free_address,
    memory_apiserver::{NATS, STATEFUL_SETS, ServedApiserver},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::{
    BenchError,
    idle::START_LIMIT,
    wait::{POLL, until},
};
use crate::local::{LocalError, NAME, NAMESPACE, start_on_stand_in};

/// Time without requests after which a manager is at rest. It writes changes of the CA after at most 500 ms.
const REST: Duration = Duration::from_secs(2);

/// Apiserver stand-in with an installation, and the address of the webhook.
pub(super) struct StandIn {
    pub(super) apiserver: MemoryApiserver,
    served: ServedApiserver,
    folder: TempDir,
    /// The webhook configurations name it, so it is the same for each start.
    port: u16,
}

impl StandIn {
    /// Serves a stand-in.
    pub(super) async fn start() -> Result<Self, BenchError> {
        let apiserver = MemoryApiserver::with_installation();
        let folder = tempfile::tempdir()?;
        let served = apiserver.serve(folder.path()).await?;
        Ok(Self { apiserver, served, folder, port: free_address()?.port() })
    }

    /// Starts a manager and stops it when it is at rest: afterwards everything that the first manager creates is there.
    pub(super) async fn prepare(&self, program: &Path) -> Result<(), BenchError> {
        let manager = self.ready_manager(Command::new(program)).await?;
        let is_at_rest = || self.apiserver.received().last().is_none_or(|request| request.at.elapsed() >= REST);
        until("the manager is at rest", POLL, async || Ok(is_at_rest())).await?;
        manager.terminate().await?;
        self.apiserver.clear_received();
        Ok(())
    }

    /// Starts a manager. `command` has the program, or a tool that runs it.
    pub(super) fn manager(&self, command: Command) -> Result<ManagerProcess, BenchError> {
        let started = start_on_stand_in(command, &self.served.kubeconfig, self.folder.path(), self.port);
        Ok(started.map_err(LocalError::from)?)
    }

    /// Starts a manager and waits until it is ready.
    pub(super) async fn ready_manager(&self, command: Command) -> Result<ManagerProcess, BenchError> {
        let mut manager = self.manager(command)?;
        manager.wait_until_ready(START_LIMIT).await.map_err(LocalError::from)?;
        Ok(manager)
    }

    /// Creates a NATS resource of a size with running servers, which is ready. `args` are further arguments of the
    /// manager that reconciles it. It has ended afterwards.
    pub(super) async fn run_cluster(
        &self,
        program: &Path,
        args: &[&str],
        size: u32,
        address: impl Fn(u32) -> IpAddr,
    ) -> Result<(), BenchError> {
        let metadata = json!({"namespace": NAMESPACE, "name": NAME});
        self.apiserver.put(NATS, json!({"metadata": metadata, "spec": {"cluster": {"size": size}}}));
        let mut command = Command::new(program);
        command.args(args);
        let manager = self.ready_manager(command).await?;
        let is_created = || self.apiserver.get(STATEFUL_SETS, NAMESPACE, NAME).is_some();
        until("the StatefulSet is created", POLL, async || Ok(is_created())).await?;
        self.apiserver.run_servers(&NamespacedName::new(NAMESPACE, NAME), address);
        self.wait_until_ready().await?;
        manager.terminate().await?;
        self.apiserver.clear_received();
        Ok(())
    }

    /// Waits until the NATS resource is ready.
    async fn wait_until_ready(&self) -> Result<(), BenchError> {
        let status =
            || self.apiserver.get(NATS, NAMESPACE, NAME).map(|nats| nats["status"].clone()).unwrap_or_default();
        let ready = until("the NATS resource is ready", POLL, async || Ok(status()["state"] == "Ready")).await;
        ready.map_err(|error| BenchError::Counts(format!("{error}: {}", status())))
    }
}
