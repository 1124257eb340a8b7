//! The new status, and its difference to the old one.
//!
//! A condition counts as changed if it differs from the old status, and the state is computed at the end. So the order
//! in which conditions are set makes no difference.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{self as meta, Condition},
    jiff::Timestamp,
};
use nats_manager_api::{ConditionType, ModuleState, NatsStatus, OperationStatus, Reason};
use nats_manager_planner::{Time, plan::Observation};

use super::severity::LASTING;

/// Event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// True for type Warning, false for Normal.
    pub is_warning: bool,
    pub reason: Reason,
    pub message: String,
}

/// Cause for which the state of the servers is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unobserved {
    /// Constant part of the message.
    pub(super) head: String,
    /// Error that may differ at each poll.
    pub(super) cause: Option<String>,
    /// True if the state ends by itself, so that no condition is rewritten.
    pub(super) is_transient: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConditionStatus {
    True,
    False,
    Unknown,
}

/// Builder of the new status.
pub(super) struct Update<'a> {
    pub(super) old: &'a NatsStatus,
    pub(super) status: NatsStatus,
    pub(super) generation: i64,
    pub(super) now: Time,
    state: Option<ModuleState>,
    is_warned: bool,
    events: Vec<Announcement>,
}

/// Condition of versions before November 2026, which is removed.
const PROGRESSING: &str = "Progressing";

/// Conditions that a status always has.
const ALWAYS: [ConditionType; 8] = [
    ConditionType::Ready,
    ConditionType::Available,
    ConditionType::Reconciling,
    ConditionType::Stalled,
    ConditionType::StatefulSet,
    ConditionType::AvailabilityZones,
    ConditionType::Storage,
    ConditionType::JetStream,
];

