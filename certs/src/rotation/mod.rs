//! The life of a CA, one step at a time.
//!
//! [`plan`] looks at what is stored, what is published and the clock, and names the next step. A
//! step is one write of the Secret (with a precondition on what was read) and the publication of
//! its bundle; then the plan is made again, by this replica or another. Nothing is remembered
//! between steps, so stopping anywhere loses nothing.
//!
//! | stored | step |
//! |---|---|
//! | nothing | the first CA; what is published already stays in the bundle |
//! | something damaged | its current CA if that is whole, else a new one; every certificate that can be read, or is published, stays in the bundle |
//! | a current CA that does not hold now (a clock jumped or slept) | another becomes current at once |
//! | a time that only a clock now set back can have written | the time, corrected |
//! | a CA that all published bundles carry by now | the time of its publication |
//! | a current CA at two thirds of its life | the next CA, in the bundle beside it |
//! | a next CA, published [`SETTLING_TIME`](crate::store::SETTLING_TIME) ago | it becomes current, the one before retires |
//! | a retired CA whose last leaf is over | it goes |

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    Announced, AuthorityError, CaStore, Certificate, Renewal, RenewalCause, Retired, TrustBundle,
    renewal::{MAX_CHECK_INTERVAL, next_check},
    secret::{self, Corrupt, Data, SecretFault},
    store::RETIREMENT,
    validity::after,
};

/// By how much the clocks of two replicas may differ before a stored time is taken for wrong.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(1);

/// What to do next.
#[derive(Debug)]
pub enum RotationStep {
    /// Nothing to write; publish the stored bundle where it is not, and look again.
    Wait {
        /// How long at most until the next look.
        check_in: Duration,
    },
    /// Write this store, publish its bundle, and plan again.
    Write {
        /// What to write; [`secret::encode`] lays it out.
        store: Box<CaStore>,
        /// Why, for the log and an event.
        change: StoreChange,
    },
}

/// Why a store is written.
#[derive(Debug)]
pub enum StoreChange {
    /// There was no CA.
    First,
    /// What was stored is damaged.
    Recovered(SecretFault),
    /// The current CA did not hold at this time.
    Replaced(RenewalCause),
    /// A stored time lay further ahead than it can.
    ClockWentBack,
    /// A CA was seen in all published bundles.
    Published,
    /// The next CA is gone from a published bundle; its settling starts over.
    Unpublished,
    /// A next CA was made.
    Prepared,
    /// The next CA is the current one.
    Switched,
    /// Retired CAs left the bundle.
    Dropped,
}

impl fmt::Display for StoreChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "made the first CA",
            Self::Recovered(fault) => return write!(f, "mended the stored CA: {fault}"),
            Self::Replaced(RenewalCause::NotYetValid) => "replaced the CA, which is not valid yet",
            Self::Replaced(_) => "replaced the CA, which has expired",
            Self::ClockWentBack => "corrected a time written by a clock that was ahead",
            Self::Published => "the CA is in all published bundles",
            Self::Unpublished => "the next CA is no longer in all published bundles",
            Self::Prepared => "made the next CA",
            Self::Switched => "the next CA signs from now on",
            Self::Dropped => "dropped a CA whose leaves are over",
        })
    }
}

/// The next step, given the Secret's data and the certificates that *every* published
/// configuration carries ([`TrustBundle::common`]). Who cannot see what is published passes the
/// stored bundle.
///
/// Ends in [`RotationStep::Wait`] after a few steps at the same time. The error is that no key or
/// certificate could be made.
pub fn plan(stored: &Data, published: &TrustBundle, now: Timestamp) -> Result<RotationStep, AuthorityError> {
    match secret::decode(stored) {
        Ok(None) => {
            let mut store = CaStore::first(now)?;
            keep_trusting(&mut store, published.certificates(), now);
            Ok(write(store, StoreChange::First))
        }
        Ok(Some(store)) => advance(store, published, now),
        Err(corrupt) => recover(*corrupt, published, now),
    }
}

fn write(store: CaStore, change: StoreChange) -> RotationStep {
    RotationStep::Write { store: Box::new(store), change }
}

fn recover(corrupt: Corrupt, published: &TrustBundle, now: Timestamp) -> Result<RotationStep, AuthorityError> {
    let whole = corrupt.current.filter(|ca| ca.authority.validity().contains(now));
    let current = match whole {
        Some(current) => current,
        None => Announced::generate(now)?,
    };
    let mut store = CaStore { current, next: None, retired: Vec::new() };
    let known = [corrupt.readable.certificates(), published.certificates()].concat();
    keep_trusting(&mut store, &known, now);
    Ok(write(store, StoreChange::Recovered(corrupt.fault)))
}

