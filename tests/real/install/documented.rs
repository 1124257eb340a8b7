//! Commands of the user documentation, from the installation to the removal, as a new user types them.

use nats_manager_harness::{RealCluster, documented};

use super::{
    artifact::{Artifact, build_image},
    nothing_is_left,
};
use crate::{
    typed::User,
    world::{World, real},
};

/// Pages with commands for a cluster that serves Eventing.
const PAGES: [&str; 11] = [
    "01-10-access-nats-server.md",
    "conditions.md",
    "configure.md",
    "high-availability.md",
    "metrics.md",
    "storage.md",
    "troubleshooting/03-05-nats-troubleshooting.md",
    "troubleshooting/03-10-fix-pending-events.md",
    "troubleshooting/manager-not-working.md",
    "troubleshooting/not-ready.md",
    "upgrades.md",
];

/// Folder in which a checkout builds the artifacts.
const BUILT: &str = "target/release-manifests/";

#[test]
fn documented_commands_install_show_change_and_remove_the_module() {
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
        follow(&mut user, &artifact, "docs/user/uninstall.md", "run: remove").await;
        nothing_is_left(world).await;
    });
}

/// Runs the blocks of a page that have the mark, with the artifacts of this checkout.
pub(super) async fn follow(user: &mut User, artifact: &Artifact, page: &str, mark: &str) {
    let folder = format!("{}/", artifact.manifest.parent().unwrap().display());
    for block in documented::blocks(page, mark) {
        user.types(&block.text.replace(BUILT, &folder)).await;
    }
}

/// Creates the stream that Eventing creates, which the documented commands show.
async fn serves_eventing(world: &World<'_>) {
    world.make_stream(3).await;
    world.stream_is_in_sync(3).await;
}