impl ConditionStatus {
    pub(super) fn of(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl Unobserved {
    /// Returns the cause that an observation contains. `None` if servers ever answered.
    pub(super) fn of(observation: &Observation<'_>) -> Option<Self> {
        let (reason, is_transient) = match observation {
            Observation::Seen(_) => return None,
            Observation::Off => ("the servers are not polled (--nats-url)", false),
            Observation::Starting => ("no server is ready yet", true),
            Observation::Pending => ("no server has answered at its monitoring port (8222) yet", true),
            Observation::Unobservable { .. } => ("no server answers at its monitoring port (8222)", false),
        };
        let cause = match observation {
            Observation::Unobservable { cause } => Some(cause.clone()),
            _ => None,
        };
        Some(Self { head: format!("JetStream cannot be observed: {reason}"), cause, is_transient })
    }

    pub(super) fn message(&self) -> String {
        self.cause.as_ref().map_or_else(|| self.head.clone(), |cause| format!("{}: {cause}", self.head))
    }
}

impl<'a> Update<'a> {
    pub(super) fn new(old: &'a NatsStatus, generation: i64, now: Time) -> Self {
        let mut status = NatsStatus { observed_generation: Some(generation), ..old.clone() };
        status.conditions.retain(|condition| condition.type_ != PROGRESSING);
        Self { old, status, generation, now, state: None, is_warned: false, events: Vec::new() }
    }

    /// Completes the status. The state stays unless it was set. A ready cluster that needs attention has the state
    /// Warning.
    pub(super) fn finish(mut self) -> (NatsStatus, Vec<Announcement>) {
        for kind in ALWAYS {
            if self.status.condition(kind).is_none() {
                self.set(kind, ConditionStatus::Unknown, Reason::Unknown, "Not determined yet.");
            }
        }
        // The most important ones first, for readers.
        let order = |kind: &str| ALWAYS.iter().position(|known| known.to_string() == kind).unwrap_or(ALWAYS.len());
        self.status.conditions.sort_by_key(|condition| order(&condition.type_));
        for condition in &mut self.status.conditions {
            if condition.message.is_empty() {
                condition.message.clone_from(&condition.reason);
            }
        }
        let state = match self.state {
            Some(ModuleState::Ready) if self.is_warned => Some(ModuleState::Warning),
            state => state,
        };
        if let Some(state) = state {
            self.status.state = state.to_string();
        }
        self.skip_deployment_progress();
        (self.status, self.events)
    }

    /// Reverts changes that are not worth a write during the first deployment: the number of ready servers, and the
    /// record of a start. All servers are ready soon, and until then the Pods prove the start.
    fn skip_deployment_progress(&mut self) {
        let is_new = |operation: &OperationStatus| self.now.since(time(&operation.since)) < LASTING;
        let is_brief = self.status.operation.as_ref().is_some_and(is_new);
        let known = if is_brief { self.old.servers_started } else { self.status.servers_started };
        let unchanged = NatsStatus {
            ready_servers: self.old.ready_servers,
            ready: self.old.ready.clone(),
            servers_started: known,
            ..self.status.clone()
        };
        if self.status.url.is_empty() && unchanged == *self.old {
            self.status = unchanged;
        }
    }

    pub(super) fn state(&mut self, state: ModuleState) {
        self.state = Some(state);
    }

    /// Marks a ready cluster as one that needs attention.
    pub(super) fn warn(&mut self) {
        self.is_warned = true;
    }

    pub(super) fn announce(&mut self, is_warning: bool, reason: Reason, message: &str) {
        self.events.push(Announcement { is_warning, reason, message: message.to_owned() });
    }

    /// Announces a resource without a status.
    pub(super) fn announce_new(&mut self) {
        if self.old.state.is_empty() {
            self.announce(false, Reason::Processing, "Initializing NATS resource.");
        }
    }

    /// Removes the condition `Deleted`. A resource that is not being deleted has it only in a status from a backup.
    pub(super) fn drop_deleted(&mut self) {
        self.status.conditions.retain(|condition| condition.type_ != ConditionType::Deleted.to_string());
    }

    /// Sets a condition. The transition time is that of the last change of its status. Returns whether it differs from
    /// the old one.
    pub(super) fn set(&mut self, kind: ConditionType, truth: ConditionStatus, reason: Reason, message: &str) -> bool {
        self.write(kind, truth, &reason.to_string(), message)
    }

    /// Sets a condition with a reason that is copied from another one; see [`Update::set`].
    pub(super) fn write(&mut self, kind: ConditionType, truth: ConditionStatus, reason: &str, message: &str) -> bool {
        let before = self.old.condition(kind);
        let status = truth.as_str();
        let since = before.filter(|before| before.status == status).map(|before| before.last_transition_time.clone());
        let is_changed =
            before.is_none_or(|before| before.status != status || before.reason != reason || before.message != message);
        let condition = Condition {
            type_: kind.to_string(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: since.unwrap_or_else(|| timestamp(self.now)),
            observed_generation: Some(self.generation),
        };
        match self.status.conditions.iter_mut().find(|known| known.type_ == condition.type_) {
            Some(known) => *known = condition,
            None => self.status.conditions.push(condition),
        }
        is_changed
    }

    /// Sets a condition to Unknown. While the cause ends by itself, a known condition stays. A message with this `head`
    /// stays too, since the cause may differ at each attempt.
    pub(super) fn set_unknown(&mut self, kind: ConditionType, unobserved: &Unobserved) {
        let old = self.old.condition(kind);
        let is_unknown = old.is_none_or(|old| old.status == "Unknown" && old.reason == Reason::Unknown.to_string());
        let is_same = old.is_some_and(|old| unobserved.is_transient || old.message.starts_with(&unobserved.head));
        let is_outdated = if is_unknown { !is_same } else { !unobserved.is_transient };
        if is_outdated {
            self.set(kind, ConditionStatus::Unknown, Reason::Unknown, &unobserved.message());
        }
    }

    /// Returns whether the old status had a condition with this reason.
    pub(super) fn had_reason(&self, kind: ConditionType, reason: Reason) -> bool {
        self.old.condition(kind).is_some_and(|known| known.reason == reason.to_string())
    }

    /// Returns the old message of a condition, if it had this reason.
    pub(super) fn old_message(&self, kind: ConditionType, reason: Reason) -> Option<&'a str> {
        let known = self.old.condition(kind).filter(|known| known.reason == reason.to_string())?;
        Some(known.message.as_str()).filter(|message| !message.is_empty())
    }

    /// Returns whether clients could use NATS at any time before.
    pub(super) fn was_ready(&self) -> bool {
        !self.old.url.is_empty()
    }

    /// Sets `observedGeneration` of all conditions, including those that are set only when they change.
    pub(super) fn observe_all(&mut self) {
        for condition in &mut self.status.conditions {
            condition.observed_generation = Some(self.generation);
        }
    }
}

/// Converts a time to the Kubernetes type.
pub(super) fn timestamp(time: Time) -> meta::Time {
    meta::Time(Timestamp::from_millisecond(time.as_millis()).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Converts a time from the Kubernetes type.
pub(super) fn time(timestamp: &meta::Time) -> Time {
    Time::from_millis(timestamp.0.as_millisecond())
}