/// Takes CAs over from a place that does not say when they go: leaves of them may be in use.
fn keep_trusting(store: &mut CaStore, known: &[Certificate], now: Timestamp) {
    let mut old = known.to_vec();
    old.retain(|ca| ca.is_authority() && !ca.validity().is_over(now));
    // The youngest are the likeliest to have leaves in use, should there be more than are kept.
    old.sort_by_key(|ca| std::cmp::Reverse(ca.validity().not_before));
    let until = after(now, RETIREMENT);
    store.retire(old.into_iter().map(|certificate| Retired { certificate, until }));
}

fn advance(mut store: CaStore, published: &TrustBundle, now: Timestamp) -> Result<RotationStep, AuthorityError> {
    if let Renewal::Due(cause @ (RenewalCause::Expired | RenewalCause::NotYetValid)) = renewal(&store.current, now) {
        let holds = |next: &Announced| next.authority.validity().contains(now);
        let successor = match store.next.take().filter(holds) {
            Some(next) => next,
            None => Announced::generate(now)?,
        };
        return Ok(write(store.succeeded_by(successor, now), StoreChange::Replaced(cause)));
    }
    if correct_times(&mut store, now) {
        return Ok(write(store, StoreChange::ClockWentBack));
    }
    if store.current.published_at.is_none() && published.contains(store.current.authority.certificate()) {
        store.current.published_at = Some(now);
        return Ok(write(store, StoreChange::Published));
    }
    let overdue = store.retired.iter().any(|retired| retired.until <= now);
    if overdue {
        store.retired.retain(|retired| now < retired.until);
        return Ok(write(store, StoreChange::Dropped));
    }
    rotate(store, published, now)
}

fn rotate(mut store: CaStore, published: &TrustBundle, now: Timestamp) -> Result<RotationStep, AuthorityError> {
    let Some(mut next) = store.next.take_if(|next| !renewal(next, now).is_due()) else {
        // A next CA that is left here has itself grown too old to begin.
        if store.next.is_none() && !renewal(&store.current, now).is_due() {
            return Ok(wait(&store, now));
        }
        store.next = Some(Announced::generate(now)?);
        return Ok(write(store, StoreChange::Prepared));
    };
    let change = match (published.contains(next.authority.certificate()), next.published_at) {
        (true, Some(_)) if next.is_settled(now) => {
            return Ok(write(store.succeeded_by(next, now), StoreChange::Switched));
        }
        (true, None) => StoreChange::Published,
        (false, Some(_)) => StoreChange::Unpublished,
        (true, Some(_)) | (false, None) => {
            store.next = Some(next);
            return Ok(wait(&store, now));
        }
    };
    next.published_at = matches!(change, StoreChange::Published).then_some(now);
    store.next = Some(next);
    Ok(write(store, change))
}

fn renewal(announced: &Announced, now: Timestamp) -> Renewal {
    Renewal::of(announced.authority.validity(), now)
}

/// Pulls times that lie too far ahead back to what they would be if written now.
fn correct_times(store: &mut CaStore, now: Timestamp) -> bool {
    let mut corrected = false;
    let mut pull = |time: &mut Timestamp, latest: Timestamp| {
        if *time > after(latest, CLOCK_TOLERANCE) {
            *time = latest;
            corrected = true;
        }
    };
    let announced = [Some(&mut store.current), store.next.as_mut()].into_iter().flatten();
    for time in announced.filter_map(|announced| announced.published_at.as_mut()) {
        pull(time, now);
    }
    for retired in &mut store.retired {
        pull(&mut retired.until, after(now, RETIREMENT));
    }
    corrected
}

fn wait(store: &CaStore, now: Timestamp) -> RotationStep {
    let settling = store.next.as_ref().and_then(Announced::settles_at);
    let ageing = match renewal(&store.current, now) {
        Renewal::At(at) => Some(at),
        Renewal::Due(_) => None,
    };
    let retiring = store.retired.iter().map(|retired| retired.until);
    let soonest = retiring.chain(settling).chain(ageing).min();
    RotationStep::Wait { check_in: soonest.map_or(MAX_CHECK_INTERVAL, |at| next_check(at, now)) }
}

#[cfg(test)]
mod tests;
