//! Fewer servers, or more, within a cluster: what the next step is, as a function of values.
//!
//! A server that leaves takes its copies with it, so they are moved first. JetStream then still
//! counts it: with 2 of 5 peers gone for good, one more loss is the end of the majority. So it is
//! removed from the meta group, once it has stopped (a live one would lose its JetStream), and only
//! then do its claims go. Its name cannot come back for five minutes (302 s measured with NATS
//! 2.14.2): scaling up again waits for that.
//!
//! Two moves are not asked for, since JetStream may hand over to a copy that has nothing yet: it looks
//! twice a second whether the new server has acknowledged the log, not whether it has the messages
//! (`monitorStream` of NATS 2.14.2; a message was lost so on a busy machine). Of a stream with one copy
//! that copy is the only one: its owner has to make more first. Of a replicated one the leader hands
//! over to whoever seems current: so the lead goes to a copy that stays first, and the leader that
//! stays drops the leaving copy by itself.

use std::{collections::BTreeSet, fmt::Display};

use k8s_openapi::jiff::Timestamp;
use nats_manager_api::{NamespacedName, Resizing};

use super::{super::observe::ServerPod, Sight, removal};
use crate::jetstream::{DEFAULT_ACCOUNT, Look, Stream, unknown};

/// What is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picture<'a> {
    /// Whose servers they are.
    pub(super) id: &'a NamespacedName,
    /// The number of servers that they are configured for.
    pub(super) deployed: u32,
    /// The number that is wanted.
    pub(super) wanted: u32,
    /// How far a change of the number is.
    pub(super) resizing: Resizing,
    /// The time.
    pub(super) now: Timestamp,
    /// The pods that exist.
    pub(super) pods: &'a [ServerPod],
    /// What the servers say.
    pub(super) look: Sight<'a>,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing to do: this many servers, and as many are wanted.
    Stay,
    /// More servers; whoever was leaving stays, save those that are still too many.
    Grow {
        /// The new size.
        to: u32,
    },
    /// Not before something else changes, by a user's hand.
    Hold(String),
    /// Something is under way.
    Wait {
        /// For what.
        reason: String,
        /// When it is over, if that is known.
        until: Option<Timestamp>,
    },
    /// Copies leave the servers that leave.
    Move {
        /// Streams whose leader is to be another first, in the account of clients without credentials.
        lead: Vec<String>,
        /// The moves to ask for now; the others are under way.
        moves: Vec<Move>,
        /// What goes on.
        reason: String,
    },
    /// Fewer servers: nothing is on the others any more.
    Stop {
        /// The new size.
        to: u32,
    },
    /// The servers stopped: JetStream is to forget them.
    Remove(Vec<String>),
    /// JetStream forgot them: their claims go, and the removal is finished.
    Finish,
}

/// A copy that has to go to another server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Move {
    /// The stream's account.
    pub(super) account: String,
    /// The stream.
    pub(super) stream: String,
    /// The server that it leaves.
    pub(super) off: String,
}

/// For so many seconds a removed name cannot rejoin; 302 were measured.
const REJOIN: i64 = 310;

/// Names in a message beyond these are counted.
const NAMED: usize = 3;

impl Picture<'_> {
    fn is_serving(&self, server: &str) -> bool {
        self.pods.iter().any(|pod| pod.name == server && pod.is_serving())
    }
}

/// Decides on the next step.
pub(super) fn next(picture: Picture<'_>) -> Step {
    let Picture { deployed, wanted, .. } = picture;
    match picture.resizing.leaving_from.filter(|from| *from > deployed) {
        Some(from) => removal::next(picture, from),
        None if wanted > deployed => grow(picture),
        None if wanted < deployed => shrink(picture),
        None => Step::Stay,
    }
}

fn grow(picture: Picture<'_>) -> Step {
    let until = picture.resizing.removed_at.and_then(rejoin_at);
    match until.filter(|until| *until > picture.now) {
        Some(until) => Step::Wait {
            reason: format!(
                "servers were removed a moment ago, and JetStream lets their names rejoin after five minutes only: going on at {}",
                until.strftime("%H:%M:%S UTC")
            ),
            until: Some(until),
        },
        None => Step::Grow { to: picture.wanted },
    }
}

