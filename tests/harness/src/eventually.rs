use std::{
    fmt::Display,
    future::Future,
    panic::Location,
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_millis(100);

/// Result of a probe, with a description of the actual state if it is not the expected one.
#[derive(Debug)]
pub enum Seen<T = ()> {
    /// Value that the wait is for.
    Done(T),
    /// Description of the actual state, for the failure message.
    NotYet(String),
}

/// Return type of a probe: `bool`, `Option<T>`, [`Seen<T>`], or a `Result` of one of them. An error counts as "not
/// yet", since it often disappears when the expected state is reached.
pub trait Attempt {
    /// Type of the value that [`eventually`] returns.
    type Value;

    /// Returns the value, or a description of the actual state.
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

/// Runs the probe every 100 ms until it returns a value, and returns the value.
///
/// # Panics
/// After the timeout. The message contains `what`, the line of the caller and the last actual state.
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
        let mut last = "nothing: the first probe did not return".to_owned();
        while let Some(left) = timeout.checked_sub(started.elapsed()) {
            match tokio::time::timeout(left, probe()).await.map(Attempt::seen) {
                Ok(Seen::Done(value)) => return value,
                Ok(Seen::NotYet(seen)) => last = seen,
                Err(_) => break,
            }
            tokio::time::sleep(INTERVAL).await;
        }
        fail(what, timeout, caller, &last)
    }
}

#[allow(clippy::panic, reason = "a test whose wait times out has failed")]
fn fail(what: &str, timeout: Duration, caller: &Location<'_>, last: &str) -> ! {
    panic!("{caller}: not within {timeout:?}: {what}; last seen: {last}")
}
