//! The availability zones that the servers run in.

use nats_manager_harness::eventually;
use serde_json::json;

use crate::{
    objects::STATEFUL_SET,
    world::{TIMEOUT, World, condition},
};

const ONE_ZONE: [(&str, Option<&str>); 3] =
    [("node-a", Some("zone-a")), ("node-b", Some("zone-a")), ("node-c", Some("zone-a"))];
const TWO_ZONES: [(&str, Option<&str>); 3] =
    [("node-a", Some("zone-a")), ("node-b", Some("zone-b")), ("node-c", Some("zone-a"))];
const UNKNOWN_ZONE: [(&str, Option<&str>); 3] =
    [("node-a", Some("zone-a")), ("node-b", Some("zone-b")), ("node-c", None)];
const UNKNOWN_AND_ONE: [(&str, Option<&str>); 3] =
    [("node-a", Some("zone-a")), ("node-b", Some("zone-a")), ("node-c", None)];

#[tokio::test]
async fn too_few_zones_cause_warning_until_there_are_enough() {
    let world = World::new().await;
    world.set_zones(ONE_ZONE).await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Warning").await;
    // Pods must not wait for zones that do not exist.
    assert_eq!(
        STATEFUL_SET.get(&world).await["metadata"]["annotations"]["nats.operator.kyma-project.io/topology-spread"],
        "soft"
    );

    let too_few = |zones: i32| {
        let message =
            format!("NATS is not currently using enough availability zones (Recommended: 3, current: {zones}).");
        ("Warning", zones, ("False", "Unknown", message))
    };
    let enough = || ("Ready", 3, ("True", "Deployed", "NATS is deployed in different availability zones.".to_owned()));
    let unknown = |state, zones| {
        let message = "node node-c has no label topology.kubernetes.io/zone".to_owned();
        (state, zones, ("False", "FailedProcessing", message))
    };
    let three = [("node-a", Some("zone-a")), ("node-b", Some("zone-b")), ("node-c", Some("zone-c"))];
    for (nodes, expected) in [
        (ONE_ZONE, too_few(1)),
        (TWO_ZONES, too_few(2)),
        (three, enough()),
        // A node without a zone leaves the state unchanged.
        (UNKNOWN_ZONE, unknown("Ready", 2)),
        (three, enough()),
        (ONE_ZONE, too_few(1)),
        (UNKNOWN_AND_ONE, unknown("Warning", 1)),
        (three, enough()),
    ] {
        world.set_zones(nodes).await;
        let (state, zones, (holds, reason, message)) = &expected;
        let status = world
            .status_becomes(&format!("{expected:?}"), |status| {
                let (found_status, found_reason, found_message) =
                    condition(status, "AvailabilityZones").unwrap_or_default();
                status.availability_zones_used == i64::from(*zones)
                    && (found_status.as_str(), found_reason.as_str(), &found_message) == (holds, reason, message)
            })
            .await;
        assert_eq!(status.state, *state, "{expected:?}");
        assert_eq!(condition(&status, "Available").unwrap().0, "True");
        eventually("the metric", TIMEOUT, || async {
            manager.metric("nats_manager_availability_zones_used_count").await == Some(f64::from(*zones))
        })
        .await;
    }
}

#[tokio::test]
async fn standalone_server_is_ready_without_zone_requirement() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({"cluster": {"size": 1}})).await;
    let status = world.state_becomes("Ready").await;
    let message = "NATS is not configured to run in cluster mode (i.e. spec.cluster.size < 3).".to_owned();
    let expected = ("False".to_owned(), "NotConfigured".to_owned(), message);
    assert_eq!(condition(&status, "AvailabilityZones"), Some(expected));
    assert_eq!(status.availability_zones_used, 1);
    assert_eq!(manager.metric("nats_manager_cr_nats_nodes_count").await, Some(1.0));
}

/// A test may end while the scheduler binds the volume of a Pod. If that Pod is deleted then, the scheduler may place the
/// next Pod of the same name without regard to its topology spread.
#[tokio::test]
async fn servers_on_a_cleaned_control_plane_are_spread_over_zones() {
    let world = World::new().await;
    for round in 0..2 {
        let manager = world.manager().await;
        world.create(json!({"cluster": {"size": 1}})).await;
        eventually("a Pod exists", TIMEOUT, || async { !world.pods().await.is_empty() }).await;
        drop(manager);
        world.clean().await;
        let manager = world.manager().await;
        world.create(json!({})).await;
        let status = world.status_becomes("three servers are ready", |status| status.ready_servers == 3).await;
        assert_eq!(status.availability_zones_used, 3, "round {round}: {status:?}");
        drop(manager);
        world.clean().await;
    }
}
