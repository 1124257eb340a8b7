//! The commands of the user documentation, from the installation to the removal, as a new user types them.

use nats_manager_harness::{RealCluster, Shell};

use super::{
    artifact::{Artifact, build_image},
    nothing_is_left,
};
use crate::world::real;

/// Where the documentation takes the artifacts from; here they are those of this checkout.
const RELEASES: &str = "https://github.com/kyma-project/nats-manager/releases/latest/download/";
/// A block that is run has this before it.
const MARK: &str = "<!-- run -->";

#[test]
fn the_documented_commands_install_show_change_and_remove_it() {
    if RealCluster::available().is_ok() {
        build_image();
    }
    real(async |world| {
        let artifact = Artifact::new(world).await;
        artifact.prune(&world.client).await;
        let shell = Shell::new(world.cluster);
        let folder = artifact.manifest.parent().unwrap().display();
        let run = async |blocks: Vec<String>| {
            for block in blocks {
                let script = block.replace(RELEASES, &format!("{folder}/"));
                let said = shell.run(&format!("set -e\n{script}")).await;
                assert_eq!(said.code, Some(0), "{block}\n{}", said.text);
            }
        };
        let mut install = blocks("install.md");
        let removal = install.split_off(install.len() - 1);
        assert_eq!((install.len(), removal.len()), (3, 1));
        run(install).await;
        for page in ["access.md", "troubleshooting.md"] {
            let blocks = blocks(page);
            assert!(blocks.len() >= 2, "{page}: {}", blocks.len());
            run(blocks).await;
        }
        run(removal).await;
        nothing_is_left(world).await;
    });
}

/// The blocks of a page that are run, without their indentation.
fn blocks(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(format!("{}/docs/user/{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let parts = text.split(MARK).skip(1);
    parts
        .map(|part| {
            let lines = part.lines().map(str::trim).skip_while(|line| *line != "```sh").skip(1);
            lines.take_while(|line| *line != "```").collect::<Vec<_>>().join("\n")
        })
        .collect()
}
