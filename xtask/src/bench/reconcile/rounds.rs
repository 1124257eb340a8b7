//! Rounds of the manager on a local control plane: from creation to Ready, and through a rollout.

use std::{path::Path, time::Duration};

use nats_manager_harness::ResidentMemory;
use tokio::time::sleep;

use super::{
    super::{BenchError, admission::Measured, requests},
    floor::{Sent, sent},
    managed::Managed,
    memory::{self, MemoryCourse},
    reviews::ReviewGenerator,
};
use crate::local::{Local, LocalError};

/// Time between the phases whose memory is drawn.
const REST: Duration = Duration::from_secs(2);
/// Time for which reviews are sent: longer than a rollout.
const REVIEWED: Duration = Duration::from_secs(5);

/// Times and writes of one round.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    /// From the request that creates the NATS resource until it is ready.
    pub(super) create: Duration,
    /// From the request that changes the Pod template until all servers run with it.
    pub(super) rollout: Duration,
    /// Writes from creation to Ready.
    pub(super) writes_of_create: usize,
    /// Writes from the change to the end of the rollout.
    pub(super) writes_of_rollout: usize,
}

/// Measures a round of the manager.
pub(super) async fn ours(local: &Local, program: &Path) -> Result<(Round, Sent), BenchError> {
    let audit = local.cluster().audit().map_err(LocalError::from)?;
    let managed = Managed::start(local, program).await?;
    let begin = audit.mark().await.map_err(LocalError::from)?;
    let create = managed.create().await?;
    let created = audit.since(begin).await.map_err(LocalError::from)?;
    let sent = sent(local.client()).await?;
    let begin = audit.mark().await.map_err(LocalError::from)?;
    let rollout = managed.restart_servers().await?;
    let rolled = audit.since(begin).await.map_err(LocalError::from)?;
    managed.end().await?;
    let (writes_of_create, writes_of_rollout) = (requests::writes(&created), requests::writes(&rolled));
    Ok((Round { create, rollout, writes_of_create, writes_of_rollout }, sent))
}

/// Rollout during which the webhook answered reviews.
pub(super) struct Reviewed {
    pub(super) rollout: Duration,
    pub(super) reviews: Measured,
    /// Memory of the manager at the end.
    pub(super) memory: ResidentMemory,
    /// Memory from readiness on.
    pub(super) course: MemoryCourse,
}

/// Measures a rollout during which the webhook answers 1,000 reviews per second. They begin before it.
pub(super) async fn under_reviews(
    local: &Local,
    program: &Path,
    generator: &ReviewGenerator,
) -> Result<Reviewed, BenchError> {
    let managed = Managed::start(local, program).await?;
    let mut phases = Vec::new();
    let work = async {
        let mut begins = |phase| phases.push((phase, managed.manager.started().elapsed()));
        sleep(REST).await;
        begins("creation");
        managed.create().await?;
        begins("Ready");
        sleep(REST).await;
        begins("reviews");
        let reviews = generator.send(&local.client(), &managed.manager, REVIEWED).await?;
        begins("rollout");
        let rollout = managed.restart_servers().await?;
        begins("Ready");
        let reviews = reviews.end().await?;
        begins("end of reviews");
        sleep(REST).await;
        Ok::<_, BenchError>((rollout, reviews))
    };
    let (measured, samples) = memory::during(&managed.manager, work).await;
    let (rollout, reviews) = measured?;
    let memory = managed.manager.memory().ok_or(BenchError::NoMemory)?;
    managed.end().await?;
    Ok(Reviewed { rollout, reviews, memory, course: MemoryCourse { samples, phases } })
}
