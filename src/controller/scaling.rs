//! Whether a change of the size may be carried out.
//!
//! A server that ran alone and restarts with a cluster block deletes its streams, and the other way
//! round it cannot read them (measured with NATS 2.14.2). So a change between the two is made only
//! where there are none.

use async_nats::ServerAddr;
use kube::Client;
use nats_manager_api::{NamespacedName, Nats};

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
const CLUSTERED: u32 = 3;

/// Decides on the size of `nats`; asks JetStream at `address` only where it matters.
pub async fn decide(
    client: &Client,
    nats: &Nats,
    id: &NamespacedName,
    observed: &Observed,
    address: &ServerAddr,
) -> kube::Result<Scaling> {
    let Some(size) = deployed_size(observed) else { return Ok(Scaling::Free) };
    let wanted = nats.spec.cluster.size;
    if !needs_empty_store(size, wanted) || never_started(client, nats, id, observed).await? {
        return Ok(Scaling::Free);
    }
    let obstacle = match jetstream::ask(address).await {
        Ok(contents) if contents.is_empty() => return Ok(Scaling::Free),
        Ok(contents) => format!(
            "JetStream has {} ({}), which a restart with the new size would destroy. Back them up and delete them, and restore them after the change",
            count(contents.streams),
            contents.names.join(", "),
        ),
        Err(cause) => {
            format!("a restart with the new size destroys streams, and whether there are any cannot be told: {cause}")
        }
    };
    Ok(Scaling::Held {
        size,
        reason: format!("The change of spec.cluster.size from {size} to {wanted} is held: {obstacle}."),
    })
}

/// What the servers were configured for. While the StatefulSet is gone their configuration tells:
/// there may be more volumes than servers.
fn deployed_size(observed: &Observed) -> Option<u32> {
    let size = observed.surroundings.deployed.as_ref()?.size;
    let config = observed.live.config_map.as_deref().filter(|_| observed.live.stateful_set.is_none());
    let files = config.and_then(|config| config.data.as_ref());
    Some(match files.map(|files| files.values().any(|file| has_cluster_block(file))) {
        Some(true) => size.max(CLUSTERED),
        Some(false) => 1,
        None => size,
    })
}

fn has_cluster_block(config: &str) -> bool {
    config.lines().any(|line| {
        let rest = line.trim_start().strip_prefix("cluster");
        rest.is_some_and(|rest| rest.trim_start_matches([' ', ':', '=']).starts_with('{'))
    })
}

fn needs_empty_store(deployed: u32, wanted: i64) -> bool {
    (deployed >= CLUSTERED) != (wanted >= i64::from(CLUSTERED))
}

fn count(streams: usize) -> String {
    if streams == 1 { "1 stream".to_owned() } else { format!("{streams} streams") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_tells_whether_servers_form_a_cluster() {
        for (expected, config) in [
            (true, "port: 4222\n\ncluster {\n  port: 6222\n}\n"),
            (true, "cluster: {"),
            (true, "  cluster = { name: a }"),
            (false, "# cluster {"),
            (false, "cluster_advertise: a\njetstream {\n}"),
            (false, ""),
        ] {
            assert_eq!(has_cluster_block(config), expected, "{config}");
        }
    }

    #[test]
    fn a_store_survives_a_change_within_a_cluster() {
        for (deployed, wanted, empty) in [(1, 1, false), (1, 3, true), (3, 1, true), (3, 5, false), (5, 3, false)] {
            assert_eq!(needs_empty_store(deployed, wanted), empty, "{deployed} -> {wanted}");
        }
    }
}
