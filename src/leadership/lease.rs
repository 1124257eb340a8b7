//! Taking the lease, and keeping it.

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::time::Duration;

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, warn};

use super::Election;
use super::lease_watch::LeaseWatch;

/// Between attempts to renew.
const RETRY: Duration = Duration::from_secs(1);
/// Added at random, so that replicas do not retry in step. Milliseconds.
const JITTER: u64 = 1000;

/// Waits until the lease is ours.
pub(super) async fn lock(
    election: &Election,
    client: &Client,
    leases: &mut LeaseWatch,
) -> Result<LeaseManager, LeaseManagerError> {
    loop {
        let manager = election.manager(client.clone()).await?;
        tokio::select! {
            locked = wait(&manager) => return locked.map(|()| manager),
            // The library sleeps until the lease it saw runs out; a new manager looks again.
            () = leases.freed() => debug!("the lease was given up"),
        }
    }
}

async fn wait(manager: &LeaseManager) -> Result<(), LeaseManagerError> {
    while !manager.changed().await? {}
    Ok(())
}

/// Renews the lease until the library says that another holds it.
pub(super) async fn renew(manager: &LeaseManager, renewed: &watch::Receiver<Instant>) {
    let mut complained = None;
    loop {
        match manager.changed().await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                // Once for each row of failures.
                let last = *renewed.borrow();
                if complained.replace(last) == Some(last) {
                    debug!(%error, "cannot renew the lease");
                } else {
                    warn!(%error, "cannot renew the lease; trying again");
                }
                sleep(RETRY).await;
            }
        }
    }
}

/// Resolves when the last renewal is older than `validity`.
pub(super) async fn expired(mut renewed: watch::Receiver<Instant>, validity: Duration) {
    loop {
        let deadline = *renewed.borrow_and_update() + validity;
        let mut newer = pin!(renewed.changed());
        tokio::select! {
            () = sleep_until(deadline) => return,
            result = &mut newer => if result.is_err() {
                sleep_until(deadline).await;
                return;
            },
        }
    }
}

pub(super) fn jitter() -> Duration {
    Duration::from_millis(RandomState::new().hash_one(0) % JITTER)
}
