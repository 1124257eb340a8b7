//! Announcement of this replica's CA, while the apiserver does not trust it and the leader does not provide for that.
//!
//! The leader publishes the CAs of its own source. A replica with another source, as there is one while the source is
//! changed, adds its CA to the list in the Secret that the leader publishes as well. If it has no CA to sign with, it
//! makes one: a leader with mounted certificates makes none.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use nats_manager_certs::{
    AuthorityError, Certificate, RotationStep, StoreChange, TrustBundle, TrustedCas, plan, secret::encode,
    trusted::OVERLAP,
};

use super::{
    CA_SECRET, WebhookSettings,
    ca_secret::{CaSecret, is_conflict},
    publish::{published_bundle, published_or_stored},
};
use crate::error_message::summary;

/// Requirement of the certificate that a replica serves, or will serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Requirement {
    /// Nothing that another replica could provide.
    Nothing,
    /// Valid CA in the Secret.
    Authority,
    /// Trust in one of these certificates, each of which verifies the certificate.
    Trust(Vec<Certificate>),
}

/// State of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Met,
    /// The entry in the list of trusted CAs ends soon.
    Ending,
    /// The leader may be about to meet it.
    Unmet,
}

/// Announcer of a replica.
pub(super) struct Announcer {
    secret: CaSecret,
    settings: WebhookSettings,
    /// Time since which a requirement is not met.
    unmet_since: Option<Instant>,
}

/// Failure to write the Secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnnouncementError {
    #[error("cannot make a CA: {0}")]
    Authority(#[from] AuthorityError),
    #[error("cannot write the Secret {CA_SECRET}: {}", summary(.0))]
    Secret(#[from] kube::Error),
}

/// Time within which a leader with the same source meets a requirement.
const GRACE: Duration = Duration::from_secs(10);
/// Interval between checks.
const CHECK_INTERVAL: Duration = Duration::from_mins(1);
/// Delay after a write conflict.
const CONFLICT_DELAY: Duration = Duration::from_secs(1);

impl Announcer {
    pub(super) fn new(secret: CaSecret, settings: WebhookSettings) -> Self {
        Self { secret, settings, unmet_since: None }
    }

    /// Meets the requirement, if the leader has not done so in time. Returns the delay until the next call.
    pub(super) async fn meet(&mut self, requirement: &Requirement) -> Result<Duration, AnnouncementError> {
        let now = Timestamp::now();
        let published = published_bundle(&self.secret.webhook_caches);
        let trusted = self.secret.trusted();
        match state(requirement, self.settings.managed, &trusted, &published, now) {
            State::Met => {
                self.unmet_since = None;
                return Ok(CHECK_INTERVAL);
            }
            State::Unmet => {
                let waited = self.unmet_since.get_or_insert_with(Instant::now).elapsed();
                if waited < GRACE {
                    return Ok(GRACE.saturating_sub(waited));
                }
            }
            State::Ending => {}
        }
        self.unmet_since = None;
        let written = match requirement {
            Requirement::Nothing => Ok(()),
            Requirement::Authority => self.make_authority(now).await,
            Requirement::Trust(certificates) => {
                let written = self.secret.write_trusted(trusted.with(certificates, now)).await;
                if written.is_ok() {
                    tracing::info!("announced the CA of this replica, which the apiserver does not trust otherwise");
                }
                written.map_err(AnnouncementError::Secret)
            }
        };
        match written {
            Ok(()) => Ok(GRACE),
            Err(AnnouncementError::Secret(error)) if is_conflict(&error) => {
                // The conflict is with another replica, which has not necessarily met the requirement.
                self.unmet_since = Instant::now().checked_sub(GRACE);
                Ok(CONFLICT_DELAY)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a CA where there is none that is intact and valid, as the leader does.
    async fn make_authority(&self, now: Timestamp) -> Result<(), AnnouncementError> {
        let data = self.secret.data();
        let published = published_or_stored(&self.secret.webhook_caches, &self.settings, &data, now);
        if let RotationStep::Write { store, change } = plan(&data, &published, now)?
            && matches!(change, StoreChange::First | StoreChange::Repaired(_) | StoreChange::Replaced(_))
        {
            self.secret.write(encode(&store)).await?;
            tracing::info!(%change, "updated the webhook's CA in place of the leader");
        }
        Ok(())
    }
}

/// Returns whether the requirement is met. Where others publish the bundle, trust is their responsibility.
fn state(
    requirement: &Requirement,
    is_managed: bool,
    trusted: &TrustedCas,
    published: &TrustBundle,
    now: Timestamp,
) -> State {
    let certificates = match requirement {
        Requirement::Nothing => return State::Met,
        Requirement::Authority => return State::Unmet,
        Requirement::Trust(certificates) if certificates.is_empty() || !is_managed => return State::Met,
        Requirement::Trust(certificates) => certificates,
    };
    match certificates.iter().filter_map(|certificate| trusted.end_of(certificate)).max() {
        Some(end) if end.duration_since(now) < OVERLAP / 2 => State::Ending,
        Some(_) => State::Met,
        None if certificates.iter().any(|certificate| published.contains(certificate)) => State::Met,
        None => State::Unmet,
    }
}

#[cfg(test)]
mod tests {
    use nats_manager_certs::Authority;

    use super::*;

    #[test]
    fn replica_announces_only_what_no_leader_provides() {
        let now: Timestamp = "2026-02-03T04:05:06Z".parse().unwrap();
        let [ours, other] = [(); 2].map(|()| Authority::generate(now).unwrap().certificate().clone());
        let bundle = |all: &[&Certificate]| all.iter().copied().cloned().collect::<TrustBundle>();
        let since = |minute: i64| {
            let at = now - jiff::SignedDuration::from_mins(minute);
            TrustedCas::default().with(std::slice::from_ref(&ours), at)
        };
        let trust = |all: &[&Certificate]| Requirement::Trust(all.iter().copied().cloned().collect());
        let none = TrustedCas::default();
        let cases = [
            ("no certificate yet", Requirement::Nothing, none.clone(), bundle(&[]), State::Met),
            ("no CA", Requirement::Authority, none.clone(), bundle(&[]), State::Unmet),
            ("published by the leader", trust(&[&ours]), none.clone(), bundle(&[&ours]), State::Met),
            ("one of two is published", trust(&[&ours, &other]), none.clone(), bundle(&[&other]), State::Met),
            ("not published", trust(&[&ours]), none.clone(), bundle(&[&other]), State::Unmet),
            ("self-signed without a CA", trust(&[]), none, bundle(&[&other]), State::Met),
            ("announced, the leader publishes soon", trust(&[&ours]), since(0), bundle(&[&other]), State::Met),
            ("announced and published", trust(&[&ours]), since(30), bundle(&[&ours]), State::Met),
            ("ends within half an hour", trust(&[&ours]), since(31), bundle(&[&ours]), State::Ending),
            ("has ended", trust(&[&ours]), since(61), bundle(&[&ours]), State::Ending),
        ];
        for (case, requirement, trusted, published, expected) in cases {
            assert_eq!(state(&requirement, true, &trusted, &published, now), expected, "{case}");
            let unmanaged = state(&requirement, false, &trusted, &published, now);
            let is_own_task = requirement == Requirement::Authority;
            assert_eq!(unmanaged, if is_own_task { State::Unmet } else { State::Met }, "{case}, unmanaged");
        }
    }
}
