//! When JetStream is looked at, and what was seen last.
//!
//! Reconciles come in bursts, looks do not: one that is young enough is used again. At rest that is
//! less than a request to each server in ten seconds.

use std::{
    sync::{Arc, Mutex as StateMutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use crate::jetstream::{self, Look, Target};

/// The eyes of the controller.
#[derive(Debug)]
pub(super) struct Looker {
    /// Off where pods cannot be reached: outside the cluster.
    on: bool,
    last: Mutex<Option<(Instant, Arc<Look>)>>,
    /// Whether a server ever answered.
    reached: StateMutex<bool>,
    /// What lasts, and since when.
    trouble: StateMutex<Since>,
    waiting: StateMutex<Since>,
    silence: StateMutex<Since>,
    /// That servers are ready, and none ever answered.
    unreached: StateMutex<Since>,
}

/// Whom a look is at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Servers<'a> {
    /// Where they are asked.
    pub(super) targets: &'a [Target],
    /// Whether one of them is ready, so that it should answer.
    pub(super) are_ready: bool,
    /// Whether an earlier manager saw JetStream.
    pub(super) were_reached: bool,
}

/// What is known of JetStream.
#[derive(Clone, Debug)]
pub(super) enum Sighting {
    /// It is not to be looked at.
    Off,
    /// No server is ready yet, so none has to answer.
    Starting,
    /// Servers are ready, and none has answered so far: a new manager's address may not be known in
    /// the network for a moment.
    NotYet,
    /// None ever answered, for so long that none will; and why.
    Never(String),
    /// What the servers say; some or all may be silent.
    Seen(Arc<Look>),
}

/// Since when something holds.
#[derive(Debug, Default)]
pub(super) struct Since(Option<(String, Instant)>);

/// How old a look may be while nothing is under way.
pub(super) const AT_REST: Duration = Duration::from_secs(12);
/// How old it may be otherwise.
pub(super) const BUSY: Duration = Duration::from_secs(1);
/// How long servers that are ready may be unreached until that is how it is (a network policy).
const GIVEN_UP_AFTER: Duration = Duration::from_secs(90);

impl Looker {
    pub(super) fn new(on: bool) -> Self {
        Self {
            on,
            last: Mutex::default(),
            reached: StateMutex::default(),
            trouble: StateMutex::default(),
            waiting: StateMutex::default(),
            silence: StateMutex::default(),
            unreached: StateMutex::default(),
        }
    }

    /// Whether it looks at all.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// A look that is not older than `age`.
    pub(super) async fn look(&self, servers: Servers<'_>, age: Duration) -> Sighting {
        if !self.on {
            return Sighting::Off;
        }
        let Servers { targets, are_ready, were_reached } = servers;
        let mut last = self.last.lock().await;
        let young = last.as_ref().filter(|(at, look)| at.elapsed() < age && is_of(look, targets));
        let look = if let Some((_, look)) = young {
            look.clone()
        } else {
            let look = Arc::new(jetstream::look(targets).await);
            *last = Some((Instant::now(), look.clone()));
            look
        };
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        *reached |= were_reached || look.servers.values().any(Result::is_ok);
        if *reached {
            return Sighting::Seen(look);
        }
        let mut since = self.unreached.lock().unwrap_or_else(PoisonError::into_inner);
        unreached(&look, are_ready, &mut since, Instant::now())
    }

    /// Whether there was neither trouble nor a wait at the last look.
    pub(super) fn is_at_ease(&self) -> bool {
        let none = |since: &StateMutex<Since>| since.lock().unwrap_or_else(PoisonError::into_inner).0.is_none();
        none(&self.trouble) && none(&self.waiting) && none(&self.silence)
    }

    /// For how long there has been this trouble.
    pub(super) fn trouble_for(&self, trouble: Option<&str>) -> Duration {
        lasting(&self.trouble, trouble)
    }

    /// For how long this has been waited for.
    pub(super) fn waiting_for(&self, what: Option<&str>) -> Duration {
        lasting(&self.waiting, what)
    }

    /// For how long no server has answered.
    pub(super) fn silent_for(&self, look: &Look) -> Duration {
        let silent = look.servers.values().all(Result::is_err);
        lasting(&self.silence, silent.then_some("silent"))
    }
}

impl Since {
    /// For how long `what` has held; none starts anew.
    fn lasting(&mut self, what: Option<&str>, now: Instant) -> Duration {
        match (&self.0, what) {
            (Some((known, since)), Some(what)) if known == what => now.duration_since(*since),
            (_, what) => {
                self.0 = what.map(|what| (what.to_owned(), now));
                Duration::ZERO
            }
        }
    }
}

fn lasting(since: &StateMutex<Since>, what: Option<&str>) -> Duration {
    since.lock().unwrap_or_else(PoisonError::into_inner).lasting(what, Instant::now())
}

/// Whether it is of these servers.
fn is_of(look: &Look, targets: &[Target]) -> bool {
    look.servers.len() == targets.len() && targets.iter().all(|target| look.servers.contains_key(&target.name))
}

/// What to make of servers of which none ever answered.
fn unreached(look: &Look, are_ready: bool, since: &mut Since, now: Instant) -> Sighting {
    let lasted = since.lasting(are_ready.then_some("unreached"), now);
    if !are_ready {
        Sighting::Starting
    } else if lasted < GIVEN_UP_AFTER {
        Sighting::NotYet
    } else {
        Sighting::Never(why_never(look))
    }
}

fn why_never(look: &Look) -> String {
    let first = look.servers.iter().find_map(|(name, answer)| Some((name, answer.as_ref().err()?)));
    first.map_or_else(|| "no server is there yet".to_owned(), |(name, cause)| format!("{name}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_timed_from_its_first_sight() {
        let (mut since, start) = (Since::default(), Instant::now());
        let mut after = |what, seconds| since.lasting(what, start + Duration::from_secs(seconds)).as_secs();
        assert_eq!((after(Some("a"), 0), after(Some("a"), 7), after(Some("b"), 9), after(Some("b"), 10)), (0, 7, 0, 1));
        assert_eq!((after(None, 11), after(Some("b"), 12)), (0, 0));
    }

    #[test]
    fn servers_that_never_answered_are_given_up_when_they_have_been_ready_for_a_while() {
        let silence = Err(jetstream::Silence("no route".to_owned()));
        let look = Look { servers: [("n-0".to_owned(), silence)].into() };
        let (mut since, start) = (Since::default(), Instant::now());
        for (seconds, are_ready, expected) in [
            (0, false, "Starting"),
            (600, false, "Starting"),
            (601, true, "NotYet"),
            (690, true, "NotYet"),
            (691, true, r#"Never("n-0: no route")"#),
            (692, false, "Starting"),
            (693, true, "NotYet"),
        ] {
            let sighting = unreached(&look, are_ready, &mut since, start + Duration::from_secs(seconds));
            assert_eq!(format!("{sighting:?}"), expected, "{seconds}");
        }
    }

    #[tokio::test]
    async fn without_an_answer_it_is_not_yet_seen() {
        let target = Target { name: "n-0".to_owned(), address: "127.0.0.1:1".parse().unwrap(), stopping: false };
        let servers = Servers { targets: std::slice::from_ref(&target), are_ready: true, were_reached: false };
        assert!(matches!(Looker::new(true).look(servers, AT_REST).await, Sighting::NotYet));
        let known = Servers { were_reached: true, ..servers };
        assert!(matches!(Looker::new(true).look(known, AT_REST).await, Sighting::Seen(_)));
        assert!(matches!(Looker::new(false).look(known, AT_REST).await, Sighting::Off));
    }
}
