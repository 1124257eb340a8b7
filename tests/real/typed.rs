//! Commands of the documentation, as a user types them.

use nats_manager_harness::{Background, Shell, Tool, documented};

use crate::world::World;

/// At a shell that has kubectl and the NATS command line.
pub struct User {
    shell: Shell,
    /// One at a time: all are of one local port.
    forward: Option<Background>,
}

impl User {
    pub async fn new(world: &World<'_>) -> Self {
        let shell = Shell::new(world.cluster);
        shell.has(&Tool::NatsCli.path().await.unwrap());
        Self { shell, forward: None }
    }

    /// Types what must work, each line of it; what it printed. A port that is forwarded in the background stays so.
    pub async fn types(&mut self, commands: &str) -> String {
        let (before, last) = commands.rsplit_once('\n').unwrap_or(("", commands));
        let Some(forward) = last.strip_suffix(" &") else {
            return self.shell.done(&format!("set -e\n{commands}")).await;
        };
        let printed = self.shell.done(&format!("set -e\n{before}")).await;
        self.forward = None;
        self.forward = Some(self.shell.start(forward, "Forwarding from").await);
        printed
    }

    /// Types the blocks of a page, one after the other.
    pub async fn follows(&mut self, page: &str, mark: &str) -> String {
        let mut printed = String::new();
        for block in documented::blocks(page, mark) {
            printed += &self.types(&block.text).await;
        }
        printed
    }
}
