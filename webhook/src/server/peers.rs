//! Peers of the server, and the networks that they are in.

use std::net::{IpAddr, SocketAddr};

/// A peer: an address. Kubernetes gives a network of 64 bits to each node, for the kubelet and all of its Pods, so that
/// the network alone would not tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer(IpAddr);

/// The network of a peer: 64 bits of an IPv6 address, since a host can use every address of its own network. An IPv4
/// address is its own network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Network {
    V4(IpAddr),
    V6(u64),
}

impl Peer {
    /// Returns the peer of an address. An IPv4 address that is mapped to IPv6 is that IPv4 address.
    pub(super) fn of(address: SocketAddr) -> Self {
        Self(address.ip().to_canonical())
    }

    /// Returns the network of the peer.
    pub(super) fn network(self) -> Network {
        match self.0 {
            address @ IpAddr::V4(_) => Network::V4(address),
            IpAddr::V6(address) => {
                Network::V6(u64::from_be_bytes(std::array::from_fn(|index| address.octets()[index])))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::of(SocketAddr::new(address.parse().unwrap(), 1234))
    }

    #[test]
    fn peer_is_an_address_and_network_has_64_bits() {
        for (one, other, is_same_peer, is_same_network) in [
            ("10.0.0.1", "10.0.0.1", true, true),
            ("10.0.0.1", "10.0.0.2", false, false),
            ("10.0.0.1", "::ffff:10.0.0.1", true, true),
            ("fd00::1", "fd00::1", true, true),
            ("fd00::1", "fd00::2", false, true),
            ("fd00::1", "fd00::1:0:0:1", false, true),
            ("fd00:0:0:1::1", "fd00::1", false, false),
        ] {
            assert_eq!(peer(one) == peer(other), is_same_peer, "{one} {other}");
            assert_eq!(peer(one).network() == peer(other).network(), is_same_network, "{one} {other}");
        }
    }
}
