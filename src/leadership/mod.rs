//! Leader election: only the replica that holds the lease `nats-manager` reconciles.
//!
//! kube-lease-manager takes and renews the lease. It does not report failed renewals, reads a lease of others only when
//! that expires, and clears an expired lease without another read. So this module adds a clock that ends leadership
//! before the lease expires, and a watch of the lease. With the watch, a waiting replica takes over as soon as the
//! lease is released, and a leader stops as soon as the lease has another holder.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    panic::AssertUnwindSafe,
    time::Duration,
};

use futures::FutureExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::{LeaseCreateMode, LeaseManager, LeaseManagerBuilder, LeaseManagerError, LeaseParams};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use lease::{expired, jitter, lock, renew};
use lease_client::lease_client;
use lease_watch::LeaseWatch;

mod lease;
mod lease_client;
mod lease_watch;

/// Name of the Lease, which is created if the manifest did not ship it.
pub(crate) const LEASE_NAME: &str = "nats-manager";

/// Seconds after the last renewal at which others may take the lease.
const DURATION: u64 = 20;
/// Seconds before the end of `DURATION` at which the lease is renewed: two requests every 10 s.
const GRACE: u64 = 10;
/// Duration of leadership after the last successful renewal. The rest of `DURATION` is for work to stop.
const VALIDITY: Duration = Duration::from_secs(17);
/// Delay between attempts to acquire leadership while the apiserver fails, doubled up to `MAX_BACKOFF`.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(16);
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// Candidate for leadership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Election {
    namespace: String,
    identity: String,
}

/// Leadership, valid until [`Leadership::lost`] resolves or it is released.
pub(crate) struct Leadership {
    /// Lease of this replica. `None` without an election, and after the loss.
    lease: Option<HeldLease>,
    is_elected: bool,
}

/// Reason for the loss of leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Lease that has another holder or none, or was deleted.
    Taken,
    /// Lease that was not renewed in time, so that another replica may take it.
    NotRenewed,
}

struct HeldLease {
    manager: LeaseManager,
    holder_watch: LeaseWatch,
    identity: String,
    renewed: watch::Receiver<Instant>,
}

impl Election {
    /// Joins the election among the replicas that use the lease in `namespace`. The holder's name is `name` with a
    /// random suffix: a process never mistakes the lease of an earlier process for its own.
    pub(crate) fn new(namespace: impl Into<String>, name: Option<&str>) -> Self {
        let random = RandomState::new().hash_one(std::process::id());
        // The name with the additions of the apiserver must fit a field manager's 128 bytes.
        let name: String = name.unwrap_or("nats-manager").chars().take(63).collect();
        Self { namespace: namespace.into(), identity: format!("{name}_{random:016x}") }
    }

    async fn manager(&self, client: Client) -> Result<LeaseManager, LeaseManagerError> {
        let params = LeaseParams::new(self.identity.as_str(), DURATION, GRACE)
            .with_field_manager(format!("nats-manager-{}", self.identity));
        LeaseManagerBuilder::new(client, LEASE_NAME)
            .with_namespace(self.namespace.as_str())
            .with_parameters(params)
            .with_create_mode(LeaseCreateMode::AutoCreate)
            .build()
            .await
    }
}

impl Leadership {
    /// Waits until this replica leads, at once without an election. Retries forever while the apiserver fails. May be
    /// dropped at any time.
    pub(crate) async fn acquire(client: &Client, election: Option<&Election>) -> Self {
        let Some(election) = election else {
            return Self { lease: None, is_elected: false };
        };
        let (client, renewed) = lease_client(client.clone(), &election.namespace);
        let api = Api::<Lease>::namespaced(client.clone(), &election.namespace);
        let mut holder_watch = LeaseWatch::new(api, LEASE_NAME);
        tracing::info!(lease = LEASE_NAME, identity = election.identity, "waiting for the lease");
        let mut backoff = MIN_BACKOFF;
        let manager = loop {
            match lock(election, &client, &mut holder_watch).await {
                Ok(manager) => break manager,
                Err(error) if backoff > MIN_BACKOFF => tracing::debug!(%error, "still failing to acquire the lease"),
                Err(error) => tracing::warn!(%error, "failed to acquire the lease, trying again"),
            }
            sleep(backoff + jitter()).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        };
        tracing::info!(lease = LEASE_NAME, identity = election.identity, "acquired the lease, leading");
        let lease = HeldLease { manager, holder_watch, identity: election.identity.clone(), renewed };
        Self { lease: Some(lease), is_elected: true }
    }

    /// Keeps the lease, and resolves when it is lost. Never resolves without an election. Leadership lasts only while
    /// this is polled. Stop all writes when it resolves: another replica may lead 3 s later.
    pub(crate) async fn lost(&mut self) -> Lost {
        let Some(lease) = &mut self.lease else {
            return if self.is_elected { Lost::Taken } else { std::future::pending().await };
        };
        let lost = tokio::select! {
            () = renew(&lease.manager, &lease.renewed) => Lost::Taken,
            () = lease.holder_watch.taken_from(&lease.identity) => Lost::Taken,
            () = expired(lease.renewed.clone(), VALIDITY) => Lost::NotRenewed,
        };
        if lost == Lost::Taken {
            // A release from the state that the library cached would take the lease from its new holder.
            self.lease = None;
        }
        lost
    }

    /// Releases the lease, so that another replica takes over at once. Call it after the work has stopped. Takes 5 s at
    /// most. If it fails, the lease expires.
    pub(crate) async fn release(self) {
        let Some(lease) = self.lease else {
            return;
        };
        // The library panics when the apiserver answers this with a conflict.
        let released = AssertUnwindSafe(lease.manager.release()).catch_unwind();
        match timeout(RELEASE_LIMIT, released).await {
            Ok(Ok(Ok(()))) => tracing::info!(lease = LEASE_NAME, "released the lease"),
            Ok(Ok(Err(error))) => tracing::warn!(%error, "failed to release the lease, it expires by itself"),
            Ok(Err(_)) | Err(_) => tracing::warn!("failed to release the lease in time, it expires by itself"),
        }
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.lease.as_ref().map(|lease| lease.identity.as_str());
        f.debug_struct("Leadership").field("identity", &identity).finish_non_exhaustive()
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "the lease has another holder",
            Self::NotRenewed => "the lease could not be renewed in time",
        })
    }
}

#[cfg(test)]
mod tests;
