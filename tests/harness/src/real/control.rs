//! Control of the nodes: stop and start, images, link limits.

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

const RESPONSE_TIMEOUT: Duration = Duration::from_mins(1);

impl RealCluster {
    /// Names of the nodes. node-a is in zone-a, node-b in zone-b, node-c in zone-c.
    pub const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];

    /// Stops a node as a power failure does: its kubelet and every container at once. Kubernetes reports the node as
    /// not ready after 20 s and evicts its pods 30 s later.
    pub async fn stop_node(&self, node: &str) -> Result<()> {
        self.request("stop-node", node).await
    }

    /// Starts a stopped node; no effect on a running one. Its pods start again, with their volumes.
    pub async fn start_node(&self, node: &str) -> Result<()> {
        self.request("start-node", node).await
    }

    /// Loads an image from an OCI archive into every running node. Nodes pull no images.
    pub async fn load_image(&self, archive: &Path) -> Result<()> {
        self.request("load-image", &archive.to_string_lossy()).await
    }

    /// Loads the image of a NATS server, [`NatsVersion::image`], into every running node. Fails in the network of the
    /// nodes if the server is not built yet: build it outside, with [`Tool::path`](crate::Tool::path).
    pub async fn load_nats_server(&self, version: NatsVersion) -> Result<()> {
        let program = Tool::NatsServer(version).path().await?;
        self.request("load-nats-server", &format!("{version} {}", program.display())).await
    }

    /// Limits the traffic that the pods of a node receive from other nodes, in bits per second, until
    /// [`RealCluster::unlimit_link`]. Outgoing traffic is not limited. The node must have had a pod.
    pub async fn limit_link(&self, node: &str, bits_per_second: u32) -> Result<()> {
        self.request("limit-link", &format!("{node} {}", bits_per_second.div_ceil(8))).await
    }

    /// Removes the limit of a node's link; no effect without a limit.
    pub async fn unlimit_link(&self, node: &str) -> Result<()> {
        self.request("limit-link", &format!("{node} 0")).await
    }

    async fn request(&self, verb: &str, object: &str) -> Result<()> {
        let path = &self.network.control;
        let exchange = async {
            let mut stream = UnixStream::connect(path).await?;
            stream.write_all(format!("{verb} {object}\n").as_bytes()).await?;
            let mut response = String::new();
            BufReader::new(stream).read_line(&mut response).await?;
            std::io::Result::Ok(response)
        };
        match timeout(RESPONSE_TIMEOUT, exchange).await {
            Ok(Ok(response)) if response.trim() == "ok" => Ok(()),
            Ok(Ok(response)) => Err(Error::Node(format!("{verb} {object}: {}", response.trim()))),
            Ok(Err(source)) => Err(Error::io(path.display())(source)),
            Err(_) => Err(Error::Node(format!("{verb} {object}: no response within {RESPONSE_TIMEOUT:?}"))),
        }
    }
}
