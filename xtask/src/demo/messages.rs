//! Messages: published to and read from the servers of real nodes, by the NATS command line.

use nats_manager_api::{ClusterDomain, NamespacedName};
use nats_manager_harness::{RealCluster, Tool};
use tokio::process::Command;

use super::{DemoError, walk::Walk};
use crate::{
    local::{LocalError, NAME, NAMESPACE},
    terminal::{heading, note, output, typed},
};

/// Commands of the tour. The last one removes the stream: the deletion guard would keep the resource for it.
const COMMANDS: [&[&str]; 4] = [
    &["stream", "add", "demo", "--subjects", "demo.>", "--replicas", "3", "--defaults"],
    &["pub", "demo.greeting", "Hello"],
    &["stream", "get", "demo", "1"],
    &["stream", "rm", "demo", "--force"],
];

impl Walk<'_> {
    /// Publishes and reads a message on real nodes. Simulated Pods run no servers.
    pub(super) async fn show_messages(&self) -> Result<(), DemoError> {
        let Some(cluster) = self.local.cluster().real() else { return Ok(()) };
        heading("a message is published and read");
        note(format!("where the URL resolves, with: nats --server {}", url()));
        for command in COMMANDS {
            typed(format!("nats {}", command.join(" ")));
            let result = nats(cluster)?.args(command).output().await.map_err(DemoError::Start)?;
            let text =
                [result.stdout, result.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
            if !result.status.success() {
                return Err(DemoError::Nats { command: command.join(" "), output: text });
            }
            output(&text);
        }
        Ok(())
    }

    /// Prints a shell function that runs the NATS command line where the URL resolves, and commands to try.
    pub(super) fn print_nats_commands(&self) -> Result<(), DemoError> {
        let Some(cluster) = self.local.cluster().real() else { return Ok(()) };
        let nats = nats(cluster)?;
        let words = std::iter::once(nats.as_std().get_program()).chain(nats.as_std().get_args());
        let words: Vec<_> = words.map(|word| quoted(&word.to_string_lossy())).collect();
        typed(format!("nats() {{ {} \"$@\"; }}", words.join(" ")));
        for command in &COMMANDS[..3] {
            typed(format!("nats {}", command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")));
        }
        Ok(())
    }
}

/// Returns the NATS command line in the network of the nodes, with the cluster's DNS and the URL of the servers.
fn nats(cluster: &RealCluster) -> Result<Command, DemoError> {
    let program = Tool::NatsCli.path_blocking().map_err(LocalError::from)?;
    let mut nats = Command::from(cluster.enter(program));
    nats.args(["--server", &url()]);
    Ok(nats)
}

fn url() -> String {
    NamespacedName::new(NAMESPACE, NAME).url(&ClusterDomain::default())
}

/// Quotes a word for a shell, if it needs quotes.
fn quoted(word: &str) -> String {
    let is_plain = word.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./:=,".contains(letter));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, expected) in [("a-b", "a-b"), ("demo.>", "'demo.>'"), ("it's", r"'it'\''s'"), ("$0", "'$0'")] {
            assert_eq!(quoted(word), expected);
        }
    }
}
