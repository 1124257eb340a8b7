//! Shell whose `kubectl` uses the cluster of the test.

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

/// Time within which a background command has to print its start line.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// Shell with a temporary working folder and a `kubectl` with administrator credentials.
pub struct Shell {
    folder: TempDir,
    path: String,
}

/// Result of a command: exit code and output.
#[derive(Debug, PartialEq, Eq)]
pub struct CommandOutput {
    /// Exit code; `None` if a signal ended the command.
    pub code: Option<i32>,
    /// Standard output and standard error, interleaved.
    pub text: String,
}

/// Command that runs in the background; killed when dropped.
pub struct Background {
    _child: Child,
    // Kept open: the next line would end the command with SIGPIPE.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    /// Creates a shell for a cluster.
    pub fn new(cluster: &LocalCluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let command = cluster.kubectl();
        let program_and_args = std::iter::once(command.as_std().get_program()).chain(command.as_std().get_args());
        let quoted: Vec<String> =
            program_and_args.map(|argument| format!("'{}'", argument.to_str().unwrap())).collect();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let kubeconfig = cluster.kubeconfig().display();
        let script = format!("#!/bin/sh\nKUBECONFIG='{kubeconfig}' exec {} \"$@\"\n", quoted.join(" "));
        std::fs::write(bin.join("kubectl"), script).unwrap();
        std::fs::set_permissions(bin.join("kubectl"), PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        Self { folder, path }
    }

    /// Adds a program to `PATH` under the name of its file.
    pub fn has(&self, program: &Path) {
        symlink(program, self.folder.path().join("bin").join(program.file_name().unwrap())).unwrap();
    }

    /// Returns the working folder of the commands.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a script and waits for its end.
    pub async fn run(&self, script: &str) -> CommandOutput {
        let output = self.command(script).output().await.unwrap();
        CommandOutput { code: output.status.code(), text: String::from_utf8(output.stdout).unwrap() }
    }

    /// Starts a command in the background and waits until it prints a line that contains `start_line`.
    pub async fn start(&self, command: &str, start_line: &str) -> Background {
        // Without `exec` a kill would reach the shell only, and the command would keep running.
        let mut child = self.command(&format!("exec {command}")).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let started = timeout(STARTS_WITHIN, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains(start_line) {
                    return;
                }
                eprintln!("{line}");
            }
            panic!("{command} ended before it printed {start_line}");
        });
        started.await.unwrap_or_else(|_| panic!("{command} did not print {start_line} within {STARTS_WITHIN:?}"));
        Background { _child: child, _output: lines }
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

    /// Runs a script that must succeed and returns its output.
    pub async fn done(&self, script: &str) -> String {
        let output = self.run(script).await;
        assert_eq!(output.code, Some(0), "{script}\n{}", output.text);
        output.text
    }

    /// Runs a script that must fail and returns its output.
    pub async fn refused(&self, script: &str) -> String {
        let output = self.run(script).await;
        assert_ne!(output.code, Some(0), "{script}\n{}", output.text);
        output.text
    }
}
