//! Decision of a replica to keep its leaf or to issue another, at each check of the Secret and the clock.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    CaStore, Leaf, Renewal, RenewalCause, TrustBundle,
    renewal::{MAX_CHECK_INTERVAL, next_check},
};

/// Decision on the leaf that a replica serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serve {
    /// Keep the leaf.
    Keep {
        /// Maximum time until the next check.
        check_in: Duration,
    },
    /// Issue another leaf with the current CA, and serve it.
    Issue(LeafReason),
}

/// Reason for another leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafReason {
    /// The replica has no leaf.
    First,
    /// The current CA signed the leaf, and its renewal is due.
    Due(RenewalCause),
    /// Another CA signed the leaf, and the current CA has been published long enough for clients to trust it.
    NewAuthority,
    /// No CA in the bundle verifies the leaf.
    Untrusted,
}

impl Serve {
    /// Decides for a replica that reads `store` and serves `leaf`.
    ///
    /// A leaf that clients trust is replaced only by another that they trust: while a CA that replaced an invalid one
    /// is not propagated yet, the leaf stays. If clients do not trust the present leaf, the current CA signs at once.
    pub fn decide(store: &CaStore, leaf: Option<&Leaf>, now: Timestamp) -> Self {
        let Some(leaf) = leaf else {
            return Self::Issue(LeafReason::First);
        };
        let keep = |at| Self::Keep { check_in: next_check(at, now) };
        let current = &store.current;
        if current.authority.has_signed(leaf) {
            return match Renewal::of(leaf.validity(), now) {
                Renewal::At(at) => keep(at),
                // By this clock, the validity of the CA itself starts later, as would that of another leaf.
                Renewal::Due(RenewalCause::NotYetValid) if now < current.authority.validity().not_before => {
                    Self::Keep { check_in: MAX_CHECK_INTERVAL }
                }
                // The leaf expires with its CA, as would another leaf. The CA is due for renewal.
                Renewal::Due(RenewalCause::Age)
                    if current.authority.validity().not_after <= leaf.validity().not_after =>
                {
                    keep(leaf.validity().not_after)
                }
                Renewal::Due(cause) => Self::Issue(LeafReason::Due(cause)),
            };
        }
        if store.bundle().verify(leaf, now).is_err() {
            return Self::Issue(LeafReason::Untrusted);
        }
        match current.propagated_at() {
            Some(at) if at <= now => Self::Issue(LeafReason::NewAuthority),
            Some(at) => keep(at.min(leaf.validity().not_after)),
            None => keep(leaf.validity().not_after),
        }
    }
}

/// Returns whether `new` may replace the `served` leaf. `published` is what the configurations contain, `propagated` is
/// the part of it that all clients have read. A leaf that clients trust is replaced only by another that they trust.
pub fn may_replace(
    served: Option<&Leaf>,
    new: &Leaf,
    published: &TrustBundle,
    propagated: &TrustBundle,
    now: Timestamp,
) -> bool {
    propagated.verify(new, now).is_ok() || served.is_none_or(|served| published.verify(served, now).is_err())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::{Announced, DnsNames, authority::AUTHORITY_LIFETIME, validity::after};

    #[test]
    fn trusted_leaf_is_replaced_only_by_trusted_leaf() {
        let now: Timestamp = "2026-02-03T04:05:06Z".parse().unwrap();
        let names = DnsNames { dns: vec!["a".into()], addresses: vec![] };
        let first = CaStore::first(now).unwrap();
        let leaf = first.current.authority.issue(&names, now).unwrap();
        let fresh = Announced::generate(now).unwrap();
        let published = Announced { published_at: Some(now), ..fresh.clone() };
        let replaced = first.clone().succeeded_by(fresh, now);
        let propagating = first.clone().succeeded_by(published, now);
        let emptied = CaStore { retired: Vec::new(), ..replaced.clone() };
        let behind = CaStore::first(after(now, SignedDuration::from_hours(100))).unwrap();
        // A CA in its last minutes, whose leaves are due for renewal from the start.
        let ending = CaStore::first(after(now, SignedDuration::from_mins(4) - AUTHORITY_LIFETIME)).unwrap();
        let last = ending.current.authority.issue(&names, now).unwrap();
        let early = behind.current.authority.issue(&names, now).unwrap();

        let minutes = SignedDuration::from_mins;
        let day = 24 * 60;
        let cases = [
            ("no leaf", &first, None, 0, Some(LeafReason::First)),
            ("no leaf, unpublished", &replaced, None, 0, Some(LeafReason::First)),
            ("young", &first, Some(&leaf), 4 * day, None),
            ("two thirds", &first, Some(&leaf), 5 * day, Some(LeafReason::Due(RenewalCause::Age))),
            ("slept", &first, Some(&leaf), 30 * day, Some(LeafReason::Due(RenewalCause::Expired))),
            ("set back", &first, Some(&leaf), -5, None),
            ("set back further", &first, Some(&leaf), -15, None),
            ("unpublished", &replaced, Some(&leaf), 60, None),
            ("unpublished, leaf over", &replaced, Some(&leaf), 8 * day, Some(LeafReason::Untrusted)),
            ("propagating", &propagating, Some(&leaf), 0, None),
            ("propagated", &propagating, Some(&leaf), 1, Some(LeafReason::NewAuthority)),
            ("old CA removed", &emptied, Some(&leaf), 0, Some(LeafReason::Untrusted)),
            ("ends with its CA", &ending, Some(&last), 0, None),
            ("ended with its CA", &ending, Some(&last), 5, Some(LeafReason::Due(RenewalCause::Expired))),
            ("this clock is behind", &behind, Some(&early), 0, None),
        ];
        for (case, store, leaf, minute, expected) in cases {
            let decided = match Serve::decide(store, leaf, after(now, minutes(minute))) {
                Serve::Issue(reason) => Some(reason),
                Serve::Keep { check_in } => {
                    assert!(check_in <= MAX_CHECK_INTERVAL, "{case}");
                    None
                }
            };
            assert_eq!(decided, expected, "{case}");
        }
    }
}
