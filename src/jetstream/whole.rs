//! What JetStream lacks: whatever makes it unwise to take another server away.

use std::collections::{BTreeMap, BTreeSet};

use super::look::{Group, Look, Server};

/// Something that is not as it should be. Its words stay the same while it lasts: causes and figures
/// are for who asks for them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Lack {
    /// No server leads the meta group: nothing can be created, and a majority may be away.
    #[error("JetStream has no meta leader")]
    MetaLeader,
    /// A server does not answer.
    #[error("{server} does not answer")]
    Silent {
        /// Which.
        server: String,
        /// Why not.
        cause: String,
    },
    /// A server switched JetStream off.
    #[error("{server} has switched JetStream off, mostly since its volume was full")]
    Disabled {
        /// Which.
        server: String,
    },
    /// A server has not joined the others yet: it may not have all of its streams back.
    #[error("{server} is starting: it knows no meta leader yet")]
    Starting {
        /// Which.
        server: String,
    },
    /// The meta group does not count a server that runs.
    #[error("{server} is not part of JetStream's meta group")]
    Missing {
        /// Which.
        server: String,
    },
    /// A server is away from the meta group, or has to catch up with it.
    #[error("{server} is not current with the meta leader")]
    Behind {
        /// Which.
        server: String,
    },
    /// No copy of a stream leads.
    #[error("stream {stream} has no leader")]
    StreamLeader {
        /// Which.
        stream: String,
    },
    /// No copy of a consumer leads.
    #[error("consumer {consumer} of stream {stream} has no leader")]
    ConsumerLeader {
        /// Its stream.
        stream: String,
        /// Which.
        consumer: String,
    },
    /// A copy has to catch up.
    #[error("{what}: the copy on {server} is not current")]
    Copy {
        /// The stream or consumer.
        what: String,
        /// Where the copy is.
        server: String,
        /// Operations to catch up with, if known.
        lag: u64,
    },
}

/// Lacks beyond these are counted in a summary.
const NAMED: usize = 3;

impl Lack {
    /// The server that it is about.
    pub fn server(&self) -> Option<&str> {
        match self {
            Self::Silent { server, .. }
            | Self::Disabled { server }
            | Self::Starting { server }
            | Self::Missing { server }
            | Self::Behind { server }
            | Self::Copy { server, .. } => Some(server),
            Self::MetaLeader | Self::StreamLeader { .. } | Self::ConsumerLeader { .. } => None,
        }
    }
}

/// The first lacks, and how many more there are. None for none.
pub fn summary(lacks: &[Lack]) -> Option<String> {
    let named: Vec<String> = lacks.iter().take(NAMED).map(ToString::to_string).collect();
    let more = lacks.len().saturating_sub(NAMED);
    let text = named.join("; ");
    (!lacks.is_empty()).then(|| if more > 0 { format!("{text}; and {more} more") } else { text })
}

/// All that `expected` servers lack to be whole.
pub fn lacks(look: &Look, expected: &[String]) -> Vec<Lack> {
    let mut all = BTreeSet::new();
    let answering: BTreeMap<&str, &Server> =
        look.servers.iter().filter_map(|(name, answer)| Some((name.as_str(), answer.as_ref().ok()?))).collect();
    let is_led = meta_group(look).is_some();
    for server in expected {
        match known(look, server, is_clustered(expected)) {
            // Where nobody leads, nobody knows a leader: that is told once.
            Err(Lack::Starting { .. }) if !is_led => {}
            Ok(_) => {}
            Err(lack) => _ = all.insert(lack),
        }
    }
    if is_clustered(expected) {
        meta_lacks(look, expected, &mut all);
    }
    copy_lacks(&answering, &mut all);
    all.into_iter().collect()
}

/// The answer of a server that can be taken for all that it holds. One that starts opens its monitoring
/// port first, then restores its streams, and joins the others last (`enableJetStream` of NATS 2.14.2):
/// until then it may have more than it shows.
pub(super) fn known<'a>(look: &'a Look, server: &str, is_clustered: bool) -> Result<&'a Server, Lack> {
    let name = server.to_owned();
    match look.servers.get(server) {
        Some(Ok(answer)) if answer.disabled => Err(Lack::Disabled { server: name }),
        Some(Ok(answer)) if is_clustered && !follows(answer, is_clustered) => Err(Lack::Starting { server: name }),
        Some(Ok(answer)) => Ok(answer),
        Some(Err(cause)) => Err(Lack::Silent { server: name, cause: cause.to_string() }),
        None => Err(Lack::Silent { server: name, cause: "its pod has no address".to_owned() }),
    }
}

