use super::*;
use crate::jetstream::{Consumer, Peer, Silence, Stream};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("n-{index}")).collect()
}

fn peer(name: &str, current: bool) -> Peer {
    Peer { name: name.to_owned(), current, ..Peer::default() }
}

fn group(leader: Option<&str>, peers: &[Peer]) -> Group {
    Group { leader: leader.map(str::to_owned), size: None, peers: peers.to_vec() }
}

/// Three servers: `n-0` leads everything, the followers see each other as not current.
fn whole() -> Look {
    let view = |own: &str| {
        let peers: Vec<Peer> = ["n-0", "n-1", "n-2"]
            .iter()
            .filter(|name| **name != own)
            .map(|name| peer(name, own == "n-0" || *name == "n-0"))
            .collect();
        let all = group(Some("n-0"), &peers);
        let stream = Stream {
            account: "$G".to_owned(),
            name: "sap".to_owned(),
            group: Some(all.clone()),
            consumers: vec![Consumer { name: "c".to_owned(), group: Some(all.clone()) }],
            ..Stream::default()
        };
        let meta = if own == "n-0" { all } else { group(Some("n-0"), &[]) };
        Ok(Server { meta: Some(meta), streams: vec![stream], ..Server::default() })
    };
    Look { servers: names(3).into_iter().map(|name| (name.clone(), view(&name))).collect() }
}

fn with(change: impl Fn(&mut BTreeMap<String, Result<Server, Silence>>)) -> Look {
    let mut look = whole();
    change(&mut look.servers);
    look
}

fn server<'a>(servers: &'a mut BTreeMap<String, Result<Server, Silence>>, name: &str) -> &'a mut Server {
    servers.get_mut(name).unwrap().as_mut().unwrap()
}

#[test]
fn a_whole_cluster_lacks_nothing() {
    assert_eq!(lacks(&whole(), &names(3)), []);
    assert!(has_quorum(&whole(), &names(3)));
    assert_eq!(summary(&[]), None);
}

#[test]
fn a_single_server_is_whole_when_it_answers() {
    let look = Look { servers: [("n-0".to_owned(), Ok(Server::default()))].into() };
    assert_eq!(lacks(&look, &names(1)), []);
    assert!(has_quorum(&look, &names(1)));
}

#[test]
fn what_lacks_is_named() {
    let silent = || Err(Silence("no route".to_owned()));
    for (expected, quorum, look) in [
        ("n-1 does not answer", true, with(|servers| _ = servers.insert("n-1".to_owned(), silent()))),
        ("n-1 does not answer", true, with(|servers| _ = servers.remove("n-1"))),
        (
            "n-2 has switched JetStream off, mostly since its volume was full",
            true,
            with(|servers| server(servers, "n-2").disabled = true),
        ),
        (
            "n-2 is starting: it knows no meta leader yet",
            true,
            with(|servers| *server(servers, "n-2") = Server::default()),
        ),
        (
            "n-2 is starting: it knows no meta leader yet",
            true,
            with(|servers| server(servers, "n-2").meta = Some(group(None, &[]))),
        ),
        (
            "JetStream has no meta leader",
            false,
            with(|servers| names(3).iter().for_each(|name| server(servers, name).meta = Some(group(None, &[])))),
        ),
        (
            "n-2 is not part of JetStream's meta group",
            true,
            with(|servers| server(servers, "n-0").meta = Some(group(Some("n-0"), &[peer("n-1", true)]))),
        ),
        (
            "n-1 is not current with the meta leader",
            true,
            with(|servers| {
                server(servers, "n-0").meta = Some(group(Some("n-0"), &[peer("n-1", false), peer("n-2", true)]));
            }),
        ),
        (
            "n-3 is not current with the meta leader",
            true,
            with(|servers| {
                let peers = [peer("n-1", true), peer("n-2", true), peer("n-3", true)];
                server(servers, "n-0").meta = Some(group(Some("n-0"), &peers));
            }),
        ),
        (
            "stream sap has no leader",
            true,
            with(|servers| {
                for name in names(3) {
                    server(servers, &name).streams[0].group = Some(group(None, &[]));
                }
            }),
        ),
        (
            "stream sap: the copy on n-1 is not current",
            true,
            with(|servers| {
                let behind = Peer { lag: 14, ..peer("n-1", false) };
                server(servers, "n-0").streams[0].group = Some(group(Some("n-0"), &[behind, peer("n-2", true)]));
            }),
        ),
        (
            "consumer c of stream sap: the copy on n-1 is not current",
            true,
            with(|servers| {
                let peers = [peer("n-1", false), peer("n-2", true)];
                server(servers, "n-0").streams[0].consumers[0].group = Some(group(Some("n-0"), &peers));
            }),
        ),
    ] {
        assert_eq!(summary(&lacks(&look, &names(3))).as_deref(), Some(expected));
        assert_eq!(has_quorum(&look, &names(3)), quorum, "{expected}");
    }
}

#[test]
fn two_of_three_silent_servers_are_too_many() {
    let look = with(|servers| {
        servers.insert("n-1".to_owned(), Err(Silence("no route".to_owned())));
        servers.insert("n-2".to_owned(), Err(Silence("no route".to_owned())));
    });
    assert!(!has_quorum(&look, &names(3)));
}

#[test]
fn servers_that_start_are_no_majority() {
    let look = with(|servers| ["n-1", "n-2"].iter().for_each(|name| *server(servers, name) = Server::default()));
    assert!(!has_quorum(&look, &names(3)));
    let said = summary(&lacks(&look, &names(3))).unwrap();
    assert!(said.contains("n-1 is starting") && said.contains("n-2 is starting"), "{said}");
}

#[test]
fn a_summary_is_short() {
    let all: Vec<Lack> = names(9).into_iter().map(|server| Lack::Disabled { server }).collect();
    let text = summary(&all).unwrap();
    assert!(text.ends_with("; and 6 more"), "{text}");
}
