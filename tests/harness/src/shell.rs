//! A shell in which `kubectl` is the cluster's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "what tests share is a test too")]

use std::{os::unix::fs::PermissionsExt, path::Path};

use crate::LocalCluster;
use tempfile::TempDir;
use tokio::process::Command;

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

    /// Where its commands run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a script.
    pub async fn run(&self, script: &str) -> Said {
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{script}")])
            .current_dir(self.folder.path())
            .env("PATH", &self.path)
            .env("HOME", self.folder.path())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        Said { code: output.status.code(), text: String::from_utf8(output.stdout).unwrap() }
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