/// When the names of servers that were removed at a time can come back.
pub(super) fn rejoin_at(removed_at: i64) -> Option<Timestamp> {
    Timestamp::from_second(removed_at.checked_add(REJOIN)?).ok()
}

fn shrink(picture: Picture<'_>) -> Step {
    let Picture { deployed, wanted, .. } = picture;
    let look = match picture.look {
        Sight::Seen(look, lack) => {
            if let Some(demanding) = too_many_copies(look, wanted) {
                return Step::Hold(demanding);
            }
            if let Some(only) = only_copies(look, &servers(picture.id, wanted, deployed)) {
                return Step::Hold(only);
            }
            if let Some(lack) = lack {
                return not_whole(lack);
            }
            if let Some(name) = servers(picture.id, 0, deployed).iter().find(|name| !picture.is_serving(name)) {
                return wait(format!("every server must be ready before one leaves: {name} is not"));
            }
            look
        }
        unseen => return wait(format!("what the servers that would leave hold cannot be told: {}", unseen.cause())),
    };
    // One at a time: a copy that moves may land on any server that stays for now, so a second one
    // that leaves would send it back.
    let to = wanted.max(deployed.saturating_sub(1));
    let leaving = servers(picture.id, to, deployed);
    let copies = copies_on(look, &leaving);
    if copies.is_empty() {
        return Step::Stop { to };
    }
    let names: BTreeSet<&str> = copies.iter().map(|(_, stream)| stream.name.as_str()).collect();
    let reason = format!("moving {} off {}", listed(names), listed(leaving.iter().map(String::as_str)));
    // A stream that moves has more copies than it asks for until it is done.
    let resting = copies.iter().filter(|(_, stream)| !is_moving(look, stream));
    let (led_here, led_elsewhere): (Vec<_>, Vec<_>) = resting.partition(|(server, stream)| leads(server, stream));
    let strangers: BTreeSet<&str> = led_here
        .iter()
        .filter(|(_, stream)| stream.account != DEFAULT_ACCOUNT)
        .map(|(_, stream)| stream.name.as_str())
        .collect();
    if !strangers.is_empty() {
        return wait(format!(
            "{} must be led by another server before {} leaves; in the account of each: nats stream cluster step-down STREAM",
            listed(strangers),
            listed(leaving.iter().map(String::as_str)),
        ));
    }
    let moves = led_elsewhere.iter().map(|(server, stream)| Move {
        account: stream.account.clone(),
        stream: stream.name.clone(),
        off: (*server).to_owned(),
    });
    let mut moves: Vec<Move> = moves.collect();
    moves.sort();
    let mut lead: Vec<String> = led_here.iter().map(|(_, stream)| stream.name.clone()).collect();
    lead.sort();
    Step::Move { lead, moves, reason }
}

/// The stop of servers, if every stream that clients can see (`streams`) is on one that stays, and nothing
/// on one that leaves, by a look that is younger than they are.
pub(super) fn confirm(picture: Picture<'_>, to: u32, streams: &BTreeSet<String>, look: &Look) -> Step {
    if let Some(lack) = unknown(look, &servers(picture.id, 0, picture.deployed)) {
        return not_whole(lack);
    }
    let leaving = servers(picture.id, to, picture.deployed);
    let late = copies_on(look, &leaving).into_iter().map(|(_, stream)| stream.name.as_str());
    let all: BTreeSet<&str> = missing(streams, look, &servers(picture.id, 0, to)).into_iter().chain(late).collect();
    if all.is_empty() {
        return Step::Stop { to };
    }
    let (streams, names) = (listed(all), listed(leaving.iter().map(String::as_str)));
    wait(format!("{streams} must be on servers that stay before {names} leaves"))
}

