//! From one server to a cluster, and back.
//!
//! A server that ran alone and restarts with a cluster block deletes its streams, and the other way
//! round it cannot read them (measured with NATS 2.14.2). So a change between the two is made only
//! where there are none.

use nats_manager_api::{NamespacedName, Nats};

use super::{
    super::{guard::never_started, observe::Observed},
    Tools,
};
use crate::jetstream;

/// The fewest servers that form a cluster.
const CLUSTERED: u32 = 3;

/// What is in the way of a change of the size that no copy survives. Asks JetStream only where a
/// server ever started.
pub(super) async fn obstacle(
    tools: &Tools<'_>,
    nats: &Nats,
    id: &NamespacedName,
    observed: &Observed,
    (size, wanted): (u32, u32),
) -> kube::Result<Option<String>> {
    if never_started(tools.client, nats, id, observed).await? {
        return Ok(None);
    }
    let why = match jetstream::ask(tools.address).await {
        Ok(contents) if contents.is_empty() => return Ok(None),
        Ok(contents) => {
            let (count, names) = (count(contents.streams), contents.names.join(", "));
            if needs_empty_store(size, wanted) {
                format!(
                    "JetStream has {count} ({names}), which a restart with the new size would destroy. Back them up and delete them, and restore them after the change"
                )
            } else {
                format!(
                    "JetStream has {count} ({names}), and whether the servers that would leave hold the only copies cannot be told, since their monitoring port (8222) cannot be reached"
                )
            }
        }
        Err(cause) => {
            format!("it can destroy streams, and whether there are any cannot be told: {cause}")
        }
    };
    Ok(Some(format!("The change of spec.cluster.size from {size} to {wanted} is held: {why}.")))
}

/// What the servers were configured for. While the StatefulSet is gone their configuration tells:
/// there may be more volumes than servers.
pub(super) fn deployed_size(observed: &Observed) -> Option<u32> {
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

/// Whether a store does not survive the change: a cluster comes, or goes.
pub(super) fn needs_empty_store(deployed: u32, wanted: u32) -> bool {
    (deployed >= CLUSTERED) != (wanted >= CLUSTERED)
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
