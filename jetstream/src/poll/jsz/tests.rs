use nats_manager_planner::snapshot::{
    Peer, PeerId, RaftGroup, ServerSnapshot, StoreUsage, StreamId, StreamLimits, StreamReplica,
};
use serde_json::{Value, json};

use super::parse;

fn parsed(body: &Value) -> Result<ServerSnapshot, String> {
    parse(body.to_string().as_bytes()).map_err(|error| error.to_string())
}

fn recorded(body: &str) -> ServerSnapshot {
    parse(body.as_bytes()).unwrap()
}

fn group(leader: &str, size: Option<u32>, peers: &[Peer]) -> RaftGroup {
    RaftGroup { leader: Some(leader.to_owned()), size, peers: peers.to_vec() }
}

fn peer(name: &str, current: bool) -> Peer {
    Peer { name: name.to_owned(), id: PeerId::of(name), current, ..Peer::default() }
}

fn stream(name: &str, replicas: u32, group: Option<RaftGroup>) -> StreamReplica {
    StreamReplica { stream: StreamId::new("$G", name), replicas, group, ..StreamReplica::default() }
}

fn unnamed(id: &str) -> Peer {
    let name = format!("Server name unknown at this time (peerID: {id})");
    Peer { name, id: PeerId(id.to_owned()), offline: true, ..Peer::default() }
}

/// Recorded answers of three servers n-0 to n-2, with a stream of three replicas and one of one replica.
#[test]
fn recorded_answers_are_parsed() {
    let file = |used| StoreUsage { used, reserved: 0, limit: 1 << 30 };
    let memory = StoreUsage { used: 0, reserved: 0, limit: 64 << 20 };
    let messages =
        |replica: StreamReplica| StreamReplica { bytes: 165, messages: 5, last_seq: 5, consumers: 1, ..replica };

    let server = recorded(include_str!("recorded/2.14.2-forgotten-peer.json"));
    let peers = [unnamed("L2hpLS7X"), peer("n-1", true)];
    assert_eq!((server.file, server.memory), (file(165), memory));
    assert_eq!(server.meta, Some(group("n-0", Some(3), &peers)));
    assert_eq!(server.streams, [messages(stream("r3", 3, Some(group("n-1", None, &peers))))]);

    let server = recorded(include_str!("recorded/2.14.10-follower.json"));
    assert_eq!(server.meta, Some(group("n-2", Some(3), &[])), "followers of 2.14 list no peers");
    let r1 = StreamReplica { in_memory: true, ..stream("r1", 1, Some(group("n-1", None, &[]))) };
    let r3 = stream("r3", 3, Some(group("n-0", None, &[peer("n-0", true), peer("n-2", false)])));
    assert_eq!(server.streams, [r1, messages(r3)], "one replica has no Raft group and is led by its server");

    let server = recorded(include_str!("recorded/2.15.3-moving.json"));
    let peers = [peer("n-1", true), peer("n-2", false)];
    assert_eq!(server.meta, Some(group("n-1", Some(3), &peers)), "followers of 2.15 list peers");
    let coming = Peer { pending: true, ..peer("n-1", false) };
    let big = StreamReplica {
        bytes: 150_049_500,
        messages: 1500,
        last_seq: 1500,
        moving: true,
        ..stream("big", 1, Some(group("n-0", None, &[coming])))
    };
    let r3 = messages(stream("r3", 3, Some(group("n-1", None, &peers))));
    assert_eq!(server.streams, [big, r3]);

    let server = recorded(include_str!("recorded/2.14.2-standalone.json"));
    assert_eq!((server.meta, server.streams), (None, vec![stream("r1", 1, None)]));
}

#[test]
fn limits_count_only_where_new_messages_are_discarded() {
    for (config, bytes, messages) in [
        (json!({"discard": "new", "max_bytes": 734_003_200, "max_msgs": -1}), 734_003_200, 0),
        (json!({"discard": "new", "max_bytes": -1, "max_msgs": 1000}), 0, 1000),
        (json!({"discard": "old", "max_bytes": 734_003_200, "max_msgs": 1000}), 0, 0),
        (json!({}), 0, 0),
    ] {
        let stream = json!({"name": "sap", "config": config, "state": {"messages": 7, "bytes": 700}});
        let account = json!({"name": "$G", "stream_detail": [stream]});
        let body = json!({"server_id": "NA", "account_details": [account], "total": 1});
        let replica = parsed(&body).unwrap().streams.remove(0);
        assert_eq!((replica.limits, replica.messages), (StreamLimits { bytes, messages }, 7), "{config}");
    }
}

#[test]
fn server_without_jetstream_is_disabled() {
    let body = json!({"server_id": "NA", "disabled": true, "config": {"max_memory": 0, "max_storage": 0}, "total": 0});
    let expected = ServerSnapshot { id: "NA".to_owned(), disabled: true, ..ServerSnapshot::default() };
    assert_eq!(parsed(&body), Ok(expected));
}

