//! Rate at which peers may connect.

use std::{collections::HashMap, hash::Hash};

use tokio::time::Instant;

use super::peers::{Network, Peer};

/// Limits accepts by token buckets: one for each peer, and a larger one for each network.
#[derive(Debug)]
pub(super) struct AcceptRate {
    peers: Buckets<Peer>,
    networks: Buckets<Network>,
}

/// Share of a network, in shares of a peer: three peers at their limit leave room for others in their network.
const PEERS_PER_NETWORK: u32 = 4;
/// Upper bound for buckets of each kind. Buckets that are full again are dropped first: they hold nothing.
const MAX_BUCKETS: usize = 4096;

impl AcceptRate {
    /// Returns a limit of `burst` accepts of a peer at once, and of `per_second` in the long run.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let burst = burst.max(1);
        Self {
            peers: Buckets::new(per_second, burst),
            networks: Buckets::new(
                per_second.saturating_mul(PEERS_PER_NETWORK),
                burst.saturating_mul(PEERS_PER_NETWORK),
            ),
        }
    }

    /// Takes a token of the peer and one of its network. Returns whether there were both. A peer without tokens takes
    /// none of its network.
    pub(super) fn admit(&mut self, peer: Peer, now: Instant) -> bool {
        let network = peer.network();
        self.networks.has(network, now) && self.peers.take(peer, now) && self.networks.take(network, now)
    }
}

/// Token buckets by key, of the same size.
#[derive(Debug)]
struct Buckets<K> {
    per_second: f64,
    burst: f64,
    by_key: HashMap<K, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl<K: Eq + Hash + Copy> Buckets<K> {
    fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: per_second.into(), burst: burst.into(), by_key: HashMap::new() }
    }

    /// Returns whether the key has a token.
    fn has(&self, key: K, now: Instant) -> bool {
        self.by_key.get(&key).is_none_or(|bucket| self.level(*bucket, now) >= 1.0)
    }

    /// Takes a token of the key. Returns whether there was one.
    fn take(&mut self, key: K, now: Instant) -> bool {
        let Some(tokens) = self.tokens(key, now) else { return false };
        let is_admitted = tokens >= 1.0;
        let tokens = if is_admitted { tokens - 1.0 } else { tokens };
        self.by_key.insert(key, Bucket { tokens, filled: now });
        is_admitted
    }

    /// Returns the tokens of the key, `None` where there is no room for another bucket: so many keys at once are an
    /// attack, and a new one is not admitted until some have paused.
    fn tokens(&mut self, key: K, now: Instant) -> Option<f64> {
        if let Some(bucket) = self.by_key.get(&key) {
            return Some(self.level(*bucket, now));
        }
        if self.by_key.len() >= MAX_BUCKETS {
            let (per_second, burst) = (self.per_second, self.burst);
            self.by_key.retain(|_, bucket| level(*bucket, per_second, burst, now) < burst);
        }
        (self.by_key.len() < MAX_BUCKETS).then_some(self.burst)
    }

    fn level(&self, bucket: Bucket, now: Instant) -> f64 {
        level(bucket, self.per_second, self.burst, now)
    }
}

/// Returns the tokens of a bucket at a time.
fn level(bucket: Bucket, per_second: f64, burst: f64, now: Instant) -> f64 {
    let passed = now.saturating_duration_since(bucket.filled);
    passed.as_secs_f64().mul_add(per_second, bucket.tokens).min(burst)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr, SocketAddr};

    use tokio::time::Duration;

    use super::*;

    fn peer(address: impl Into<IpAddr>) -> Peer {
        Peer::of(SocketAddr::new(address.into(), 1234))
    }

    #[test]
    fn accepts_of_a_peer_are_limited_and_those_of_others_are_not() {
        let start = Instant::now();
        let mut rate = AcceptRate::new(10, 20);
        let mut admitted = |last: u8, now: Instant, count: usize| {
            (0..count).filter(|_| rate.admit(peer([10, 0, 0, last]), now)).count()
        };
        assert_eq!(admitted(1, start, 1000), 20);
        assert_eq!(admitted(2, start, 3), 3);
        assert_eq!(admitted(1, start + Duration::from_secs(1), 1000), 10);
        assert_eq!(admitted(1, start + Duration::from_mins(1), 1000), 20);
    }

    #[test]
    fn network_of_many_addresses_is_limited_and_one_address_does_not_use_it_up() {
        let start = Instant::now();
        let mut rate = AcceptRate::new(10, 20);
        let mut admitted = |network: u16, host: u16, now: Instant, count: usize| {
            let address = |host| Ipv6Addr::from([0xfd00, 0, 0, network, 0, 0, 0, host]);
            (0..count).filter(|_| rate.admit(peer(address(host)), now)).count()
        };
        // A flood from one address leaves the rest of its network's share to others in it, such as the kubelet.
        assert_eq!(admitted(1, 1, start, 1000), 20);
        assert_eq!(admitted(1, 2, start, 20), 20);
        // Many addresses of a network do not get more than its share.
        let later = start + Duration::from_mins(1);
        let many: usize = (1..=1000).map(|host| admitted(1, host, later, 1)).sum();
        assert_eq!(many, 80);
        assert_eq!((1..=1000).map(|host| admitted(1, host, later + Duration::from_secs(1), 1)).sum::<usize>(), 40);
        assert_eq!(admitted(2, 1, later, 1000), 20, "another network is not affected");
    }

    #[test]
    fn buckets_are_bounded() {
        let start = Instant::now();
        let mut rate = AcceptRate::new(10, 20);
        for index in 0..u32::try_from(MAX_BUCKETS).unwrap() {
            assert!(rate.admit(peer(std::net::Ipv4Addr::from(index)), start));
        }
        assert!(!rate.admit(peer([200, 0, 0, 1]), start));
        assert!(rate.admit(peer([200, 0, 0, 1]), start + Duration::from_secs(1)), "the others are full again");
        assert_eq!((rate.peers.by_key.len(), rate.networks.by_key.len()), (1, 1));
    }
}
