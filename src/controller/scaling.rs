//! Whether a change of the size may be carried out.
//!
//! A server that ran alone and restarts with a cluster block deletes its streams, and the other way
//! round it cannot read them (measured with NATS 2.14.2). So a change between the two is made only
//! where there are none.

use async_nats::ServerAddr;
use kube::Client;
use nats_manager_api::{Deployed, Nats, NamespacedName};

use super::{delete::never_started, observe::Observed};
use crate::jetstream;

/// What to do about the size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// It can become what is wanted.
    Free,
    /// It stays what it is.
    Held {
        /// The number of servers to keep.
        size: u32,
        /// Why, and what to do.
        reason: String,
    },
}

/// The fewest servers that form a cluster.
const CLUSTERED: i64 = 3;

/// Decides on the size of `nats`; asks JetStream at `address` only where it matters.
pub async fn decide(
    client: &Client,
    nats: &Nats,
    id: &NamespacedName,
    observed: &Observed,
    address: &ServerAddr,
) -> kube::Result<Scaling> {
    let Some(deployed) = &observed.surroundings.deployed else { return Ok(Scaling::Free) };
    let wanted = nats.spec.cluster.size;
    if !needs_empty_store(deployed, wanted) || never_started(client, nats, id, observed).await? {
        return Ok(Scaling::Free);
    }
    let obstacle = match jetstream::ask(address).await {
        Ok(contents) if contents.is_empty() => return Ok(Scaling::Free),
        Ok(contents) => format!(
            "JetStream has {} ({}), which a restart with the new size would destroy. Back them up and delete them, and restore them after the change",
            count(contents.streams),
            contents.names.join(", "),
        ),
        Err(cause) => format!(
            "a restart with the new size destroys streams, and whether there are any cannot be told: {cause}"
        ),
    };
    Ok(Scaling::Held {
        size: deployed.size,
        reason: format!("The change of spec.cluster.size from {} to {wanted} is held: {obstacle}.", deployed.size),
    })
}

fn needs_empty_store(deployed: &Deployed, wanted: i64) -> bool {
    (i64::from(deployed.size) >= CLUSTERED) != (wanted >= CLUSTERED)
}

fn count(streams: usize) -> String {
    if streams == 1 { "1 stream".to_owned() } else { format!("{streams} streams") }
}
