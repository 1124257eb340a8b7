//! Documented commands, run as a user types them.

use nats_manager_harness::{Background, Shell, Tool, documented};

use crate::world::World;

/// User at a shell with kubectl and the NATS command line.
pub struct User {
    shell: Shell,
    /// Current port-forward: only one at a time, since all of them use the same local port.
    forward: Option<Background>,
}

impl User {
    pub async fn new(world: &World<'_>) -> Self {
        let shell = Shell::new(world.cluster);
        shell.has(&Tool::NatsCli.path().await.unwrap());
        Self { shell, forward: None }
    }

    /// Runs commands, each of which must succeed, and returns their output. A port-forward in the background keeps
    /// running.
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

    /// Runs commands, which must fail, and returns their output.
    pub async fn fails(&self, commands: &str) -> String {
        self.shell.refused(commands).await
    }

    /// Runs the blocks of a page that have the mark, in their order, and returns their output.
    pub async fn follows(&mut self, page: &str, mark: &str) -> String {
        let mut printed = String::new();
        for block in documented::blocks(page, mark) {
            printed += &self.types(&block.text).await;
        }
        printed
    }
}
