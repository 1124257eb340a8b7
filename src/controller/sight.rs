//! What JetStream says, as each stage needs it.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use nats_manager_api::{NamespacedName, Nats, naming};

use super::{
    build::{MONITOR_PORT, SystemAccount},
    looker::{AT_REST, BUSY, Looker, Servers, Sighting},
    observe::Observed,
    rollout, scaling,
    status::{Fill, Health, JetStreamView, trouble},
    words::gist,
};
use crate::jetstream::{self, Holdings, Lack, Look, Shown, Target};

/// One look, and what follows from it.
pub(super) struct Sight {
    sighting: Sighting,
    /// Where the servers can be asked.
    pub(super) targets: Vec<Target>,
    /// The servers that are configured.
    pub(super) expected: Vec<String>,
    /// What they lack to be whole.
    pub(super) lacks: Vec<Lack>,
    /// In words.
    lack: Option<String>,
    /// They have not found each other yet.
    forming: bool,
    /// The servers whose pods are ready.
    ready: BTreeSet<String>,
}

/// Trouble and waits that last so long are told; what is shorter passes by itself.
const LASTING: Duration = Duration::from_secs(30);
/// Without an answer for so long, how full the servers are counts as unknown.
const UNKNOWN_AFTER: Duration = Duration::from_mins(1);

/// In words that stay the same from look to look.
const NOT_YET: &str = "no server has answered at its monitoring port (8222) yet";

impl Sight {
    /// Looks at the servers that exist; while nothing goes on, an older look will do.
    pub(super) async fn take(looker: &Looker, nats: &Nats, id: &NamespacedName, observed: &Observed) -> Self {
        let deployed = observed.surroundings.deployed.as_ref();
        let is_calm = looker.is_at_ease() && observed.is_calm(nats.spec.cluster.size);
        let age = match is_calm {
            // A stream made since would leave with a server.
            _ if deployed.is_some_and(|deployed| nats.spec.cluster.size < i64::from(deployed.size)) => Duration::ZERO,
            true => AT_REST,
            false => BUSY,
        };
        Self::no_older(age, looker, nats, id, observed).await
    }

    /// Looks at them now.
    pub(super) async fn fresh(looker: &Looker, nats: &Nats, id: &NamespacedName, observed: &Observed) -> Self {
        Self::no_older(Duration::ZERO, looker, nats, id, observed).await
    }

    async fn no_older(age: Duration, looker: &Looker, nats: &Nats, id: &NamespacedName, observed: &Observed) -> Self {
        let size = observed.surroundings.deployed.as_ref().map_or(0, |deployed| deployed.size);
        let expected: Vec<String> = (0..size).map(|ordinal| id.server(ordinal)).collect();
        let targets: Vec<Target> = observed
            .pods
            .iter()
            .filter_map(|pod| {
                let address = SocketAddr::new(pod.address?, MONITOR_PORT);
                Some(Target { name: pod.name.clone(), address, stopping: pod.terminating.is_some() })
            })
            .collect();
        let serving = observed.pods.iter().filter(|pod| pod.is_serving());
        let ready: BTreeSet<String> = serving.map(|pod| pod.name.clone()).collect();
        let servers = Servers {
            targets: &targets,
            are_ready: !ready.is_empty(),
            were_reached: nats.status.as_ref().is_some_and(|status| status.jet_stream.is_some()),
        };
        let sighting = looker.look(servers, age).await;
        let lacks = match &sighting {
            Sighting::Seen(look) => jetstream::lacks(look, &expected),
            Sighting::Off | Sighting::Starting | Sighting::NotYet | Sighting::Never(_) => Vec::new(),
        };
        let forming = lacks.iter().any(|lack| matches!(lack, Lack::MetaLeader | Lack::Missing { .. }));
        Self { sighting, targets, expected, lack: jetstream::summary(&lacks), lacks, forming, ready }
    }

    /// The look, if JetStream was ever seen.
    pub(super) fn look(&self) -> Option<&Arc<Look>> {
        match &self.sighting {
            Sighting::Seen(look) => Some(look),
            Sighting::Off | Sighting::Starting | Sighting::NotYet | Sighting::Never(_) => None,
        }
    }

    /// Whether nothing lacks.
    pub(super) fn is_whole(&self) -> bool {
        self.look().is_some() && self.lack.is_none()
    }

    pub(super) fn for_rollout(&self, nats: &Nats) -> rollout::Sight {
        let is_forced = nats.annotations().get(naming::FORCE_ROLLOUT).is_some_and(|value| value == "true");
        match (&self.sighting, &self.lack) {
            (Sighting::Off | Sighting::Starting | Sighting::Never(_), _) => rollout::Sight::Unguarded,
            _ if is_forced => rollout::Sight::Unguarded,
            (Sighting::NotYet, _) => rollout::Sight::Lacking(NOT_YET.to_owned()),
            (Sighting::Seen(_), None) => rollout::Sight::Whole,
            (Sighting::Seen(look), _) if self.is_empty(look) && !jetstream::has_quorum(look, &self.expected) => {
                rollout::Sight::Empty
            }
            (Sighting::Seen(_), Some(lack)) => rollout::Sight::Lacking(lack.clone()),
        }
    }

