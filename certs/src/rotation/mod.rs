//! Lifecycle of a CA, in single steps.
//!
//! [`plan`] determines the next step from the stored data, the published bundle and the time. A step is one write of
//! the Secret (with a precondition on the data that was read) and the publication of its bundle. Then the plan is made
//! again, by this replica or another. No state is kept between steps, so that an interruption at any point loses
//! nothing.
//!
//! | stored | step |
//! |---|---|
//! | nothing | store the first CA; certificates that are already published stay in the bundle |
//! | damaged data | store its intact current CA or a new one; readable and published certificates stay in the bundle |
//! | a current CA that is not valid now (the clock jumped, or the machine slept) | replace the current CA at once |
//! | an older Secret that was put back: other CAs are published than it contains | trust them for [`OVERLAP`] |
//! | a time that only a clock that was ahead can have written | correct the time |
//! | a CA that all published bundles contain | store the time of its publication |
//! | a current CA at two thirds of its lifetime | add the next CA to the bundle |
//! | a next CA, published for [`PROPAGATION_TIME`] | make it the current CA, and retire the previous one |
//! | a retired CA whose last leaf has expired | remove it from the bundle, then from the store |
//! | a CA of another source | see [`trusted`](crate::trusted) |
//!
//! [`OVERLAP`]: crate::trusted::OVERLAP
//! [`PROPAGATION_TIME`]: crate::store::PROPAGATION_TIME

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    Announced, AuthorityError, CaStore, Certificate, Renewal, RenewalCause, Retired, TrustBundle, TrustedCas,
    renewal::{MAX_CHECK_INTERVAL, next_check},
    secret::{self, Corrupt, Data, SecretFault},
    store::RETIREMENT,
    validity::after,
};

/// Maximum difference between the clocks of two replicas. A stored time that is further ahead is corrected.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(1);

/// Next step of a rotation.
#[derive(Debug)]
pub enum RotationStep {
    /// Publish the stored bundle where it is not published yet, and plan again later. There is nothing to write.
    Wait {
        /// Maximum time until the next plan.
        check_in: Duration,
    },
    /// Write this store, publish its bundle, and plan again.
    Write {
        /// Store to write, in the encoding of [`secret::encode`].
        store: Box<CaStore>,
        /// Change, for the log and an event.
        change: StoreChange,
    },
}

/// Change of a store that is written.
#[derive(Debug)]
pub enum StoreChange {
    /// The first CA was generated.
    First,
    /// The stored data was damaged, and has been repaired.
    Repaired(SecretFault),
    /// The current CA was not valid, and has been replaced.
    Replaced(RenewalCause),
    /// A stored time was too far ahead, and has been corrected.
    ClockWentBack,
    /// All published bundles contain a CA.
    Published,
    /// A published bundle no longer contains the next CA. Its propagation starts over.
    Unpublished,
    /// The next CA was generated.
    Prepared,
    /// The next CA has become the current one.
    Switched,
    /// Retired CAs were removed from the store, after they were removed from the published bundles.
    Dropped,
    /// The list of CAs of other sources has changed.
    Trusted,
}

impl fmt::Display for StoreChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "made the first CA",
            Self::Repaired(fault) => return write!(f, "repaired the stored CA: {fault}"),
            Self::Replaced(RenewalCause::NotYetValid) => "replaced the CA, which is not valid yet",
            Self::Replaced(_) => "replaced the CA, which has expired",
            Self::ClockWentBack => "corrected a time written by a clock that was ahead",
            Self::Published => "the CA is in all published bundles",
            Self::Unpublished => "the next CA is no longer in all published bundles",
            Self::Prepared => "made the next CA",
            Self::Switched => "the next CA signs from now on",
            Self::Dropped => "dropped a CA whose leaves are over",
            Self::Trusted => "changed the list of CAs that are trusted in addition",
        })
    }
}

/// Plans the next step, given the Secret's data and the certificates that *every* published configuration contains
/// ([`TrustBundle::common`]). If the published configurations are unknown, `published` is [`CaStore::bundle_at`] of the
/// stored data.
///
/// Repeated calls with the same time lead to [`RotationStep::Wait`] after a few steps. Returns an error if no key or
/// certificate could be generated.
///
/// ```
/// use jiff::Timestamp;
/// use nats_manager_certs::{RotationStep, StoreChange, TrustBundle, plan, secret};
///
/// let now: Timestamp = "2026-02-03T04:05:06Z".parse()?;
/// let RotationStep::Write { store, change } = plan(&secret::Data::new(), &TrustBundle::default(), now)? else {
///     return Err("no CA is stored yet".into());
/// };
/// assert!(matches!(change, StoreChange::First));
///
/// let stored = secret::encode(&store);
/// let RotationStep::Write { change, .. } = plan(&stored, &store.bundle(), now)? else {
///     return Err("the time of the publication is not stored yet".into());
/// };
/// assert!(matches!(change, StoreChange::Published));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn plan(stored: &Data, published: &TrustBundle, now: Timestamp) -> Result<RotationStep, AuthorityError> {
    match secret::decode(stored) {
        Ok(None) => {
            let mut store = CaStore { trusted: secret::trusted(stored, now), ..CaStore::first(now)? };
            keep_trusting(&mut store, published.certificates(), now);
            Ok(write(store, StoreChange::First))
        }
        Ok(Some(store)) => advance(store, published, now),
        Err(corrupt) => {
            let trusted = secret::trusted(stored, now);
            repair(*corrupt, trusted, published, now)
        }
    }
}

