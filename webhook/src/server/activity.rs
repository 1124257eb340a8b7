//! State of a connection, from which the connection limiter selects the one to close.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

/// Time after which a response counts as waiting for a slow client: it takes less than a millisecond otherwise.
const SLOW_RESPONSE: Duration = Duration::from_secs(1);

/// State of a connection, shared between its task and the connection limiter.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    since: Instant,
    is_answering: bool,
}

impl Activity {
    /// Creates the state of a connection that was just accepted.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { since: Instant::now(), is_answering: false }))
    }

    /// Marks the connection as waiting for its client.
    pub(super) fn set_waiting(&self) {
        self.set(false);
    }

    /// Marks the connection as busy with a request.
    pub(super) fn set_answering(&self) {
        self.set(true);
    }

    /// Returns whether a request is in progress.
    pub(super) fn is_answering(&self) -> bool {
        self.lock().is_answering
    }

    /// Returns the time since which the connection has waited for its client, if it does.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let state = self.lock();
        (!state.is_answering || state.since.elapsed() > SLOW_RESPONSE).then_some(state.since)
    }

    /// Returns the time of the last change.
    pub(super) fn since(&self) -> Instant {
        self.lock().since
    }

    fn set(&self, is_answering: bool) {
        *self.lock() = State { since: Instant::now(), is_answering };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
