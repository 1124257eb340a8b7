//! Polls of the servers' monitoring ports.
//!
//! The cost of a poll grows with the streams, not with their consumers: `/jsz` is requested without consumers, and the
//! server checks consumers itself for `/healthz`.

mod chunks;
mod error;
mod http;
mod jsz;
mod object;
mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream};
use nats_manager_planner::{
    Time, Version,
    snapshot::{JetStreamSnapshot, ServerSnapshot, Unreachable},
};

pub use error::PollError;

/// Monitoring port of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitoringEndpoint {
    /// Name of the server, as it reports itself.
    pub name: String,
    /// Address of the monitoring port.
    pub address: SocketAddr,
    /// The server is stopping. In lame duck mode it ends JetStream first and its monitoring port last. Its answers then
    /// equal those of a server that disabled JetStream because its volume was full.
    pub stopping: bool,
}

/// Limits of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollLimits {
    /// Time limit of one request, including the connection. A healthy server answers within milliseconds.
    pub request: Duration,
}

/// Poller of the servers' monitoring ports. Caches the servers' versions by `server_id`.
#[derive(Debug, Default)]
pub struct Poller {
    limits: PollLimits,
    /// Identities by `server_id`.
    identities: Mutex<BTreeMap<String, Identity>>,
}

/// Constant properties of a running server.
#[derive(Clone, Debug)]
struct Identity {
    name: String,
    version: Option<Version>,
}

/// Number of servers that are polled at a time. Bounds memory.
const CONCURRENCY: usize = 2;

impl Default for PollLimits {
    fn default() -> Self {
        Self { request: Duration::from_secs(3) }
    }
}

impl Poller {
    /// Builds a poller with other limits than the default ones.
    pub fn with_limits(limits: PollLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Polls all servers. `now` is the time at which the poll begins.
    pub async fn poll(&self, targets: &[MonitoringEndpoint], now: Time) -> JetStreamSnapshot {
        let servers = each(targets, |target| async move { self.server(&target).await.map_err(Unreachable::from) });
        let servers = servers.await;
        self.keep_identities(&servers);
        JetStreamSnapshot { taken_at: now, servers }
    }

    async fn server(&self, target: &MonitoringEndpoint) -> Result<ServerSnapshot, PollError> {
        let mut server = server::jetstream(target.address, self.limits.request).await?;
        if target.stopping && server.disabled {
            return Err(PollError::Stopping);
        }
        server.version = self.version(target, &server.id).await?;
        server.healthz = server::healthz(target.address, self.limits.request).await;
        Ok(server)
    }

    /// Returns the version of the server with this id, which is requested once. `None` if the request failed.
    ///
    /// # Errors
    ///
    /// Fails if another server answers at the target's address.
    async fn version(&self, target: &MonitoringEndpoint, id: &str) -> Result<Option<Version>, PollError> {
        let known = self.identities.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let identity = match known {
            Some(identity) => identity,
            None => match server::variables(target.address, self.limits.request).await {
                Ok(variables) if variables.server_id != id => return Err(PollError::Restarted),
                Ok(variables) => Identity { version: Version::parse(&variables.version), name: variables.server_name },
                Err(_) => return Ok(None),
            },
        };
        if identity.name != target.name {
            return Err(PollError::OtherServer { name: identity.name });
        }
        let version = identity.version;
        self.identities.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), identity);
        Ok(version)
    }

    /// Drops identities of servers that restarted or are gone.
    fn keep_identities(&self, servers: &BTreeMap<String, Result<ServerSnapshot, Unreachable>>) {
        let answered: BTreeSet<&str> = servers.values().flatten().map(|server| server.id.as_str()).collect();
        let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        // A server that does not answer now may answer the next poll.
        identities
            .retain(|id, known| answered.contains(id.as_str()) || matches!(servers.get(&known.name), Some(Err(_))));
    }
}

/// Requests the digest of the configuration that each server loaded last, by the name of the server.
pub async fn config_digests(targets: &[MonitoringEndpoint]) -> BTreeMap<String, Result<String, Unreachable>> {
    let limit = PollLimits::default().request;
    each(targets, |target| async move {
        let variables = server::variables(target.address, limit).await;
        variables.map(|variables| variables.config_digest).map_err(Unreachable::from)
    })
    .await
}

async fn each<T, F>(targets: &[MonitoringEndpoint], request: impl Fn(MonitoringEndpoint) -> F) -> BTreeMap<String, T>
where
    F: Future<Output = T>,
{
    let answers: Vec<_> = targets
        .iter()
        .map(|target| {
            let (name, answer) = (target.name.clone(), request(target.clone()));
            async { (name, answer.await) }
        })
        .collect();
    stream::iter(answers).buffer_unordered(CONCURRENCY).collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_can_be_spawned() {
        fn is_send<T: Send>(_: &T) {}
        let poller = Poller::default();
        is_send(&poller.poll(&[], Time::default()));
        is_send(&config_digests(&[]));
    }
}
