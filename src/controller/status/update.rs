//! A status that is being written, and what is to be announced of it.
//!
//! What is news is told by comparison with the old status, and the state is settled in the end: who
//! speaks first makes no difference.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use nats_manager_api::{ConditionType, NatsStatus, Reason, State};

/// Something to announce as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Whether somebody should look.
    pub warning: bool,
    /// Why.
    pub reason: Reason,
    /// What.
    pub message: String,
}

pub(super) struct Update<'a> {
    pub(super) old: &'a NatsStatus,
    pub(super) status: NatsStatus,
    pub(super) generation: i64,
    now: &'a Time,
    state: Option<State>,
    is_warned: bool,
    events: Vec<Announcement>,
}

impl<'a> Update<'a> {
    pub(super) fn new(old: &'a NatsStatus, generation: i64, now: &'a Time) -> Self {
        let status = NatsStatus { observed_generation: Some(generation), ..old.clone() };
        Self { old, status, generation, now, state: None, is_warned: false, events: Vec::new() }
    }

    /// The state stays what it was where nobody said otherwise. One that works, and that somebody
    /// should look at, is a Warning.
    pub(super) fn finish(self) -> (NatsStatus, Vec<Announcement>) {
        let mut status = self.status;
        let state =
            self.state.map(|state| if state == State::Ready && self.is_warned { State::Warning } else { state });
        if let Some(state) = state {
            status.state = state.to_string();
        }
        let level = status.condition(ConditionType::Storage).map(|told| told.reason.clone());
        if let Some(facts) = &mut status.jet_stream {
            facts.storage = level.unwrap_or_default();
        }
        (status, self.events)
    }

    pub(super) fn state(&mut self, state: State) {
        self.state = Some(state);
    }

    /// Somebody should look, though it works.
    pub(super) fn warn(&mut self) {
        self.is_warned = true;
    }

    pub(super) fn announce(&mut self, warning: bool, reason: Reason, message: &str) {
        self.events.push(Announcement { warning, reason, message: message.to_owned() });
    }

    /// The first words about a resource.
    pub(super) fn greet(&mut self) {
        if self.old.state.is_empty() {
            self.announce(false, Reason::Processing, "Initializing NATS resource.");
        }
    }

    /// Sets a condition; the transition time is that of the last change of its status. Tells
    /// whether it says something new.
    pub(super) fn set(&mut self, kind: ConditionType, holds: bool, reason: Reason, message: &str) -> bool {
        self.set_to(kind, if holds { "True" } else { "False" }, reason, message)
    }

    /// As [`Update::set`], for a status that may be unknown.
    pub(super) fn set_to(&mut self, kind: ConditionType, status: &str, reason: Reason, message: &str) -> bool {
        let before = self.old.condition(kind);
        let since = before.filter(|before| before.status == status).map(|before| before.last_transition_time.clone());
        let is_news = before.is_none_or(|before| {
            before.status != status || before.reason != reason.to_string() || before.message != message
        });
        let condition = Condition {
            type_: kind.to_string(),
            status: status.to_owned(),
            reason: reason.to_string(),
            message: message.to_owned(),
            last_transition_time: since.unwrap_or_else(|| self.now.clone()),
            observed_generation: Some(self.generation),
        };
        match self.status.conditions.iter_mut().find(|known| known.type_ == condition.type_) {
            Some(known) => *known = condition,
            None => self.status.conditions.push(condition),
        }
        is_news
    }
}
