//! Peers of the server, and the rate at which each may connect.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use tokio::time::{Duration, Instant};

/// A peer: an address. Networks of 64 bits are no peers: Kubernetes gives one to each node, for the kubelet and all of
/// its Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer(IpAddr);

impl Peer {
    /// Returns the peer of an address. An IPv4 address that is mapped to IPv6 is that IPv4 address.
    pub(super) fn of(address: SocketAddr) -> Self {
        Self(address.ip().to_canonical())
    }
}

/// Limits accepts per peer by a token bucket each: `burst` at once, and `per_second` in the long run.
#[derive(Debug)]
pub(super) struct AcceptRate {
    per_second: f64,
    burst: f64,
    buckets: HashMap<Peer, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// Upper bound for buckets. Buckets that are full again are dropped first: they hold nothing.
const MAX_BUCKETS: usize = 4096;

impl AcceptRate {
    /// Returns a limit without peers.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: per_second.into(), burst: burst.max(1).into(), buckets: HashMap::new() }
    }

    /// Takes a token of the peer. Returns whether there was one.
    pub(super) fn admit(&mut self, peer: Peer, now: Instant) -> bool {
        if self.buckets.len() >= MAX_BUCKETS && !self.buckets.contains_key(&peer) {
            let (per_second, burst) = (self.per_second, self.burst);
            self.buckets.retain(|_, bucket| bucket.level(per_second, now) < burst);
            if self.buckets.len() >= MAX_BUCKETS {
                // So many peers at once are an attack: a new one is not admitted until some have paused.
                return false;
            }
        }
        let bucket = self.buckets.entry(peer).or_insert(Bucket { tokens: self.burst, filled: now });
        bucket.tokens = bucket.level(self.per_second, now).min(self.burst);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

impl Bucket {
    /// Returns the tokens at a time, without the upper bound.
    fn level(&self, per_second: f64, now: Instant) -> f64 {
        let passed: Duration = now.saturating_duration_since(self.filled);
        passed.as_secs_f64().mul_add(per_second, self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::of(SocketAddr::new(address.parse().unwrap(), 1234))
    }

    #[test]
    fn peer_is_an_address() {
        for (one, other, is_same) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("fd00::1", "fd00::1", true),
            ("fd00::1", "fd00::2", false),
        ] {
            assert_eq!(peer(one) == peer(other), is_same, "{one} {other}");
        }
    }

    #[test]
    fn accepts_of_a_peer_are_limited_and_those_of_others_are_not() {
        let start = Instant::now();
        let mut rate = AcceptRate::new(10, 20);
        let mut admitted =
            |address: &str, now: Instant, count: usize| (0..count).filter(|_| rate.admit(peer(address), now)).count();
        assert_eq!(admitted("10.0.0.1", start, 1000), 20);
        assert_eq!(admitted("10.0.0.2", start, 3), 3);
        assert_eq!(admitted("10.0.0.1", start + Duration::from_secs(1), 1000), 10);
        assert_eq!(admitted("10.0.0.1", start + Duration::from_mins(1), 1000), 20);
    }

    #[test]
    fn buckets_are_bounded() {
        let start = Instant::now();
        let mut rate = AcceptRate::new(10, 20);
        for index in 0..u32::try_from(MAX_BUCKETS).unwrap() {
            assert!(rate.admit(Peer(IpAddr::V4(index.into())), start));
        }
        assert!(!rate.admit(peer("200.0.0.1"), start));
        assert!(rate.admit(peer("200.0.0.1"), start + Duration::from_secs(1)), "the others are full again");
        assert_eq!(rate.buckets.len(), 1);
    }
}
