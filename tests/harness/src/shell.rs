//! A shell in which `kubectl` is the cluster's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "what tests share is a test too")]

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Stdio,
    time::Duration,
};

use crate::LocalCluster;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// A folder to work in, with a `kubectl` for the administrator.
pub struct Shell {
    folder: TempDir,
    path: String,
}

/// What a command printed, on both outputs as they come, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// The exit code; none when it was killed.
    pub code: Option<i32>,
    /// Both outputs.
    pub text: String,
}

/// A command that goes on; killed when dropped.
pub struct Background {
    _child: Child,
    // Open, or what it says next would kill it.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    /// A shell for a cluster.
    pub fn new(cluster: &LocalCluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let command = cluster.kubectl();
        let words = std::iter::once(command.as_std().get_program()).chain(command.as_std().get_args());
        let quoted: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let kubeconfig = cluster.kubeconfig().display();
        let script = format!("#!/bin/sh\nKUBECONFIG='{kubeconfig}' exec {} \"$@\"\n", quoted.join(" "));
        std::fs::write(bin.join("kubectl"), script).unwrap();
        std::fs::set_permissions(bin.join("kubectl"), PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        Self { folder, path }
    }

    /// Has a program under its own name.
    pub fn has(&self, program: &Path) {
        symlink(program, self.folder.path().join("bin").join(program.file_name().unwrap())).unwrap();
    }

    /// Where its commands run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a script.
    pub async fn run(&self, script: &str) -> Said {
        let output = self.command(script).output().await.unwrap();
        Said { code: output.status.code(), text: String::from_utf8(output.stdout).unwrap() }
    }

    /// Starts a command that goes on, and waits until a line that it prints has these words.
    pub async fn start(&self, command: &str, words: &str) -> Background {
        // Without `exec` the shell would be killed, and the command go on.
        let mut child = self.command(&format!("exec {command}")).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let started = timeout(STARTS_WITHIN, async {
            while let Some(line) = said.next_line().await.unwrap() {
                if line.contains(words) {
                    return;
                }
                eprintln!("{line}");
            }
            panic!("{command} ended before it said {words}");
        });
        started.await.unwrap_or_else(|_| panic!("{command} does not say {words}"));
        Background { _child: child, _said: said }
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("exec 2>&1\n{script}")])
            .current_dir(self.folder.path())
            .env("PATH", &self.path)
            .env("HOME", self.folder.path())
            .kill_on_drop(true);
        command
    }

    /// Runs a script that is to end well; what it printed.
    pub async fn done(&self, script: &str) -> String {
        let said = self.run(script).await;
        assert_eq!(said.code, Some(0), "{script}\n{}", said.text);
        said.text
    }

    /// Runs a script that is to fail; what it printed.
    pub async fn refused(&self, script: &str) -> String {
        let said = self.run(script).await;
        assert_ne!(said.code, Some(0), "{script}\n{}", said.text);
        said.text
    }
}
