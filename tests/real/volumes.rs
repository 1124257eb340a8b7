//! Volumes hold what they hold, and no more.

use serde_json::json;

use crate::{
    streams::SUBJECT,
    world::{World, real},
};

const MEBIBYTE: usize = 1 << 20;
const MESSAGE: usize = MEBIBYTE / 2;
/// What a volume of the class `small` has, whatever its claim asks for.
const SMALL: usize = 64 * MEBIBYTE;

#[test]
fn a_small_volume_can_be_really_full() {
    real(async |world| {
        let _manager = world.manager().await;
        world
            .create(json!({
                "cluster": {"size": 1},
                "jetStream": {"fileStorage": {"storageClassName": "small", "size": "1Gi"}},
            }))
            .await;
        world.state_becomes("Ready").await;
        world.make_stream(1).await;
        let context = world.nats().await;
        let mut stored = 0;
        // The server would take a gibibyte; its disk does not.
        while let Ok(ack) = context.publish(SUBJECT, vec![b'x'; MESSAGE].into()).await
            && ack.await.is_ok()
        {
            stored += MESSAGE;
            assert!(stored <= SMALL, "{stored} bytes are in a volume of {SMALL}");
        }
        assert!(stored > SMALL / 2, "only {stored} bytes are in a volume of {SMALL}");
        let pod = world.pod(&World::server(0)).await;
        let log =
            world.kubectl(&["logs", "-n", "kyma-system", pod.metadata.name.as_ref().unwrap(), "-c", "nats"]).await;
        let log = log.unwrap();
        assert!(log.contains("no space left on device"), "{log}");
    });
}