fn write(store: CaStore, change: StoreChange) -> RotationStep {
    RotationStep::Write { store: Box::new(store), change }
}

fn repair(
    corrupt: Corrupt,
    trusted: TrustedCas,
    published: &TrustBundle,
    now: Timestamp,
) -> Result<RotationStep, AuthorityError> {
    let intact = corrupt.current.filter(|ca| ca.authority.validity().contains(now));
    let current = match intact {
        Some(current) => current,
        None => Announced::generate(now)?,
    };
    let mut store = CaStore { trusted, ..CaStore::signed_by(current) };
    let known = [corrupt.readable.certificates(), published.certificates()].concat();
    keep_trusting(&mut store, &known, now);
    Ok(write(store, StoreChange::Repaired(corrupt.fault)))
}

/// Keeps CAs in the bundle whose time of removal is unknown, because their leaves may be in use.
fn keep_trusting(store: &mut CaStore, known: &[Certificate], now: Timestamp) {
    let mut old = known.to_vec();
    old.retain(|ca| ca.is_authority() && !ca.validity().is_expired(now) && store.trusted.end_of(ca).is_none());
    // If there are more CAs than are kept, the newest ones are the most likely to have leaves in use.
    old.sort_by_key(|ca| std::cmp::Reverse(ca.validity().not_before));
    let until = after(now, RETIREMENT);
    store.retire(old.into_iter().map(|certificate| Retired { certificate, until }));
}

fn advance(mut store: CaStore, published: &TrustBundle, now: Timestamp) -> Result<RotationStep, AuthorityError> {
    if review_trusted(&mut store, published, now) {
        return Ok(write(store, StoreChange::Trusted));
    }
    if let Renewal::Due(cause @ (RenewalCause::Expired | RenewalCause::NotYetValid)) = renewal(&store.current, now) {
        let is_valid = |next: &Announced| next.authority.validity().contains(now);
        let successor = match store.next.take().filter(is_valid) {
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
    let is_over = |retired: &Retired| retired.until <= now && !published.contains(&retired.certificate);
    if store.retired.iter().any(is_over) {
        store.retired.retain(|retired| !is_over(retired));
        return Ok(write(store, StoreChange::Dropped));
    }
    rotate(store, published, now)
}

/// Reviews the CAs of other sources. Returns whether the store has changed.
fn review_trusted(store: &mut CaStore, published: &TrustBundle, now: Timestamp) -> bool {
    let own = store.own_bundle();
    let trusted = store.trusted.reviewed(&own, published, now);
    if trusted == store.trusted {
        return false;
    }
    // An older store was put back. Its CA is not trusted, whatever time is stored, and must not sign yet.
    let is_older = !store.trusted.unknown(&own, published).is_empty();
    if is_older && !published.contains(store.current.authority.certificate()) {
        store.current.published_at = None;
    }
    store.trusted = trusted;
    true
}

fn rotate(mut store: CaStore, published: &TrustBundle, now: Timestamp) -> Result<RotationStep, AuthorityError> {
    let Some(mut next) = store.next.take_if(|next| !renewal(next, now).is_due()) else {
        // A next CA that is still present here is itself due for renewal, and is replaced.
        if store.next.is_none() && !renewal(&store.current, now).is_due() {
            return Ok(wait(&store, now));
        }
        store.next = Some(Announced::generate(now)?);
        return Ok(write(store, StoreChange::Prepared));
    };
    let change = match (published.contains(next.authority.certificate()), next.published_at) {
        (true, Some(_)) if next.is_propagated(now) => {
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

/// Corrects times that are too far ahead to the value that they would have if they were written now. Returns whether
/// any was.
fn correct_times(store: &mut CaStore, now: Timestamp) -> bool {
    let mut is_corrected = false;
    let mut limit = |time: &mut Timestamp, latest: Timestamp| {
        if *time > after(latest, CLOCK_TOLERANCE) {
            *time = latest;
            is_corrected = true;
        }
    };
    let announced = [Some(&mut store.current), store.next.as_mut()].into_iter().flatten();
    for time in announced.filter_map(|announced| announced.published_at.as_mut()) {
        limit(time, now);
    }
    for retired in &mut store.retired {
        limit(&mut retired.until, after(now, RETIREMENT));
    }
    is_corrected
}

fn wait(store: &CaStore, now: Timestamp) -> RotationStep {
    let propagation = store.next.as_ref().and_then(Announced::propagated_at);
    let renewal_at = match renewal(&store.current, now) {
        Renewal::At(at) => Some(at),
        Renewal::Due(_) => None,
    };
    let retirements = store.retired.iter().map(|retired| retired.until);
    let ends = store.trusted.entries().iter().map(|trusted| trusted.until);
    let soonest = retirements.chain(ends).chain(propagation).chain(renewal_at).min();
    RotationStep::Wait { check_in: soonest.map_or(MAX_CHECK_INTERVAL, |at| next_check(at, now)) }
}

#[cfg(test)]
mod tests;
