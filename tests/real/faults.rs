//! Faults that tests cause: slow links, foreign servers, a change of replicas while no manager runs.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use nats_manager_harness::{NatsVersion, Seen, eventually};
use serde_json::{Value, json};

use crate::{
    manager::ManagerOptions,
    world::{NAME, NAMESPACE, SOON, World, real, real_with},
};

/// Name of the foreign server and of its Pod.
pub const FOREIGN: &str = "stray";
/// Namespace of the foreign server, outside of the installation.
const FOREIGN_NAMESPACE: &str = "default";
/// Link limit in bits per second that makes catch-ups observable: 256 MiB take more than 100 s.
const SLOW: u32 = 20_000_000;

impl World<'_> {
    /// Limits the traffic that the node of a server receives to [`SLOW`].
    pub async fn slow_down(&self, ordinal: usize) {
        self.cluster.limit_link(&self.node_of(ordinal).await, SLOW).await.unwrap();
    }

    /// Removes the limit of [`World::slow_down`].
    pub async fn speed_up(&self, ordinal: usize) {
        self.cluster.unlimit_link(&self.node_of(ordinal).await).await.unwrap();
    }

    /// Returns the node of the server with an ordinal.
    pub async fn node_of(&self, ordinal: usize) -> String {
        self.pod(&Self::server(ordinal)).await.spec.unwrap().node_name.unwrap()
    }

    /// Starts a NATS server that does not belong to the cluster of three or five servers, but joins it over the routes.
    ///
    /// Its routes name the servers by their own addresses. Behind the name of the Service each connection of a route
    /// pool can reach another server, so that the pool to one of them stays incomplete: see
    /// `docs/contributor/nats.md`.
    pub async fn add_foreign_server(&self, version: NatsVersion) {
        let route = |ordinal| format!("nats://{}.{NAME}.{NAMESPACE}:6222", Self::server(ordinal));
        let routes = [0, 1, 2].map(route).join(",");
        let args = [
            ["-js", "-sd=/js"].as_slice(),
            &["--cluster_name", NAME, "--name", FOREIGN],
            &["--cluster", "nats://0.0.0.0:6222", "--routes", &routes, "-m", "8222"],
        ];
        let pod = json!({
            "metadata": {"name": FOREIGN},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": "nats",
                    "image": version.image(),
                    "args": args.concat(),
                    "volumeMounts": [{"name": "js", "mountPath": "/js"}],
                }],
                "volumes": [{"name": "js", "emptyDir": {}}],
            },
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        self.foreign_pods().create(&PostParams::default(), &pod).await.unwrap();
    }

    /// Removes the foreign server if there is one, and waits until it is gone.
    pub async fn remove_foreign_server(&self) {
        let _ = self.foreign_pods().delete(FOREIGN, &DeleteParams::default()).await;
        eventually("the foreign server is gone", SOON, || async {
            self.foreign_pods().get_opt(FOREIGN).await.map(|pod| pod.is_none())
        })
        .await;
    }

    fn foreign_pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), FOREIGN_NAMESPACE)
    }

    /// Changes the replicas of the StatefulSet as `kubectl scale` does. A running manager would change them back.
    pub async fn scale_stateful_set(&self, replicas: i32) {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.api::<StatefulSet>().patch_scale(NAME, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until the meta leader `size_becomes` `count` servers, itself included, and returns their names.
    pub async fn meta_group_has(&self, count: usize) -> Vec<String> {
        eventually(&format!("the meta group has {count} servers"), SOON, || async {
            let mut names = Vec::new();
            for pod in self.pods().await {
                let jsz = self.monitor(&pod, "/jsz").await;
                names = members(&jsz["meta_cluster"], &pod.name_any()).unwrap_or(names);
            }
            if names.len() == count { Seen::Done(names) } else { Seen::NotYet(format!("{names:?}")) }
        })
        .await
    }
}

/// Returns the servers that the meta leader lists, itself included; `None` if `server` is not the leader. Since 2.15
/// followers list servers as well.
fn members(meta_cluster: &Value, server: &str) -> Option<Vec<String>> {
    if meta_cluster["leader"] != server {
        return None;
    }
    let replicas = meta_cluster["replicas"].as_array()?.iter().map(|replica| replica["name"].as_str());
    replicas.chain([Some(server)]).map(|name| name.map(ToOwned::to_owned)).collect()
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn servers_that_no_manager_added_join_the_meta_group() {
    real(async |world| {
        let manager = world.manager().await;
        world.create(json!({"cluster": {"size": 3}})).await;
        world.state_becomes("Ready").await;
        manager.terminate().await.unwrap();

        world.scale_stateful_set(5).await;
        world.servers_are_ready(5, &[]).await;
        world.meta_group_has(5).await;
        world.slow_down(4).await;
        world.add_foreign_server(NatsVersion::selected().unwrap()).await;
        let names = world.meta_group_has(6).await;
        assert!(names.iter().any(|name| name == FOREIGN), "{names:?}");
        world.speed_up(4).await;
        world.remove_foreign_server().await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn servers_run_the_version_of_their_image() {
    let versions = [NatsVersion::V2_14_10, NatsVersion::V2_15_3];
    real_with(&versions, async |world| {
        for version in versions {
            let manager = world.manager_with(&ManagerOptions::with_nats(version)).await;
            world.create(json!({"cluster": {"size": 1}})).await;
            world.state_becomes("Ready").await;
            let varz = world.monitor(&world.pod(&World::server(0)).await, "/varz").await;
            assert_eq!(varz["version"], version.number());
            manager.terminate().await.unwrap();
            world.clean().await;
        }
    });
}
