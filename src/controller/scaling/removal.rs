//! Servers that have left the StatefulSet leave JetStream: a function of values.
//!
//! A stream with one copy that was made between the last look and the stop is on the server that left,
//! maybe, since that was the emptiest. Removing the server would have JetStream make an empty copy
//! elsewhere. So before that every stream must be seen on a server that stays.

use std::collections::BTreeSet;

use super::{
    Sight,
    shrink::{Picture, Step, listed, missing, servers, wait},
};
use crate::jetstream::{Look, meta_group, unknown};

/// The next step while the servers up to `from` are leaving.
pub(super) fn next(picture: Picture<'_>, from: u32) -> Step {
    let leaving = servers(picture.id, picture.deployed, from);
    let members = match picture.look {
        Sight::Seen(look, _) => members(look),
        unseen => {
            let names = listed(leaving.iter().map(String::as_str));
            return wait(format!("whether JetStream still counts {names} cannot be told: {}", unseen.cause()));
        }
    };
    let Some(members) = members else {
        return wait("removing servers: JetStream has no meta leader at the moment".to_owned());
    };
    let counted: Vec<String> = leaving.iter().filter(|name| members.contains(name.as_str())).cloned().collect();
    if picture.wanted > picture.deployed && counted.len() == leaving.len() {
        // No others: they may not be let back in yet.
        return Step::Grow { to: picture.wanted.min(from) };
    }
    let stopping: Vec<&str> =
        leaving.iter().map(String::as_str).filter(|name| picture.pods.iter().any(|pod| pod.name == *name)).collect();
    if !stopping.is_empty() {
        return wait(format!("{} must stop before JetStream forgets them", listed(stopping)));
    }
    if !counted.is_empty() {
        return Step::Remove(counted);
    }
    match picture.look {
        Sight::Seen(_, Some(lack)) => {
            wait(format!("the volumes of the removed servers stay until JetStream is whole: {lack}"))
        }
        _ => Step::Finish,
    }
}

/// The removal of `leaving`, if every stream that clients can see (`streams`) is on a server that stays, by a
/// look that is younger than they are; else back.
pub(super) fn confirm(picture: Picture<'_>, leaving: Vec<String>, streams: &BTreeSet<String>, look: &Look) -> Step {
    let staying = servers(picture.id, 0, picture.deployed);
    let elsewhere = missing(streams, look, &staying);
    if elsewhere.is_empty() {
        return Step::Remove(leaving);
    }
    let (streams, names) = (listed(elsewhere), listed(leaving.iter().map(String::as_str)));
    if let Some(lack) = unknown(look, &staying) {
        return wait(format!("{streams} must be seen elsewhere before JetStream forgets {names}: {lack}"));
    }
    let count = u32::try_from(leaving.len()).unwrap_or(u32::MAX);
    let to = picture.deployed.saturating_add(count);
    if leaving == servers(picture.id, picture.deployed, to) {
        tracing::warn!(streams, names, "the servers come back: they have the only copies");
        return Step::Grow { to };
    }
    Step::Hold(format!(
        "{streams} may have the only copies on {names}, which JetStream still counts, and servers below have been removed already, so that these cannot come back in turn. Nothing is removed. Delete the streams, if they can be made anew"
    ))
}

/// Who is in the meta group, by its leader.
fn members(look: &Look) -> Option<BTreeSet<&str>> {
    let (leader, meta) = meta_group(look)?;
    Some(meta.peers.iter().map(|peer| peer.name.as_str()).chain([leader]).collect())
}

#[cfg(test)]
#[path = "removal_tests.rs"]
mod tests;
