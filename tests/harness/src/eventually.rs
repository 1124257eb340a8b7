use std::{
    fmt::Display,
    future::Future,
    panic::Location,
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_millis(100);

/// What a probe saw, where it wants to say more than that it is not there yet.
#[derive(Debug)]
pub enum Seen<T = ()> {
    /// What was waited for.
    Done(T),
    /// Something else: what it was, for the failure message.
    NotYet(String),
}

/// What a probe may return: `bool`, `Option<T>`, [`Seen<T>`], or a `Result` of one of them. An error counts as "not
/// yet", since what is being waited for is often what makes it go away.
pub trait Attempt {
    /// What [`eventually`] returns.
    type Value;

    /// What was waited for, or what was seen in its place.
    fn seen(self) -> Seen<Self::Value>;
}

impl Attempt for bool {
    type Value = ();

    fn seen(self) -> Seen {
        if self { Seen::Done(()) } else { Seen::NotYet("false".to_owned()) }
    }
}

impl<T> Attempt for Option<T> {
    type Value = T;

    fn seen(self) -> Seen<T> {
        self.map_or_else(|| Seen::NotYet("nothing".to_owned()), Seen::Done)
    }
}

impl<T> Attempt for Seen<T> {
    type Value = T;

    fn seen(self) -> Seen<T> {
        self
    }
}

impl<O: Attempt, E: Display> Attempt for Result<O, E> {
    type Value = O::Value;

    fn seen(self) -> Seen<O::Value> {
        match self {
            Ok(outcome) => outcome.seen(),
            Err(error) => Seen::NotYet(error.to_string()),
        }
    }
}

/// Probes every 100 ms until it finds what it waits for, and returns that.
///
/// # Panics
/// When the time is over: the message names `what`, the caller's line and what was seen last.
#[track_caller]
pub fn eventually<O, F, P>(what: &str, timeout: Duration, mut probe: P) -> impl Future<Output = O::Value>
where
    O: Attempt,
    F: Future<Output = O>,
    P: FnMut() -> F,
{
    let caller = Location::caller();
    async move {
        let started = Instant::now();
        let mut last = "nothing: the first probe did not come back".to_owned();
        while let Some(left) = timeout.checked_sub(started.elapsed()) {
            match tokio::time::timeout(left, probe()).await.map(Attempt::seen) {
                Ok(Seen::Done(value)) => return value,
                Ok(Seen::NotYet(seen)) => last = seen,
                Err(_) => break,
            }
            tokio::time::sleep(INTERVAL).await;
        }
        give_up(what, timeout, caller, &last)
    }
}

#[allow(clippy::panic, reason = "a test that waits in vain has failed")]
fn give_up(what: &str, timeout: Duration, caller: &Location<'_>, last: &str) -> ! {
    panic!("{caller}: not within {timeout:?}: {what}; last seen: {last}")
}
