//! Takes the next step: the requests beside the objects.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use nats_manager_api::{NamespacedName, Resizing};

use super::{
    super::claims,
    Scaling, Tools,
    shrink::{Move, Step},
};
use crate::jetstream::{self, system};

/// The scaling after a step, which starts from `before`.
pub(super) async fn carry_out(
    tools: &Tools<'_>,
    id: &NamespacedName,
    before: Scaling,
    step: Step,
) -> kube::Result<Scaling> {
    let waiting = |reason: String| Some(format!("The number of servers is changing: {reason}."));
    Ok(match step {
        Step::Stay => before,
        Step::Grow { to } => {
            let leaving_from = before.resizing.leaving_from.filter(|from| *from > to);
            Scaling { size: to, resizing: Resizing { leaving_from, ..before.resizing }, ..before }
        }
        Step::Hold(reason) => {
            Scaling { held: Some(format!("The change of spec.cluster.size is held: {reason}.")), ..before }
        }
        Step::Wait { reason, until } => Scaling { waiting: waiting(reason), until, ..before },
        Step::Stop { to } => {
            tracing::info!(from = before.size, to, "servers leave: nothing is on them any more");
            let resizing = Resizing { leaving_from: Some(before.size), ..before.resizing };
            Scaling { size: to, resizing, waiting: waiting("servers stop".to_owned()), ..before }
        }
        Step::Move { lead, moves, reason } => {
            let obstacle = match step_down_all(tools, &lead).await {
                Ok(()) => move_all(tools, &moves).await.err().map(|cause| cause.to_string()),
                Err(cause) => Some(cause),
            };
            let reason = obstacle.map_or(reason.clone(), |cause| format!("{reason}: {cause}"));
            Scaling { waiting: waiting(reason), ..before }
        }
        Step::Remove(names) => {
            let reason = match remove_all(tools, &names).await {
                Ok(()) => format!("JetStream forgets {}", names.join(", ")),
                Err(cause) => format!("JetStream is to forget {}: {cause}", names.join(", ")),
            };
            Scaling { waiting: waiting(reason), ..before }
        }
        Step::Finish => {
            delete_claims(tools, id, before.size).await?;
            let removed_at = Some(Timestamp::now().as_second());
            Scaling { resizing: Resizing { leaving_from: None, removed_at }, ..before }
        }
    })
}

/// Has streams choose another leader.
async fn step_down_all(tools: &Tools<'_>, streams: &[String]) -> Result<(), String> {
    if streams.is_empty() {
        return Ok(());
    }
    tracing::info!(?streams, "having the streams choose another leader");
    jetstream::step_down(tools.address, streams).await.map_err(|cause| cause.to_string())
}

async fn move_all(tools: &Tools<'_>, moves: &[Move]) -> Result<(), system::SystemError> {
    if moves.is_empty() {
        return Ok(());
    }
    let client = connect(tools).await?;
    for Move { account, stream, off } in moves {
        tracing::info!(account, stream, off, "moving the stream's copy");
        client.move_stream(account, stream, off).await?;
    }
    Ok(())
}

async fn remove_all(tools: &Tools<'_>, names: &[String]) -> Result<(), system::SystemError> {
    let client = connect(tools).await?;
    for name in names {
        tracing::info!(server = name, "removing the server from JetStream's meta group");
        client.remove_peer(name).await?;
    }
    Ok(())
}

async fn connect(tools: &Tools<'_>) -> Result<system::Client, system::SystemError> {
    system::Client::connect(tools.address, tools.system).await
}

/// The volumes of servers that JetStream forgot: what they hold is on the others, and would only be
/// in the way of a server that comes back under the name.
async fn delete_claims(tools: &Tools<'_>, id: &NamespacedName, size: u32) -> kube::Result<()> {
    for claim in claims::list(tools.client, id).await? {
        if claims::ordinal(&claim, id).is_some_and(|ordinal| ordinal >= size) {
            tracing::info!(claim = claim.name_any(), "deleting the claim of a server that left");
            claims::delete(tools.client, id, &claim).await?;
        }
    }
    Ok(())
}
