//! Use of all limits of a cluster.

use nats_manager_planner::{
    health::{Inventory, StreamSummary},
    snapshot::{JetStreamSnapshot, StoreUsage, StreamId},
};

use super::level::{LimitKind, Shortage};

/// Use of all limits, by one poll.
#[derive(Debug)]
pub(super) struct Fill<'a> {
    pub(super) snapshot: &'a JetStreamSnapshot,
    pub(super) inventory: Inventory,
    /// True if every server answered. An unreachable server may be fuller.
    pub(super) is_complete: bool,
}

/// Store of a server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Store {
    File,
    Memory,
}

/// The fullest store of a kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct FullestStore<'a> {
    pub(super) server: &'a str,
    pub(super) store: Store,
    pub(super) usage: StoreUsage,
}

impl<'a> Fill<'a> {
    /// Reads the uses from a poll. `None` if no server answered.
    pub(super) fn of(snapshot: &'a JetStreamSnapshot, expected: &[String]) -> Option<Self> {
        snapshot.answers().next()?;
        let is_complete = expected.iter().all(|server| snapshot.answer(server).is_some());
        Some(Self { snapshot, inventory: Inventory::of(snapshot, expected), is_complete })
    }

    /// Returns the worst shortage after `old`: the highest level, and of these the first kind.
    pub(super) fn shortage(&self, old: Option<Shortage>) -> Option<Shortage> {
        let kinds = [
            LimitKind::Volume,
            LimitKind::FileStore,
            LimitKind::MemoryStore,
            LimitKind::Stream,
            LimitKind::Reservation,
        ];
        let shortages = kinds.into_iter().filter_map(|kind| {
            let old = old.filter(|old| old.kind == kind).map(|old| old.level);
            Some(Shortage { kind, level: kind.level(self.percent(kind), old)? })
        });
        let worst = shortages.reduce(|worst, other| if other.level > worst.level { other } else { worst });
        // The shortage cannot have ended while a server that may be fuller gives no answer.
        let level = |shortage: Option<Shortage>| shortage.map(|shortage| shortage.level);
        if !self.is_complete && level(worst) <= level(old) { old } else { worst }
    }

    /// Returns the use of the fullest limit of a kind, in percent.
    pub(super) fn percent(&self, kind: LimitKind) -> u64 {
        match kind {
            LimitKind::Volume => {
                if self.disabled_server().is_some() {
                    100
                } else {
                    0
                }
            }
            LimitKind::FileStore => self.fullest(Store::File).map_or(0, |fullest| fullest.usage.percent()),
            LimitKind::MemoryStore => self.fullest(Store::Memory).map_or(0, |fullest| fullest.usage.percent()),
            LimitKind::Stream => self.streams().first().and_then(|(_, stream)| stream.percent()).unwrap_or(0),
            LimitKind::Reservation => self.most_reserved().map_or(0, |fullest| fullest.usage.reserved_percent()),
        }
    }

    /// Returns a server that has disabled JetStream, mostly because its volume was full.
    pub(super) fn disabled_server(&self) -> Option<&'a str> {
        self.snapshot.answers().find(|(_, server)| server.disabled).map(|(name, _)| name)
    }

    /// Returns the fullest store. Of equally full ones the first, so that the name stays the same.
    pub(super) fn fullest(&self, store: Store) -> Option<FullestStore<'a>> {
        first_max(self.stores(store), |fullest| fullest.usage.percent())
    }

    /// Returns the store of which streams have reserved most.
    pub(super) fn most_reserved(&self) -> Option<FullestStore<'a>> {
        let all = self.stores(Store::File).chain(self.stores(Store::Memory));
        first_max(all, |fullest| fullest.usage.reserved_percent())
    }

    /// Returns the streams that reject new messages at a limit, the fullest first.
    pub(super) fn streams(&self) -> Vec<(&StreamId, &StreamSummary)> {
        self.inventory.fullest_streams()
    }

    fn stores(&self, store: Store) -> impl Iterator<Item = FullestStore<'a>> {
        self.snapshot.answers().map(move |(server, answer)| {
            let usage = match store {
                Store::File => answer.file,
                Store::Memory => answer.memory,
            };
            FullestStore { server, store, usage }
        })
    }
}

fn first_max<T>(all: impl Iterator<Item = T>, rank: impl Fn(&T) -> u64) -> Option<T> {
    all.reduce(|first, other| if rank(&other) > rank(&first) { other } else { first })
}
