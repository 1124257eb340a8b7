//! What a connection is doing, for those who decide which one has to go.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

/// An answer takes less than a millisecond: whoever is at it longer is waiting for a slow client.
const LONG_ANSWER: Duration = Duration::from_secs(1);

/// What a connection is doing, shared between it and the server.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    since: Instant,
    answering: bool,
}

impl Activity {
    /// A connection just accepted.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { since: Instant::now(), answering: false }))
    }

    /// It begins to wait for its client.
    pub(super) fn waits(&self) {
        self.set(false);
    }

    /// A request has come.
    pub(super) fn answers(&self) {
        self.set(true);
    }

    pub(super) fn is_answering(&self) -> bool {
        self.lock().answering
    }

    /// Since when it has been waiting for its client, if it is.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let state = self.lock();
        (!state.answering || state.since.elapsed() > LONG_ANSWER).then_some(state.since)
    }

    fn set(&self, answering: bool) {
        *self.lock() = State { since: Instant::now(), answering };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
