//! The condition `Storage`: the use of every limit that can stop a publisher.
//!
//! At the limit of a store or of a stream JetStream rejects messages. The condition reports the limit that is worst, and
//! changes only with its level.

mod fill;
mod level;
mod message;
#[cfg(test)]
mod tests;

use nats_manager_api::{ConditionType, Reason};
use nats_manager_planner::health::{Assessment, blind_since, has_lasted};

use self::{
    fill::Fill,
    level::{Level, LimitKind, Shortage},
};
use super::{
    StatusFacts,
    update::{ConditionStatus, Unobserved, Update},
};

const KIND: ConditionType = ConditionType::Storage;

/// Time without an answer of any server after which the level is unknown.
const UNKNOWN_AFTER: std::time::Duration = std::time::Duration::from_mins(1);

impl Update<'_> {
    /// Sets the condition when the level changes.
    pub(super) fn storage(&mut self, facts: &StatusFacts<'_>) {
        let members = facts.members();
        match facts.assessment().map(|assessment| (assessment, Fill::of(&assessment.snapshot, &members))) {
            Some((_, Some(fill))) => self.level(&fill),
            Some((assessment, None)) => self.no_level(assessment),
            None => {
                if let Some(unobserved) = Unobserved::of(facts.observation) {
                    self.set_unknown(KIND, &unobserved);
                }
                self.keep_level();
            }
        }
    }

    fn level(&mut self, fill: &Fill<'_>) {
        let old = self.old.condition(KIND);
        let old_shortage = old.and_then(|old| Shortage::parse(&old.reason));
        let was_healthy = old.is_some_and(|old| old.reason == Reason::Healthy.to_string());
        let shortage = fill.shortage(old_shortage);
        let reason = shortage.map_or(Reason::Healthy, Shortage::reason);
        if old.is_none_or(|old| old.reason != reason.to_string()) {
            let message = shortage
                .map_or_else(|| message::healthy().to_owned(), |shortage| message::shortage(shortage.kind, fill));
            self.set(KIND, ConditionStatus::of(shortage.is_none()), reason, &message);
            if shortage.is_some() || old_shortage.is_some() || was_healthy {
                self.announce(shortage.is_some(), reason, &message);
            }
        }
        if shortage.is_some() {
            self.warn();
        }
    }

    /// Sets the condition to Unknown once no server has answered for [`UNKNOWN_AFTER`]. A single failed poll proves
    /// nothing.
    fn no_level(&mut self, assessment: &Assessment) {
        if has_lasted(blind_since(assessment), self.now, UNKNOWN_AFTER) {
            let message = "The use of the servers' stores is unknown: no server answers at its monitoring port (8222).";
            self.set(KIND, ConditionStatus::Unknown, Reason::Unknown, message);
        } else {
            self.keep_level();
        }
    }

    fn keep_level(&mut self) {
        if self.status.condition(KIND).is_some_and(|kept| Shortage::parse(&kept.reason).is_some()) {
            self.warn();
        }
    }
}

/// Returns the level of the fullest file store for the summary: `Healthy`, `NearlyFull` or `Full`. `old` is the level
/// before. `None` if no server answered.
pub(super) fn file_store_level(facts: &StatusFacts<'_>, old: &str) -> Option<&'static str> {
    let members = facts.members();
    let fill = Fill::of(&facts.assessment()?.snapshot, &members)?;
    let old = Shortage::parse(old).map(|old| old.level);
    let level = match LimitKind::Volume.level(fill.percent(LimitKind::Volume), None) {
        Some(level) => Some(level),
        None => LimitKind::FileStore.level(fill.percent(LimitKind::FileStore), old),
    };
    let level = if fill.is_complete { level } else { level.max(old) };
    Some(match level {
        None => "Healthy",
        Some(Level::NearlyFull) => "NearlyFull",
        Some(Level::Full) => "Full",
    })
}
