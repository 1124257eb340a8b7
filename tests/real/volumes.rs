//! Volumes of the class `small`, which have a fixed capacity.

use serde_json::json;

use crate::{
    streams::SUBJECT,
    world::{World, real},
};

const MEBIBYTE: usize = 1 << 20;
const MESSAGE: usize = MEBIBYTE / 2;
/// Capacity of a volume of the class `small` in bytes, whatever its PVC requests.
const SMALL: usize = 64 * MEBIBYTE;

#[test]
fn small_volume_can_be_full() {
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
        // The server would store a gibibyte, but its disk is smaller.
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
