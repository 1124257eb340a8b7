//! The commands of the user documentation, from the installation to the removal, as a new user types them.

use nats_manager_harness::{RealCluster, documented};

use super::{
    artifact::{Artifact, build_image},
    nothing_is_left,
};
use crate::{
    typed::User,
    world::{World, real},
};

/// What they say of a cluster that serves Eventing.
const PAGES: [&str; 7] = [
    "access.md",
    "high-availability.md",
    "metrics.md",
    "storage.md",
    "takeover.md",
    "troubleshooting.md",
    "upgrades.md",
];

/// Where the documentation takes the artifacts from; here they are those of this checkout.
const RELEASES: &str = "https://github.com/kyma-project/nats-manager/releases/latest/download/";
/// Where they are made by who has a checkout.
const MADE: &str = "target/release-manifests/";

#[test]
fn the_documented_commands_install_show_change_and_remove_it() {
    if RealCluster::available().is_ok() {
        build_image();
    }
    real(async |world| {
        let artifact = Artifact::new(world).await;
        artifact.prune(&world.client).await;
        let mut user = User::new(world).await;
        follow(&mut user, &artifact, "docs/user/install.md", "run").await;
        // A second installation changes nothing.
        follow(&mut user, &artifact, "README.md", "run").await;
        serves_eventing(world).await;
        for page in PAGES {
            follow(&mut user, &artifact, &format!("docs/user/{page}"), "run").await;
        }
        follow(&mut user, &artifact, "docs/user/install.md", "run: remove").await;
        nothing_is_left(world).await;
    });
}

/// Types the blocks of a page, with this checkout's artifacts.
pub(super) async fn follow(user: &mut User, artifact: &Artifact, page: &str, mark: &str) {
    let folder = format!("{}/", artifact.manifest.parent().unwrap().display());
    for block in documented::blocks(page, mark) {
        user.types(&block.text.replace(RELEASES, &folder).replace(MADE, &folder)).await;
    }
}

/// The stream that Eventing makes: reports are about it.
async fn serves_eventing(world: &World<'_>) {
    world.make_stream(3).await;
    world.stream_is_current(3).await;
}
