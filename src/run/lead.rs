//! Work of the leading replica.

use std::{pin::pin, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use kube::Client;
use tokio::{sync::oneshot, time::sleep};

use super::RunError;
use crate::{
    controller::{self, Controller},
    leadership::{Election, Leadership},
};

/// Limit for reconciles in progress to finish.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Acquires leadership and reconciles until `shutdown` or the loss of leadership, then releases it. `leader_task` runs
/// next to the controller while leading, and never ends.
pub(super) async fn lead(
    client: &Client,
    election: Option<&Election>,
    controller: Controller,
    leader_task: BoxFuture<'static, ()>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let metrics = controller.metrics.clone();
    let mut shutdown = pin!(shutdown);
    let mut leadership = tokio::select! {
        leadership = Leadership::acquire(client, election) => leadership,
        () = &mut shutdown => return Ok(()),
    };
    metrics.set_leader(true);
    let (stop, stopped) = oneshot::channel::<()>();
    let mut work = pin!(controller::run(controller, stopped.map(|_| ())));
    let result = tokio::select! {
        // Another replica may lead at once: work in progress is dropped, not finished.
        lost = leadership.lost() => Err(RunError::Lost(lost)),
        () = &mut work => Err(RunError::Ended("controller")),
        () = leader_task => Err(RunError::Ended("CA controller")),
        () = &mut shutdown => Ok(()),
    };
    if result.is_ok() {
        drop(stop);
        tokio::select! {
            () = work => {}
            _ = leadership.lost() => {}
            () = sleep(DRAIN_LIMIT) => tracing::warn!("timed out waiting for a reconcile to finish"),
        }
    }
    metrics.set_leader(false);
    leadership.release().await;
    result
}
