//! Work of the leading replica.

use std::{future::pending, pin::pin, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use tokio::{sync::oneshot, time::sleep};

use super::RunError;
use crate::{
    controller::{self, Controller},
    leadership::{Election, Lost},
};

/// Limit for reconciles in progress to finish.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Acquires leadership and reconciles until `shutdown`, then releases it. After a loss of leadership it competes again:
/// the replica keeps serving admission reviews. `leader_task` makes the future that runs next to the controller while
/// leading, and never ends.
pub(super) async fn lead(
    mut election: Option<Election>,
    controller: Controller,
    leader_task: impl Fn() -> BoxFuture<'static, ()>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let metrics = controller.metrics.clone();
    let mut shutdown = pin!(shutdown);
    loop {
        if let Some(election) = &mut election {
            tokio::select! {
                () = election.acquire() => {}
                () = &mut shutdown => {
                    // The last write may have made this replica the leader.
                    election.release().await;
                    return Ok(());
                }
            }
        }
        metrics.set_leader(true);
        let (stop, stopped) = oneshot::channel::<()>();
        let mut work = controller::run(controller.clone(), stopped.map(|_| ())).boxed();
        let result = tokio::select! {
            // First: a process that was suspended must not write before it has found out that it does not lead.
            biased;
            // Another replica may lead at once: work in progress is dropped, not finished.
            lost = lost(&mut election) => {
                metrics.set_leader(false);
                metrics.clear_cluster();
                tracing::warn!("stopped leading: {lost}");
                continue;
            }
            () = &mut shutdown => Ok(()),
            () = &mut work => Err(RunError::Ended("controller")),
            () = leader_task() => Err(RunError::Ended("CA controller")),
        };
        if result.is_ok() {
            drop(stop);
            tokio::select! {
                () = &mut work => {}
                _ = lost(&mut election) => {}
                () = sleep(DRAIN_LIMIT) => tracing::warn!("timed out waiting for a reconcile to finish"),
            }
        }
        // A request in progress must not reach the apiserver after the release.
        drop(work);
        metrics.set_leader(false);
        if let Some(election) = &mut election {
            election.release().await;
        }
        return result;
    }
}

/// Resolves when leadership is lost; never without an election.
async fn lost(election: &mut Option<Election>) -> Lost {
    match election {
        Some(election) => election.lost().await,
        None => pending().await,
    }
}
