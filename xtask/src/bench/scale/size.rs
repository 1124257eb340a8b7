//! Sizes of clusters, each of which differs from the base in one of its numbers.

use std::fmt;

/// Size of a cluster and of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    /// Pods of others in the namespace.
    pub(super) other_pods: usize,
    pub(super) nodes: usize,
    pub(super) servers: u32,
    pub(super) streams: usize,
    /// Consumers of all streams together.
    pub(super) consumers: usize,
}

/// Number of a size that is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    OtherPods,
    Nodes,
    Servers,
    Streams,
    Consumers,
}

impl Size {
    pub(super) const BASE: Self = Self { other_pods: 0, nodes: 3, servers: 3, streams: 1, consumers: 0 };
}

impl Axis {
    pub(super) const ALL: [Self; 5] = [Self::OtherPods, Self::Nodes, Self::Servers, Self::Streams, Self::Consumers];

    /// Returns the sizes to measure, the smallest first.
    pub(super) fn sizes(self) -> Vec<Size> {
        let base = Size::BASE;
        match self {
            Self::OtherPods => [0, 1000, 10_000].map(|other_pods| Size { other_pods, ..base }).to_vec(),
            Self::Nodes => [3, 1000].map(|nodes| Size { nodes, ..base }).to_vec(),
            Self::Servers => [3, 9, 99].map(|servers| Size { servers, ..base }).to_vec(),
            Self::Streams => [1, 100, 1000].map(|streams| Size { streams, ..base }).to_vec(),
            Self::Consumers => [0, 1000, 50_000].map(|consumers| Size { consumers, streams: 50, ..base }).to_vec(),
        }
    }

    /// Returns the number of a size that is varied.
    pub(super) fn of(self, size: &Size) -> usize {
        match self {
            Self::OtherPods => size.other_pods,
            Self::Nodes => size.nodes,
            Self::Servers => size.servers as usize,
            Self::Streams => size.streams,
            Self::Consumers => size.consumers,
        }
    }

    /// Returns the name of one of what is counted.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::OtherPods => "Pod of others",
            Self::Nodes => "node",
            Self::Servers => "server",
            Self::Streams => "stream",
            Self::Consumers => "consumer",
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherPods => "Pods of others",
            Self::Nodes => "nodes",
            Self::Servers => "servers",
            Self::Streams => "streams",
            Self::Consumers => "consumers (50 streams)",
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { other_pods, nodes, servers, streams, consumers } = self;
        write!(
            f,
            "{servers} servers, {nodes} nodes, {other_pods} Pods of others, {streams} stream, {consumers} consumers"
        )
    }
}