/// Whether so many servers are to form a group.
pub(super) fn is_clustered(expected: &[String]) -> bool {
    expected.len() > 1
}

/// Whether it knows a meta leader, or needs none.
fn follows(server: &Server, is_clustered: bool) -> bool {
    server.meta.as_ref().map_or(!is_clustered, |meta| meta.leader.is_some())
}

/// Whether JetStream can go on: a majority of the servers that it counts knows a meta leader. While
/// a cluster grows it counts fewer than are `expected`.
pub fn has_quorum(look: &Look, expected: &[String]) -> bool {
    let answers = || look.servers.values().filter_map(|answer| answer.as_ref().ok()).filter(|server| !server.disabled);
    let following = answers().filter(|server| follows(server, is_clustered(expected))).count();
    let counted = answers().filter_map(|server| server.meta.as_ref()?.size).max();
    let counted = counted.map_or(expected.len(), |counted| expected.len().min(counted as usize));
    following > counted / 2
}

/// The meta group as its leader sees it: the only one who knows.
pub fn meta_group(look: &Look) -> Option<(&str, &Group)> {
    look.servers.iter().find_map(|(name, answer)| {
        let meta = answer.as_ref().ok()?.meta.as_ref()?;
        (meta.leader.as_ref() == Some(name)).then_some((name.as_str(), meta))
    })
}

fn meta_lacks(look: &Look, expected: &[String], all: &mut BTreeSet<Lack>) {
    let Some((leader, meta)) = meta_group(look) else {
        all.insert(Lack::MetaLeader);
        return;
    };
    for server in expected.iter().filter(|server| *server != leader) {
        match meta.peers.iter().find(|peer| peer.name == *server) {
            None => _ = all.insert(Lack::Missing { server: server.clone() }),
            Some(peer) if !peer.current || peer.offline => _ = all.insert(Lack::Behind { server: server.clone() }),
            Some(_) => {}
        }
    }
    // Gone, and still counted: it lowers what the group can bear.
    for peer in meta.peers.iter().filter(|peer| !expected.contains(&peer.name)) {
        all.insert(Lack::Behind { server: peer.name.clone() });
    }
}

/// A group as servers see it.
type Views<'a> = Vec<(&'a str, &'a Group)>;

/// A group by what it is of, as each server that has a copy sees it.
fn copy_lacks(answering: &BTreeMap<&str, &Server>, all: &mut BTreeSet<Lack>) {
    let mut streams: BTreeMap<(&str, &str), Views<'_>> = BTreeMap::new();
    let mut consumers: BTreeMap<(&str, &str, &str), Views<'_>> = BTreeMap::new();
    for (server, answer) in answering {
        for stream in &answer.streams {
            if let Some(group) = &stream.group {
                streams.entry((&stream.account, &stream.name)).or_default().push((server, group));
            }
            for consumer in &stream.consumers {
                if let Some(group) = &consumer.group {
                    let key = (stream.account.as_str(), stream.name.as_str(), consumer.name.as_str());
                    consumers.entry(key).or_default().push((server, group));
                }
            }
        }
    }
    for ((_, stream), views) in &streams {
        let what = || format!("stream {stream}");
        group_lacks(views, &what, Lack::StreamLeader { stream: (*stream).to_owned() }, all);
    }
    for ((_, stream, consumer), views) in &consumers {
        let what = || format!("consumer {consumer} of stream {stream}");
        let leaderless = Lack::ConsumerLeader { stream: (*stream).to_owned(), consumer: (*consumer).to_owned() };
        group_lacks(views, &what, leaderless, all);
    }
}

fn group_lacks(views: &[(&str, &Group)], what: &dyn Fn() -> String, leaderless: Lack, all: &mut BTreeSet<Lack>) {
    let Some((_, group)) = views.iter().find(|(server, group)| group.leader.as_deref() == Some(*server)) else {
        all.insert(leaderless);
        return;
    };
    for peer in group.peers.iter().filter(|peer| !peer.current || peer.offline) {
        all.insert(Lack::Copy { what: what(), server: peer.name.clone(), lag: peer.lag });
    }
}

#[cfg(test)]
#[path = "whole_tests.rs"]
mod tests;
