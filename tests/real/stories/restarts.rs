//! `kubectl rollout restart` while a server is unavailable.

use nats_manager_harness::{Seen, eventually};

use super::steps::{becomes_steady, running};
use crate::{
    servers::is_ready,
    world::{NAMESPACE, SOON, World, real},
};

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn rollout_restart_while_a_server_is_unavailable_restarts_one_at_a_time() {
    real(async |world: &World<'_>| {
        let _manager = running(world, 3).await;
        world.make_stream(3).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let (watch, old) = (world.watch_members(), world.pods().await);

        world.delete_pod(&World::server(1)).await;
        eventually("the server is unavailable", SOON, || async {
            let unavailable = world.pods().await.iter().filter(|pod| !is_ready(pod)).count();
            if unavailable > 0 { Seen::Done(()) } else { Seen::NotYet("it is not".to_owned()) }
        })
        .await;
        world.kubectl(&["rollout", "restart", "statefulset/eventing-nats", "-n", NAMESPACE]).await.unwrap();
        let pods = becomes_steady(world, 3, &old).await;
        let restarted = |pod: &k8s_openapi::api::core::v1::Pod| {
            let annotations = pod.metadata.annotations.as_ref();
            annotations.is_some_and(|all| all.contains_key("kubectl.kubernetes.io/restartedAt"))
        };
        println!("with the annotation: {}", pods.iter().filter(|pod| restarted(pod)).count());

        watch.at_most_one_unavailable();
        world.stream_is_in_sync(3).await;
        publisher.makes_progress().await;
        world.verify(&publisher.stop().await).await;
    });
}
