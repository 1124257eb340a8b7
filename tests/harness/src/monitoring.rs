//! Stand-in for the monitoring ports of NATS servers, which answers from memory. It has as many streams as a measure
//! needs. Use it to measure. Use [`NatsServer`](crate::NatsServer) for everything that NATS has an opinion on.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Port of `/jsz`, `/varz` and `/healthz` in the Pods.
const PORT: u16 = 8222;
/// Replicas of each stream.
const REPLICAS: usize = 3;

/// Contents of a healthy cluster of NATS servers.
#[derive(Clone, Debug)]
pub struct MonitoredCluster {
    /// Names of the servers. The first one leads the meta group.
    pub servers: Vec<String>,
    /// Number of streams, each with three replicas, on servers in turn.
    pub streams: usize,
    /// Number of consumers of all streams together.
    pub consumers: usize,
    /// Id of the peer of a server in Raft groups.
    pub peer_id: fn(&str) -> String,
}

/// Monitoring ports that listen until they are dropped.
#[derive(Debug)]
pub struct MonitoringPorts {
    listeners: JoinSet<()>,
    longest: Arc<AtomicUsize>,
}

/// Answers of a server, by path.
struct Answers {
    jsz: String,
    jsz_with_consumers: String,
    varz: String,
    /// Length of the longest answer to `/jsz` of all servers.
    longest: Arc<AtomicUsize>,
}

impl MonitoringPorts {
    /// Returns the length of the longest answer to `/jsz` so far, in bytes.
    pub fn longest_answer(&self) -> usize {
        self.longest.load(Ordering::Relaxed)
    }

    /// Closes the ports, so that others can listen on them at once.
    pub async fn close(mut self) {
        self.listeners.shutdown().await;
    }
}

impl MonitoredCluster {
    /// Returns the address of a server: Linux has all of 127.0.0.0/8 on loopback.
    pub fn address(server: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 10, 1).to_bits() + server)
    }

    /// Listens on the addresses of all servers.
    pub async fn serve(&self) -> io::Result<MonitoringPorts> {
        let mut listeners = JoinSet::new();
        let longest = Arc::new(AtomicUsize::new(0));
        for (index, address) in (0..self.servers.len()).zip((0..).map(Self::address)) {
            let listener = TcpListener::bind((address, PORT)).await?;
            let answers = Arc::new(Answers {
                jsz: self.jsz(index, false).to_string(),
                jsz_with_consumers: self.jsz(index, true).to_string(),
                varz: self.varz(index).to_string(),
                longest: longest.clone(),
            });
            listeners.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let answers = answers.clone();
                    // A client that breaks off is not the stand-in's failure.
                    tokio::spawn(async move { drop(answer(stream, &answers).await) });
                }
            });
        }
        Ok(MonitoringPorts { listeners, longest })
    }

    fn varz(&self, server: usize) -> Value {
        json!({"server_id": id(server), "server_name": self.servers[server], "version": "2.14.2", "config_digest": ""})
    }

    /// Returns the answer to `/jsz`, as NATS 2.14 gives it.
    fn jsz(&self, server: usize, with_consumers: bool) -> Value {
        let streams = (0..self.streams).filter_map(|stream| self.stream(stream, server, with_consumers));
        let streams: Vec<Value> = streams.collect();
        let mut meta = self.group(server, &(0..self.servers.len()).collect::<Vec<_>>());
        meta["cluster_size"] = json!(self.servers.len());
        if server != 0 {
            meta["replicas"] = json!([]);
        }
        json!({
            "server_id": id(server), "memory": 0, "storage": 165, "streams": streams.len(), "consumers": 0, "total": 1,
            "config": {"max_memory": 1 << 30, "max_storage": 1_u64 << 30, "store_dir": "/data/jetstream"},
            "meta_cluster": meta, "account_details": [{"name": "$G", "id": "$G", "stream_detail": streams}],
        })
    }

    /// Returns a stream as a server reports it; `None` if the server has no replica of it.
    fn stream(&self, stream: usize, server: usize, with_consumers: bool) -> Option<Value> {
        let count = self.servers.len();
        let members: Vec<usize> = (0..REPLICAS.min(count)).map(|replica| (stream + replica) % count).collect();
        let name = format!("stream-{stream}");
        let mut cluster = self.group(server, &members);
        cluster["raft_group"] = json!(format!("S-R3F-{stream}"));
        let consumers = self.consumers / self.streams;
        members.contains(&server).then(|| {
            let mut detail = json!({
                "name": name, "created": "2026-11-26T14:05:41.903100857Z", "cluster": cluster,
                "config": {
                    "name": name, "subjects": [name], "retention": "limits", "max_consumers": -1, "max_msgs": -1,
                    "max_bytes": -1, "max_age": 0, "max_msgs_per_subject": -1, "max_msg_size": -1, "discard": "old",
                    "storage": "file", "num_replicas": members.len(), "duplicate_window": 120_000_000_000_u64,
                    "compression": "none", "allow_direct": true, "mirror_direct": false, "sealed": false,
                    "deny_delete": false, "deny_purge": false, "allow_rollup_hdrs": false, "consumer_limits": {},
                    "allow_msg_ttl": false, "metadata": {"_nats.req.level": "0"},
                },
                "state": {
                    "messages": 5, "bytes": 165, "first_seq": 1, "first_ts": "2026-11-26T14:05:42.009516675Z",
                    "last_seq": 5, "last_ts": "2026-11-26T14:05:42.011592551Z", "num_subjects": 1,
                    "consumer_count": consumers,
                },
            });
            if with_consumers {
                detail["consumer_detail"] = (0..consumers).map(|number| consumer(&name, number)).collect();
            }
            detail
        })
    }

    /// Returns a Raft group as a member reports it. The first member leads, and lists all others as in sync.
    fn group(&self, own: usize, members: &[usize]) -> Value {
        let leader = members.first().copied().unwrap_or_default();
        let others = members.iter().filter(|member| **member != own).map(|member| {
            let name = &self.servers[*member];
            let is_current = own == leader || *member == leader;
            json!({"name": name, "current": is_current, "active": 1_000_000, "peer": (self.peer_id)(name)})
        });
        json!({"name": "c", "leader": self.servers[leader], "replicas": others.collect::<Vec<_>>()})
    }
}

fn id(server: usize) -> String {
    format!("N{server:055}")
}

/// Returns a consumer as a server reports it.
fn consumer(stream: &str, number: usize) -> Value {
    let sequences = json!({"consumer_seq": 0, "stream_seq": 0});
    json!({
        "stream_name": stream, "name": format!("consumer-{number}"), "created": "2026-11-26T14:05:42.903100857Z",
        "delivered": sequences, "ack_floor": sequences, "num_ack_pending": 0, "num_redelivered": 0, "num_waiting": 0,
        "num_pending": 5, "ts": "2026-11-26T14:05:42.903100857Z",
    })
}

async fn answer(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let request = String::from_utf8_lossy(&request);
    let target = request.split_whitespace().nth(1).unwrap_or_default();
    let body = match target.split_once('?').unwrap_or((target, "")) {
        ("/jsz", query) if query.split('&').any(|option| ["consumers=1", "consumers=true"].contains(&option)) => {
            &answers.jsz_with_consumers
        }
        ("/jsz", _) => &answers.jsz,
        ("/varz", _) => &answers.varz,
        ("/healthz", _) => r#"{"status":"ok"}"#,
        _ => "",
    };
    if target.starts_with("/jsz") {
        answers.longest.fetch_max(body.len(), Ordering::Relaxed);
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}
