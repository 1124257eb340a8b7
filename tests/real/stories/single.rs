//! Standalone server with a stream that cannot be recovered.

use std::time::Duration;

use nats_manager_harness::{Seen, eventually};

use super::{
    kill::restarts,
    steps::{condition_becomes, running},
};
use crate::{
    scaling::make_stream,
    storage::in_volume,
    world::{NAME, NAMESPACE, SOON, World, real},
};

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn stream_that_cannot_be_recovered_is_named_and_blocks_the_deletion() {
    real(async |world: &World<'_>| {
        let _manager = running(world, 1).await;
        // No list of the server contains the stream after the damage.
        make_stream(world, "A", 1).await;
        let folder = "$0/jetstream/\\$G/streams/A/meta.sum";
        let damage = format!("printf 0000000000000000 | dd of={folder} conv=notrunc bs=16 count=1 status=none");
        in_volume(world, 0, &damage).await;
        let first = World::server(0);
        let old = world.pod(&first).await.metadata.uid;
        world.delete_pod(&first).await;
        eventually("the server has another Pod", SOON, || async {
            let uids: Vec<_> = world.pods().await.into_iter().map(|pod| pod.metadata.uid).collect();
            if uids.len() == 1 && uids[0] != old { Seen::Done(()) } else { Seen::NotYet(format!("{uids:?}")) }
        })
        .await;

        condition_becomes(world, "JetStream", "False", "ServerNotReady", "could not be recovered").await;
        world.state_becomes("Warning").await;
        world.delete().await;
        world
            .status_becomes("the deletion is blocked", |status| {
                let is_blocked = |condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
                    condition.type_ == "Deleted"
                        && condition.status == "False"
                        && condition.message.contains("could not be recovered")
                };
                status.state == "Warning" && status.conditions.iter().any(is_blocked)
            })
            .await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        let pod = world.pod(&first).await;
        assert_eq!(restarts(&pod), 0, "the server was killed");
        let objects = world.kubectl(&["get", "statefulset,pvc", "-n", NAMESPACE, "-o", "name"]).await.unwrap();
        assert!(objects.contains(NAME) && objects.contains("js-pvc"), "{objects}");
    });
}
