//! The example in `tests/situations` for which JetStream is observed.

use nats_manager_api::NatsStatus;
use nats_manager_harness::matches_example;
use serde_json::json;

use crate::world::{NAME, real};

#[test]
fn healthy_cluster_with_a_stream_reads_as_its_example() {
    real(async |world| {
        let manager = world.manager().await;
        world.create(json!({})).await;
        world.state_becomes("Ready").await;
        world.make_stream(3).await;
        world.stream_is_in_sync(3).await;
        world.status_becomes("JetStream is observed", is_observed).await;
        let kubectl = async |args: &[&str]| world.kubectl(args).await.unwrap();
        matches_example("healthy", NAME, kubectl).await;
        manager.kill().await.unwrap();
    });
}

/// Returns whether the status has the stream, and nothing is left to be observed.
fn is_observed(status: &NatsStatus) -> bool {
    let observed = ["Ready", "JetStream", "Storage"];
    let holds = |kind: &str| status.conditions.iter().any(|known| known.type_ == kind && known.status == "True");
    status.jet_stream.as_ref().is_some_and(|summary| summary.streams) && observed.into_iter().all(holds)
}
