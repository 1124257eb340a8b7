//! Limit of the file store, below the size of the volume.
//!
//! The servers count live messages, and the volume holds more: indexes, deleted messages in blocks that are not
//! rewritten yet, the Raft logs, and the file system's own records. A store that may fill the whole volume ends with
//! `no space left on device`, after which a server disables JetStream, instead of a refused message (10023).
//!
//! A limit that is lowered in the configuration of a running server makes it reject the whole reload (`reload.go`, NATS
//! 2.14), so that the limit only grows.

use super::{PlanInput, existing::Servers};
use crate::actual::PvcState;

const MIB: u64 = 1 << 20;
/// Largest room for what the servers do not count, in bytes.
const MOST_ROOM: u64 = 1024 * MIB;
/// Size from which on a limit is a whole number of mebibytes.
const LARGE: u64 = 32 * MIB;

/// Returns the file store for a volume, both in bytes: 85 % of it, and more of a volume beyond 10 GiB. 5 % are for the
/// file system, and 10 %, but at most [`MOST_ROOM`], for what the servers do not count. Measured on ext4 and xfs:
/// `docs/contributor/nats.md`.
pub(super) fn usable(volume: u64) -> u64 {
    let store = volume - volume / 20 - (volume / 10).min(MOST_ROOM);
    if store < LARGE { store } else { store / MIB * MIB }
}

/// Returns the file store to configure, in bytes. The smallest volume decides, since all servers read the same
/// configuration, but the limit of running servers stays at least what it was.
pub(super) fn file_store(input: &PlanInput<'_>, servers: &Servers<'_>) -> u64 {
    let Some(desired) = input.desired.volume_size else { return 0 };
    let pvcs = || input.actual.pvcs.iter().filter(|pvc| pvc.ordinal < servers.replicas && !pvc.terminating);
    let smallest = pvcs().filter_map(|pvc| pvc.capacity).min().unwrap_or(desired).min(desired);
    let recorded = servers.set.and_then(|set| set.file_store);
    // An edit by hand above the volume's size is undone.
    let largest = pvcs().map(|pvc| pvc.capacity.unwrap_or(0).max(pvc.requested)).max().unwrap_or(desired);
    let written = input.actual.config.and_then(|config| config.file_store).filter(|store| *store <= largest);
    if let Some(live) = recorded.max(written) {
        return live.max(usable(smallest));
    }
    let answers = input.assessment().into_iter().flat_map(|assessment| assessment.snapshot.answers());
    let reported = answers.map(|(_, server)| server.file.limit).filter(|limit| (1..=largest).contains(limit)).max();
    if let Some(live) = reported {
        return live.max(usable(smallest));
    }
    // The limit that the servers run with is unknown, and at most the whole volume, as the predecessor sets it.
    let size = |pvc: &PvcState| pvc.capacity.unwrap_or(pvc.requested).min(pvc.requested);
    pvcs().map(size).min().unwrap_or(usable(smallest))
}