#[test]
fn placeholder_name_without_peer_field_has_the_id_of_its_text() {
    for (name, id) in [
        ("Server name unknown at this time (peerID: L2hpLS7X)", "L2hpLS7X"),
        ("n-2", ""),
        ("Server name unknown at this time (peerID: L2hpLS7X", ""),
    ] {
        let body = json!({"server_id": "NA", "meta_cluster": {"leader": "n-0", "replicas": [{"name": name}]}});
        let meta = parsed(&body).unwrap().meta.unwrap();
        assert_eq!((meta.peers[0].name.as_str(), meta.peers[0].id.0.as_str()), (name, id));
    }
}

#[test]
fn group_without_raft_node_is_that_of_a_single_replica() {
    let body = |replicas: u32| {
        let stream = json!({"name": "s", "cluster": {"leader": "n-0"}, "config": {"num_replicas": replicas}});
        let account = json!({"name": "orders", "id": "ACCOUNT", "stream_detail": [stream]});
        json!({"server_id": "NA", "meta_cluster": {"leader": "n-0"}, "account_details": [account], "total": 1})
    };
    let [one, three] = [1, 3].map(|replicas| parsed(&body(replicas)).unwrap().streams.remove(0));
    assert_eq!(one.group, Some(group("n-0", None, &[])));
    assert_eq!(three.group, None, "the group has not started, so the server names itself");
    assert_eq!(one.stream, StreamId::new("ACCOUNT", "s"), "requests name an account by its id");
}

#[test]
fn unusable_answers_have_a_cause() {
    let stream = json!({"name": "s", "config": {"num_replicas": 1}});
    let account = |streams: &Value| json!({"name": "$G", "stream_detail": streams});
    let accounts = |accounts: Value| json!({"server_id": "NA", "account_details": accounts});
    let with = |key: &str, value: Value| {
        let mut body = json!({"server_id": "NA"});
        body[key] = value;
        body
    };
    let many: Vec<Value> = (0..=20_000).map(|index| json!({"name": format!("s{index}"), "config": {}})).collect();
    let long = json!([{"name": "s".repeat(5 << 20), "config": {}}]);
    let peers: Vec<Value> = (0..300).map(|index| json!({"name": format!("n-{index}")})).collect();
    for (cause, body) in [
        ("it has no server_id", json!({})),
        ("it has no server_id", json!({"server_id": ""})),
        ("invalid type: integer `1`, expected a string", json!({"server_id": 1})),
        ("invalid type: sequence, expected an object", json!([])),
        ("invalid type: string \"no\", expected an object", json!("no")),
        ("invalid type: string \"3\", expected u64", with("storage", json!("3"))),
        ("invalid value: integer `-1`, expected u64", with("storage", json!(-1))),
        ("invalid type: map, expected an array", accounts(json!({}))),
        ("missing field `name`", accounts(json!([{"stream_detail": []}]))),
        ("missing field `config`", accounts(json!([account(&json!([{"name": "s"}]))]))),
        ("missing field `name`", accounts(json!([account(&json!([{"name": "", "config": {}}]))]))),
        ("it lists a stream twice", accounts(json!([account(&json!([stream, stream]))]))),
        ("it counts streams and lists none", with("streams", json!(3))),
        ("it does not list all accounts", with("total", json!(2))),
        (
            "JetStream is disabled and has streams",
            json!({"server_id": "NA", "disabled": true, "account_details": [account(&json!([stream]))]}),
        ),
        ("it has more than 20000 streams", accounts(json!([account(&json!(many))]))),
        ("an element is longer than 4194304 bytes", accounts(json!([account(&long)]))),
        ("an array has more than 256 elements", with("meta_cluster", json!({"leader": "n-0", "replicas": peers}))),
    ] {
        assert_eq!(parsed(&body), Err(format!("no usable answer: {cause}")));
    }
}

#[test]
fn malformed_answers_have_a_cause() {
    let nested = format!(r#"{{"config": {}"#, r#"{"max_memory": "#.repeat(200));
    let deep = format!(r#"{{"meta_cluster": {}"#, r#"{"replicas": [{"name": "#.repeat(100));
    for (cause, body) in [
        ("EOF while parsing a value", ""),
        ("EOF while parsing an object", r#"{"server_id": "NA""#),
        ("EOF while parsing a list", r#"{"server_id": "NA", "account_details": ["#),
        ("expected value", "<html>404</html>"),
        ("trailing characters", r#"{"server_id": "NA"} {"server_id": "NB"}"#),
        ("invalid type: map, expected i64", &nested),
        ("invalid type: map, expected a string", &deep),
        ("EOF while parsing a list", &format!(r#"{{"other": {}"#, "[".repeat(100_000))),
    ] {
        let error = parse(body.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, format!("no usable answer: {cause}"), "{body:.60}");
    }
}

#[test]
fn consumers_are_skipped() {
    let consumers: Vec<Value> = (0..100).map(|index| json!({"name": format!("c{index}"), "cluster": {}})).collect();
    let stream = json!({"name": "s", "config": {}, "state": {"consumer_count": 100}, "consumer_detail": consumers});
    let body = json!({"server_id": "NA", "account_details": [{"name": "$G", "stream_detail": [stream]}]});
    assert_eq!(parsed(&body).unwrap().streams, [StreamReplica { consumers: 100, ..stream_s() }]);
}

fn stream_s() -> StreamReplica {
    stream("s", 1, None)
}