/// Streams of clients without credentials that some servers do not show.
pub(super) fn missing<'a>(streams: &'a BTreeSet<String>, look: &Look, servers: &[String]) -> Vec<&'a str> {
    let shown: BTreeSet<&str> = copies_on(look, servers)
        .into_iter()
        .filter(|(_, stream)| stream.account == DEFAULT_ACCOUNT)
        .map(|(_, stream)| stream.name.as_str())
        .collect();
    streams.iter().map(String::as_str).filter(|name| !shown.contains(name)).collect()
}

fn not_whole(lack: impl Display) -> Step {
    wait(format!("JetStream must be whole before servers leave: {lack}"))
}

pub(super) fn wait(reason: String) -> Step {
    Step::Wait { reason, until: None }
}

/// The names of the servers from one ordinal up to, not including, another.
pub(super) fn servers(id: &NamespacedName, from: u32, to: u32) -> Vec<String> {
    (from..to).map(|ordinal| id.server(ordinal)).collect()
}

/// The copies on some servers, each with where it is.
fn copies_on<'a>(look: &'a Look, servers: &'a [String]) -> Vec<(&'a str, &'a Stream)> {
    let asked = servers.iter().filter_map(|name| Some((name.as_str(), look.servers.get(name)?.as_ref().ok()?)));
    asked.flat_map(|(name, server)| server.streams.iter().map(move |stream| (name, stream))).collect()
}

/// Of a stream only its leader's word counts, so a server is asked whether it leads itself.
fn leads(server: &str, stream: &Stream) -> bool {
    stream.group.as_ref().is_none_or(|group| group.leader.as_deref().is_none_or(|leader| leader == server))
}

/// Streams of which some servers have the only copy.
fn only_copies(look: &Look, servers: &[String]) -> Option<String> {
    let only: BTreeSet<(&str, &str)> = copies_on(look, servers)
        .into_iter()
        .filter(|(_, stream)| stream.replicas <= 1)
        .map(|(server, stream)| (stream.name.as_str(), server))
        .collect();
    let (first, server) = only.first()?;
    let (have, copies, each) =
        if only.len() == 1 { ("has its", "copy", "") } else { ("have their", "copies", ", and so on") };
    let names = listed(only.iter().map(|(name, _)| *name));
    let place = if only.len() == 1 { format!("on {server}") } else { "on servers that would leave".to_owned() };
    Some(format!(
        "{names} {have} only {copies} {place}, and JetStream moves an only copy at the risk of losing it. Give it more first, and take them back after: nats stream edit {first} --replicas 3{each}"
    ))
}

fn is_moving(look: &Look, stream: &Stream) -> bool {
    let answers = look.servers.values().filter_map(|answer| answer.as_ref().ok());
    let same = answers
        .flat_map(|server| &server.streams)
        .filter(|other| other.account == stream.account && other.name == stream.name);
    let copies = same.clone().count();
    let members = same.filter_map(|copy| copy.group.as_ref()).map(|group| group.peers.len() + 1).max().unwrap_or(1);
    copies.max(members) > stream.replicas as usize
}

fn too_many_copies(look: &Look, wanted: u32) -> Option<String> {
    let answers = look.servers.values().filter_map(|answer| answer.as_ref().ok());
    let streams = answers.flat_map(|server| &server.streams);
    let demanding: BTreeSet<(&str, u32)> = streams
        .filter(|stream| stream.replicas > wanted)
        .map(|stream| (stream.name.as_str(), stream.replicas))
        .collect();
    let (first, replicas) = demanding.first()?;
    let (verb, each) = if demanding.len() == 1 { ("asks", "") } else { ("ask", ", and so on") };
    let names = listed(demanding.iter().map(|(name, _)| *name));
    Some(format!(
        "{names} {verb} for {replicas} replicas, which {wanted} servers cannot hold. Lower them first: nats stream edit {first} --replicas {wanted}{each}"
    ))
}

pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.into_iter().collect();
    let more = all.len().saturating_sub(NAMED);
    let first = all[..all.len() - more].join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

#[cfg(test)]
#[path = "shrink_tests.rs"]
pub(super) mod tests;
