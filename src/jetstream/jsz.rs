//! The text of `/jsz`, as far as it matters.

use nats_manager_api::Bytes;
use serde::Deserialize;

use super::look::{Consumer, Group, Peer, Server, Store, Stream};

/// Reads an answer.
pub(super) fn read(body: &[u8]) -> Result<Server, serde_json::Error> {
    serde_json::from_slice::<Jsz>(body).map(Server::from)
}

/// `server/monitor.go`, `JSInfo`. What is false, empty or 0 is left out by the server.
#[derive(Deserialize)]
struct Jsz {
    server_id: String,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    config: Config,
    #[serde(default)]
    memory: u64,
    #[serde(default)]
    storage: u64,
    #[serde(default)]
    reserved_memory: u64,
    #[serde(default)]
    reserved_storage: u64,
    meta_cluster: Option<Cluster>,
    #[serde(default)]
    account_details: Vec<Account>,
}

/// -1 is no limit.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    max_memory: i64,
    max_storage: i64,
}

/// Of the meta group, of a stream or of a consumer.
#[derive(Deserialize)]
struct Cluster {
    #[serde(default)]
    leader: String,
    #[serde(rename = "cluster_size")]
    size: Option<u32>,
    #[serde(default)]
    replicas: Vec<Replica>,
}

#[derive(Deserialize)]
struct Replica {
    name: String,
    #[serde(default)]
    current: bool,
    #[serde(default)]
    offline: bool,
    #[serde(default)]
    lag: u64,
}

#[derive(Deserialize)]
struct Account {
    name: String,
    #[serde(default)]
    stream_detail: Vec<StreamDetail>,
}

#[derive(Deserialize)]
struct StreamDetail {
    name: String,
    cluster: Option<Cluster>,
    config: StreamConfig,
    #[serde(default)]
    state: State,
    #[serde(default)]
    consumer_detail: Vec<ConsumerDetail>,
}

#[derive(Deserialize)]
struct StreamConfig {
    #[serde(default)]
    storage: String,
    #[serde(default)]
    num_replicas: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    bytes: u64,
    consumer_count: u64,
}

#[derive(Deserialize)]
struct ConsumerDetail {
    name: String,
    cluster: Option<Cluster>,
}

impl From<Jsz> for Server {
    fn from(jsz: Jsz) -> Self {
        let store = |used, reserved, limit: i64| Store {
            used: Bytes::new(used),
            reserved: Bytes::new(reserved),
            limit: Bytes::new(u64::try_from(limit).unwrap_or(0)),
        };
        Self {
            id: jsz.server_id,
            disabled: jsz.disabled,
            file: store(jsz.storage, jsz.reserved_storage, jsz.config.max_storage),
            memory: store(jsz.memory, jsz.reserved_memory, jsz.config.max_memory),
            meta: jsz.meta_cluster.map(Group::from),
            streams: jsz.account_details.into_iter().flat_map(streams).collect(),
        }
    }
}

fn streams(account: Account) -> impl Iterator<Item = Stream> {
    account.stream_detail.into_iter().map(move |detail| Stream {
        account: account.name.clone(),
        name: detail.name,
        replicas: detail.config.num_replicas.max(1),
        in_memory: detail.config.storage == "memory",
        size: Bytes::new(detail.state.bytes),
        group: detail.cluster.map(Group::from),
        consumers: detail
            .consumer_detail
            .into_iter()
            .map(|consumer| Consumer { name: consumer.name, group: consumer.cluster.map(Group::from) })
            .collect(),
        consumer_count: detail.state.consumer_count,
    })
}

impl From<Cluster> for Group {
    fn from(cluster: Cluster) -> Self {
        let peer = |replica: Replica| Peer {
            name: replica.name,
            current: replica.current,
            offline: replica.offline,
            lag: replica.lag,
        };
        Self {
            leader: Some(cluster.leader).filter(|leader| !leader.is_empty()),
            size: cluster.size,
            peers: cluster.replicas.into_iter().map(peer).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_of_a_follower_is_read() {
        let body = json!({
            "server_id": "NA", "memory": 1, "storage": 205, "reserved_storage": 7,
            "config": {"max_memory": 1_048_576, "max_storage": 1_073_741_824, "store_dir": "/data/jetstream"},
            "meta_cluster": {"name": "c", "leader": "n-1", "peer": "JomJ25Oa", "cluster_size": 3},
            "account_details": [{"name": "$G", "reserved_storage": 18_446_744_073_709_551_615_u64, "stream_detail": [{
                "name": "sap",
                "cluster": {"leader": "n-0", "replicas": [
                    {"name": "n-1", "current": true, "active": 47_344_760},
                    {"name": "n-2", "current": false, "offline": true, "lag": 14},
                ]},
                "config": {"name": "sap", "storage": "file", "num_replicas": 3},
                "state": {"messages": 5, "bytes": 205, "consumer_count": 1},
                "consumer_detail": [{"name": "c1", "cluster": {"leader": "n-2"}}],
            }]}],
        });
        let peer = |name: &str, current, offline, lag| Peer { name: name.to_owned(), current, offline, lag };
        let group = |leader: &str| Group { leader: Some(leader.to_owned()), ..Group::default() };
        let expected = Server {
            id: "NA".to_owned(),
            disabled: false,
            file: Store { used: Bytes::new(205), reserved: Bytes::new(7), limit: Bytes::gibi(1) },
            memory: Store { used: Bytes::new(1), reserved: Bytes::new(0), limit: Bytes::mebi(1) },
            meta: Some(Group { size: Some(3), ..group("n-1") }),
            streams: vec![Stream {
                account: "$G".to_owned(),
                name: "sap".to_owned(),
                replicas: 3,
                in_memory: false,
                size: Bytes::new(205),
                group: Some(Group {
                    peers: vec![peer("n-1", true, false, 0), peer("n-2", false, true, 14)],
                    ..group("n-0")
                }),
                consumers: vec![Consumer { name: "c1".to_owned(), group: Some(group("n-2")) }],
                consumer_count: 1,
            }],
        };
        assert_eq!(read(body.to_string().as_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_server_without_jetstream_says_so() {
        let server = read(br#"{"server_id": "NA", "disabled": true, "config": {"max_memory": 0, "max_storage": 0}}"#);
        assert_eq!(server.unwrap(), Server { id: "NA".to_owned(), disabled: true, ..Server::default() });
    }
}
