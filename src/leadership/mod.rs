//! Who of the replicas reconciles: the one that holds the lease `nats-manager`.
//!
//! kube-lease-manager takes and renews the lease. It is silent while its renewals fail, looks at
//! a lease of others only when that runs out, and clears a lease that ran out without looking
//! again. So there is more here: a clock that ends leadership before the lease runs out, and a
//! watch of the lease, by which a replica that waits takes over at once when the lease is given
//! up, and one that leads stops at once when the lease is not its own any more.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::{LeaseCreateMode, LeaseManager, LeaseManagerBuilder, LeaseManagerError, LeaseParams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use lease::{expired, jitter, lock, renew};
use lease_client::lease_client;
use lease_watch::LeaseWatch;

mod lease;
mod lease_client;
mod lease_watch;

/// Name of the Lease. It is taken as it is when the manifest brought it, else created.
pub(crate) const LEASE_NAME: &str = "nats-manager";

/// Seconds after its last renewal at which others may take the lease.
const DURATION: u64 = 20;
/// Seconds before that at which it is renewed: two requests every 10 s.
const GRACE: u64 = 10;
/// After the last renewal that succeeded; what is left to `DURATION` is for work to stop.
const VALIDITY: Duration = Duration::from_secs(17);
/// Between attempts to stand for leadership while the apiserver fails, doubled up to `MAX_PAUSE`.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(16);
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// A replica that stands for leadership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Election {
    namespace: String,
    identity: String,
}

/// Leadership, held until [`Leadership::lost`] says otherwise or it is released.
pub(crate) struct Leadership {
    /// `None` where nobody else can lead, and after the loss.
    held: Option<Held>,
    elected: bool,
}

/// Why leadership is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The lease is held by another, or by nobody, or is gone.
    Taken,
    /// The lease could not be renewed in time; another may take it.
    NotRenewed,
}

struct Held {
    manager: LeaseManager,
    leases: LeaseWatch,
    identity: String,
    renewed: watch::Receiver<Instant>,
}

impl Election {
    /// An election among the replicas that use the lease in `namespace`. The holder's name is
    /// `name` with a random suffix: a process never takes the lease of its predecessor for its own.
    pub(crate) fn new(namespace: impl Into<String>, name: Option<&str>) -> Self {
        let random = RandomState::new().hash_one(std::process::id());
        // The name and what the apiserver puts around it must fit a field manager's 128 bytes.
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
    /// Waits until this replica leads: at once without an election. An apiserver that fails is
    /// asked again for ever. May be dropped at any time.
    pub(crate) async fn acquire(client: &Client, election: Option<&Election>) -> Self {
        let Some(election) = election else {
            return Self { held: None, elected: false };
        };
        let (client, renewed) = lease_client(client.clone(), &election.namespace);
        let api = Api::<Lease>::namespaced(client.clone(), &election.namespace);
        let mut leases = LeaseWatch::new(api, LEASE_NAME);
        info!(lease = LEASE_NAME, identity = election.identity, "waiting for the lease");
        let mut pause = PAUSE;
        let manager = loop {
            match lock(election, &client, &mut leases).await {
                Ok(manager) => break manager,
                Err(error) if pause > PAUSE => debug!(%error, "cannot take the lease"),
                Err(error) => warn!(%error, "cannot take the lease; trying again"),
            }
            sleep(pause + jitter()).await;
            pause = (pause * 2).min(MAX_PAUSE);
        };
        info!(lease = LEASE_NAME, identity = election.identity, "leading");
        let held = Held { manager, leases, identity: election.identity.clone(), renewed };
        Self { held: Some(held), elected: true }
    }

    /// Keeps the lease, and resolves when it is lost; never without an election. Leadership lasts
    /// only while this is polled. Stop all writes when it resolves: another may lead 3 s later.
    pub(crate) async fn lost(&mut self) -> Lost {
        let Some(held) = &mut self.held else {
            return if self.elected { Lost::Taken } else { std::future::pending().await };
        };
        let lost = tokio::select! {
            () = renew(&held.manager, &held.renewed) => Lost::Taken,
            () = held.leases.taken_from(&held.identity) => Lost::Taken,
            () = expired(held.renewed.clone(), VALIDITY) => Lost::NotRenewed,
        };
        if lost == Lost::Taken {
            // Releasing from what the library remembers would take it from whoever has it now.
            self.held = None;
        }
        lost
    }

    /// Gives the lease up, so that another replica takes over at once. Call it when the work has
    /// stopped. Takes 5 s at most; if it fails the lease runs out.
    pub(crate) async fn release(self) {
        let Some(held) = self.held else {
            return;
        };
        // The library panics when the apiserver answers this with a conflict.
        let released = AssertUnwindSafe(held.manager.release()).catch_unwind();
        match timeout(RELEASE_LIMIT, released).await {
            Ok(Ok(Ok(()))) => info!(lease = LEASE_NAME, "gave the lease up"),
            Ok(Ok(Err(error))) => warn!(%error, "cannot give the lease up; it runs out"),
            Ok(Err(_)) | Err(_) => warn!("cannot give the lease up in time; it runs out"),
        }
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.held.as_ref().map(|held| held.identity.as_str());
        f.debug_struct("Leadership").field("identity", &identity).finish_non_exhaustive()
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "the lease is not ours any more",
            Self::NotRenewed => "the lease could not be renewed in time",
        })
    }
}

#[cfg(test)]
mod tests;
