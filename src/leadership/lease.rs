//! Acquisition and renewal of the lease.

use std::{
    hash::{BuildHasher, RandomState},
    pin::pin,
    time::Duration,
};

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerError};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{Election, lease_watch::LeaseWatch};

/// Delay between attempts to renew.
const RETRY: Duration = Duration::from_secs(1);
/// Upper bound of a random addition in milliseconds, so that replicas do not retry at the same time.
const JITTER: u64 = 1000;

/// Waits until this replica holds the lease.
pub(super) async fn lock(
    election: &Election,
    client: &Client,
    holder_watch: &mut LeaseWatch,
) -> Result<LeaseManager, LeaseManagerError> {
    loop {
        let manager = election.manager(client.clone()).await?;
        tokio::select! {
            locked = wait(&manager) => return locked.map(|()| manager),
            // The library sleeps until the lease that it read expires. A new manager reads it again.
            () = holder_watch.released() => tracing::debug!("the lease was released"),
        }
    }
}

async fn wait(manager: &LeaseManager) -> Result<(), LeaseManagerError> {
    while !manager.changed().await? {}
    Ok(())
}

/// Renews the lease until the library reports another holder.
pub(super) async fn renew(manager: &LeaseManager, renewed: &watch::Receiver<Instant>) {
    let mut warned_for = None;
    loop {
        match manager.changed().await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                // One warning for each series of failures.
                let last = *renewed.borrow();
                if warned_for.replace(last) == Some(last) {
                    tracing::debug!(%error, "still failing to renew the lease");
                } else {
                    tracing::warn!(%error, "failed to renew the lease, trying again");
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

/// Returns a random delay of less than [`JITTER`] milliseconds.
pub(super) fn jitter() -> Duration {
    Duration::from_millis(RandomState::new().hash_one(0) % JITTER)
}
