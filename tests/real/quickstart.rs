//! Quickstart of the user documentation: a first stream, message and consumer, as a new user types it.

use serde_json::json;

use crate::{typed::User, world::real};

const PAGE: &str = "docs/user/quickstart.md";

#[test]
fn documented_quickstart_publishes_and_reads_a_message() {
    real(async |world| {
        let _manager = world.manager().await;
        world.create(json!({"cluster": {"size": 3}})).await;
        let mut user = User::new(world).await;
        let printed = user.follows(PAGE, "run").await;
        for expected in ["Replicas: 3", "first order", "Acknowledged message"] {
            assert!(printed.contains(expected), "{expected}: {printed}");
        }
        // The stream does not block a deletion any more.
        world.delete().await;
        world.gone().await;
    });
}
