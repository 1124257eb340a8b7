//! What the status says of JetStream: how full it is, whether it is whole, and what admission needs
//! to know. Written at a crossing, never for a figure: Eventing wakes on every change.

use nats_manager_api::{ConditionType, JetStreamStatus, Reason};

use super::{
    Trouble,
    storage::{Fill, Level},
    update::Update,
};
use crate::jetstream::Holdings;

/// What is known of JetStream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JetStreamView {
    /// What it holds; none when a server is silent, which may hold anything.
    pub holdings: Option<Holdings>,
    /// How full the fullest server is.
    pub fill: Option<Fill>,
    /// Why it cannot be looked at, once that is certain.
    pub unseen: Option<String>,
    /// What is wrong with it, and has been for a while.
    pub trouble: Option<Trouble>,
    /// Whether anything lacks, if only for a moment.
    pub health: Health,
    /// Its servers have not found each other yet: whoever is told that it is ready uses it at once.
    pub forming: bool,
    /// It goes on: a majority of its own servers answers, and knows a leader.
    pub has_quorum: bool,
}

/// How JetStream is at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It is not looked at, or has no servers.
    #[default]
    Unknown,
    /// Nothing lacks.
    Whole,
    /// Something does.
    Lacking,
}

impl Update<'_> {
    pub(super) fn jetstream(&mut self, view: &JetStreamView) {
        self.storage(view);
        self.whole(view);
        self.facts(view);
        // What is said only at a crossing is true of every newer spec too.
        let kinds = [ConditionType::Storage, ConditionType::JetStream].map(|kind| kind.to_string());
        for known in self.status.conditions.iter_mut().filter(|known| kinds.contains(&known.type_)) {
            known.observed_generation = Some(self.generation);
        }
    }

    fn storage(&mut self, view: &JetStreamView) {
        let kind = ConditionType::Storage;
        let told = self.old.condition(kind).map(|told| told.reason.as_str());
        let old = told.and_then(Level::parse);
        match (&view.fill, &view.unseen) {
            (Some(fill), _) => {
                let level = Level::after(old, fill);
                if old != Some(level) {
                    let (message, is_healthy) = (fill.message(level), level == Level::Healthy);
                    self.set(kind, is_healthy, level.reason(), &message);
                    if !is_healthy || old.is_some() {
                        self.announce(!is_healthy, level.reason(), &message);
                    }
                }
                if level != Level::Healthy {
                    self.warn();
                }
            }
            (None, Some(why)) if !self.old.url.is_empty() => {
                if told != Some(&Reason::Unknown.to_string()) {
                    let message = format!("How full the servers are cannot be told: {why}.");
                    self.set_to(kind, "Unknown", Reason::Unknown, &message);
                }
            }
            // One look that fails says nothing yet.
            (None, _) => {
                if matches!(old, Some(Level::NearlyFull | Level::Full)) {
                    self.warn();
                }
            }
        }
    }

    fn whole(&mut self, view: &JetStreamView) {
        let kind = ConditionType::JetStream;
        let told = self.old.condition(kind).map(|told| told.status.as_str());
        match &view.trouble {
            Some(Trouble { reason, message }) => {
                self.warn();
                if self.set(kind, false, *reason, message) {
                    self.announce(true, *reason, message);
                }
            }
            None if view.health == Health::Whole && told != Some("True") => {
                let message = "JetStream is whole: every server, its leader, and every copy of every stream.";
                self.set(kind, true, Reason::Healthy, message);
                if told == Some("False") {
                    self.announce(false, Reason::Healthy, message);
                }
            }
            None if told == Some("False") => self.warn(),
            None => {}
        }
    }

    /// What a look does not tell stays. The level is that of the condition ([`Update::finish`]).
    fn facts(&mut self, view: &JetStreamView) {
        if let Some(holdings) = &view.holdings {
            self.status.jet_stream = Some(JetStreamStatus {
                streams: !holdings.streams.is_empty(),
                customer_data: holdings.customer_stream || holdings.consumer,
                highest_replicas: holdings.highest_replicas,
                storage: String::new(),
            });
        }
    }
}
