//! `kubectl rollout restart` beside a server that is away.

use nats_manager_harness::{Seen, eventually};

use super::steps::{running, settles};
use crate::{
    servers::is_ready,
    world::{NAMESPACE, SOON, World, real},
};

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn rollout_restart_while_a_server_is_away_takes_one_at_a_time() {
    real(async |world: &World<'_>| {
        let _manager = running(world, 3).await;
        world.make_stream(3).await;
        let publisher = world.publisher();
        publisher.goes_on().await;
        let (watch, old) = (world.watch_members(), world.pods().await);

        world.delete_pod(&World::server(1)).await;
        eventually("the server is away", SOON, || async {
            let away = world.pods().await.iter().filter(|pod| !is_ready(pod)).count();
            if away > 0 { Seen::Done(()) } else { Seen::NotYet("it is not".to_owned()) }
        })
        .await;
        world.kubectl(&["rollout", "restart", "statefulset/eventing-nats", "-n", NAMESPACE]).await.unwrap();
        let pods = settles(world, 3, &old).await;
        let restarted = |pod: &k8s_openapi::api::core::v1::Pod| {
            let annotations = pod.metadata.annotations.as_ref();
            annotations.is_some_and(|all| all.contains_key("kubectl.kubernetes.io/restartedAt"))
        };
        println!("with the annotation: {}", pods.iter().filter(|pod| restarted(pod)).count());

        watch.one_away_at_most();
        world.stream_is_current(3).await;
        publisher.goes_on().await;
        world.verify(&publisher.stop().await).await;
    });
}
