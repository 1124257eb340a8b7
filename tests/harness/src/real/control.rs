//! Power for the nodes, on and off; images for them.

use std::{path::Path, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

use super::RealCluster;
use crate::error::{Error, Result};

const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

impl RealCluster {
    /// The nodes, each in the zone of its letter.
    pub const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];

    /// Ends a node as a power cut does: its kubelet and every container at once. Kubernetes notices after 20 s, and
    /// evicts the pods after 30 s more.
    pub async fn stop_node(&self, node: &str) -> Result<()> {
        self.ask("stop-node", node).await
    }

    /// Starts a node that was stopped; one that runs stays as it is. Its pods come back, with their volumes.
    pub async fn start_node(&self, node: &str) -> Result<()> {
        self.ask("start-node", node).await
    }

    /// Gives every node that runs an image, from an OCI archive; nothing is pulled here.
    pub async fn load_image(&self, archive: &Path) -> Result<()> {
        self.ask("load-image", &archive.to_string_lossy()).await
    }

    async fn ask(&self, verb: &str, object: &str) -> Result<()> {
        let path = &self.network.control;
        let conversation = async {
            let mut stream = UnixStream::connect(path).await?;
            stream.write_all(format!("{verb} {object}\n").as_bytes()).await?;
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        match timeout(ANSWER_TIMEOUT, conversation).await {
            Ok(Ok(answer)) if answer.trim() == "ok" => Ok(()),
            Ok(Ok(answer)) => Err(Error::Node(format!("{verb} {object}: {}", answer.trim()))),
            Ok(Err(source)) => Err(Error::io(path.display())(source)),
            Err(_) => Err(Error::Node(format!("{verb} {object}: no answer within {ANSWER_TIMEOUT:?}"))),
        }
    }
}
