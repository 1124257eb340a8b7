//! What the leading replica does, for as long as it leads.

use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Client;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::warn;

use super::RunError;
use crate::controller::{self, Controller};
use crate::leadership::{Election, Leadership};

/// How long reconciles under way may take to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Works while this replica leads, until `shutdown`; gives leadership up when the work has stopped.
/// `aside` is what only the leader does beside reconciling, and never ends.
pub(super) async fn lead(
    client: &Client,
    election: Option<&Election>,
    controller: Controller,
    aside: BoxFuture<'static, ()>,
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
        // Another replica may lead at once: what is under way is dropped, not finished.
        lost = leadership.lost() => Err(RunError::Lost(lost)),
        () = &mut work => Err(RunError::Ended("controller")),
        () = aside => Err(RunError::Ended("certificate keeper")),
        () = &mut shutdown => Ok(()),
    };
    if result.is_ok() {
        drop(stop);
        tokio::select! {
            () = work => {}
            _ = leadership.lost() => {}
            () = sleep(DRAIN_LIMIT) => warn!("a reconcile did not end in time"),
        }
    }
    metrics.set_leader(false);
    leadership.release().await;
    result
}