    /// What JetStream holds, if every server tells.
    fn holdings(&self, look: &Look) -> Option<Holdings> {
        jetstream::holdings(look, &self.expected).ok().filter(|_| !self.expected.is_empty())
    }

    /// What can be seen of streams, where `account` is the only one besides the default one if it says so.
    /// Then the meta leader's word on the default one is enough.
    pub(super) fn shown(&self, account: Option<&SystemAccount>) -> Shown {
        let (holdings, gap) = match &self.sighting {
            // Who names one address to ask takes its word.
            Sighting::Off => return Shown::default(),
            Sighting::Starting => (Holdings::default(), Some("no server is ready yet".to_owned())),
            Sighting::NotYet => (Holdings::default(), Some(NOT_YET.to_owned())),
            Sighting::Never(why) => (Holdings::default(), Some(why.clone())),
            Sighting::Seen(look) => {
                let lack = jetstream::unknown(look, &self.expected).map(|lack| lack.to_string());
                (jetstream::shown(look), lack.or_else(|| self.restoring()))
            }
        };
        let is_alone = account.is_some_and(SystemAccount::is_alone);
        Shown { holdings, gap: gap.filter(|_| !is_alone) }
    }

    /// A single server that may not have restored its streams: it has no group to join, so its pod tells.
    fn restoring(&self) -> Option<String> {
        let [server] = self.expected.as_slice() else { return None };
        (!self.ready.contains(server)).then(|| format!("{server} is not ready"))
    }

    fn is_empty(&self, look: &Look) -> bool {
        jetstream::is_empty(look, &self.expected, |server| self.ready.contains(server))
    }

    pub(super) fn for_scaling(&self) -> scaling::Sight<'_> {
        match &self.sighting {
            Sighting::Off | Sighting::Starting | Sighting::Never(_) => scaling::Sight::Never,
            Sighting::NotYet => scaling::Sight::Not(NOT_YET),
            Sighting::Seen(look) if look.servers.values().all(Result::is_err) => {
                scaling::Sight::Not("no server answers at its monitoring port")
            }
            Sighting::Seen(look) => scaling::Sight::Seen(look, self.lack.as_deref()),
        }
    }

    /// What the status says of it. Before the first Ready (`was_ready`) nothing
    /// is wrong yet; with a change `underway`, servers that are away belong to it.
    pub(super) fn view(
        &self,
        looker: &Looker,
        id: &NamespacedName,
        observed: &Observed,
        (was_ready, underway): (bool, bool),
    ) -> JetStreamView {
        let look = match &self.sighting {
            Sighting::Off | Sighting::Starting | Sighting::NotYet => return JetStreamView::default(),
            Sighting::Never(why) => return JetStreamView { unseen: Some(why.clone()), ..JetStreamView::default() },
            Sighting::Seen(look) => look,
        };
        let now = Timestamp::now();
        let found = trouble(id, look, &self.expected, &observed.pods, underway, now).filter(|_| was_ready);
        let kind = found.as_ref().map(|trouble| trouble.reason.to_string());
        let lasted = looker.trouble_for(kind.as_deref());
        let silent = looker.silent_for(look) >= UNKNOWN_AFTER;
        JetStreamView {
            holdings: self.holdings(look),
            fill: Fill::fullest(look, &self.expected),
            unseen: silent.then(|| "no server answers".to_owned()),
            trouble: found.filter(|_| lasted >= LASTING),
            health: match &self.lack {
                Some(_) => Health::Lacking,
                None if self.expected.is_empty() => Health::Unknown,
                None => Health::Whole,
            },
            forming: self.forming,
            has_quorum: jetstream::has_quorum(look, &self.expected),
        }
    }
}

/// What a change waits for, once it has for a while.
pub(super) fn lasting_wait(looker: &Looker, waiting: Option<String>) -> Option<String> {
    // What comes first is who waits; the obstacle behind it may change meanwhile.
    let who = waiting.as_deref().map(gist);
    let lasted = looker.waiting_for(who);
    waiting.filter(|_| lasted >= LASTING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roll_waits_for_a_first_look_until_none_is_to_be_expected() {
        let nats = Nats::new("n", nats_manager_api::NatsSpec::default());
        for (expected, sighting) in [
            (rollout::Sight::Unguarded, Sighting::Off),
            (rollout::Sight::Unguarded, Sighting::Starting),
            (rollout::Sight::Lacking(NOT_YET.to_owned()), Sighting::NotYet),
            (rollout::Sight::Unguarded, Sighting::Never("n-0: no route".to_owned())),
            (rollout::Sight::Whole, Sighting::Seen(Arc::default())),
        ] {
            let sight = Sight {
                sighting,
                targets: Vec::new(),
                expected: Vec::new(),
                lacks: Vec::new(),
                lack: None,
                forming: false,
                ready: BTreeSet::new(),
            };
            assert_eq!(sight.for_rollout(&nats), expected);
        }
    }
}
