//! Servers by number, and sets of servers: cheap to copy and to compare.

use nats_manager_planner::snapshot::PeerId;

/// A server's number: its ordinal, or [`FOREIGN`].
pub type ServerId = usize;

/// The number of the foreign server.
pub const FOREIGN: ServerId = 10;
/// Number of possible servers: all numbers are below this.
pub const SERVERS: usize = 11;
/// The name of the StatefulSet.
pub const NAME: &str = "n";

/// A set of servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group(u16);

impl Group {
    /// Returns whether the set contains the server.
    pub fn contains(self, server: ServerId) -> bool {
        server < SERVERS && self.0 & (1 << server) != 0
    }

    /// Adds a server to the set.
    pub fn insert(&mut self, server: ServerId) {
        self.0 |= 1 << server;
    }

    /// Removes a server from the set.
    pub fn remove(&mut self, server: ServerId) {
        self.0 &= !(1 << server);
    }

    /// Returns the set without a server.
    #[must_use]
    pub fn without(mut self, server: ServerId) -> Self {
        self.remove(server);
        self
    }

    /// Returns the intersection of two sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the servers that are not in the other set.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Counts the servers.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Returns whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the number of servers that form the smallest majority.
    pub fn majority(self) -> u32 {
        self.len() / 2 + 1
    }

    /// Iterates over the servers in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = ServerId> {
        (0..SERVERS).filter(move |server| self.contains(*server))
    }

    /// Picks one of the servers by a random number; `None` if the set is empty.
    pub fn pick(self, random: u64) -> Option<ServerId> {
        let index = random.checked_rem(u64::from(self.len()))?;
        self.iter().nth(usize::try_from(index).ok()?)
    }
}

impl FromIterator<ServerId> for Group {
    fn from_iter<I: IntoIterator<Item = ServerId>>(servers: I) -> Self {
        let mut group = Self::default();
        servers.into_iter().for_each(|server| group.insert(server));
        group
    }
}

/// Names and peer ids of all servers, computed once.
#[derive(Clone, Debug)]
pub struct Names {
    /// The name of each server.
    pub server: Vec<String>,
    /// The peer id of each server.
    pub peer: Vec<PeerId>,
    /// The placeholder that a meta leader reports for the name of each server that it does not have.
    pub placeholder: Vec<String>,
}

impl Names {
    /// Computes names, peer ids and placeholders.
    pub fn new() -> Self {
        let name = |server| if server == FOREIGN { "other-0".to_owned() } else { format!("{NAME}-{server}") };
        let server: Vec<String> = (0..SERVERS).map(name).collect();
        let peer: Vec<PeerId> = server.iter().map(|name| PeerId::of(name)).collect();
        let placeholder =
            peer.iter().map(|id| format!("Server name unknown at this time (peerID: {})", id.0)).collect();
        Self { server, peer, placeholder }
    }

    /// Finds the server with this name.
    pub fn by_name(&self, name: &str) -> Option<ServerId> {
        self.server.iter().position(|other| other == name)
    }

    /// Finds the server with this peer id.
    pub fn by_peer(&self, id: &PeerId) -> Option<ServerId> {
        self.peer.iter().position(|other| other == id)
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_sets() {
        let group: Group = [0, 2, 4].into_iter().collect();
        assert_eq!((group.len(), group.majority(), group.contains(2), group.contains(1)), (3, 2, true, false));
        assert_eq!(group.without(2).iter().collect::<Vec<_>>(), [0, 4]);
        assert_eq!(Group::default().pick(7), None);
    }
}
