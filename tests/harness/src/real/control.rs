//! Power for the nodes, on and off; images for them.

use std::{path::Path, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

use super::RealCluster;
use crate::{
    error::{Error, Result},
    tools::Tool,
    version::NatsVersion,
};

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

    /// Gives every node that runs the image of a NATS server, [`NatsVersion::image`]. Fails in the network of the nodes
    /// if the server is not built yet: build it outside, by [`Tool::path`](crate::Tool::path).
    pub async fn load_nats_server(&self, version: NatsVersion) -> Result<()> {
        let program = Tool::NatsServer(version).path().await?;
        self.ask("load-nats-server", &format!("{version} {}", program.display())).await
    }

    /// Limits what the pods of a node receive from other nodes, in bits per second, until [`RealCluster::unlimit_link`].
    /// Traffic that they send is not limited. The node must have had a pod.
    pub async fn limit_link(&self, node: &str, bits_per_second: u32) -> Result<()> {
        self.ask("limit-link", &format!("{node} {}", bits_per_second.div_ceil(8))).await
    }

    /// Ends the limit of a node's link; without one it has no effect.
    pub async fn unlimit_link(&self, node: &str) -> Result<()> {
        self.ask("limit-link", &format!("{node} 0")).await
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
