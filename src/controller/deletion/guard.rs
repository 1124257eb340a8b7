//! The deletion guard: whether the data of a resource may be deleted. Asks JetStream, and decides as a function of values.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};
use nats_manager_api::{ConditionType, FileStore, NamespacedName, Nats, naming};
use nats_manager_jetstream::{self as jetstream, ClientError};
use nats_manager_planner::{
    actual::{ActualState, ServerMode},
    health::Inventory,
    snapshot::{Healthz, JetStreamSnapshot},
};

use crate::controller::{
    context::{Context, Memory, ReconcileError},
    execute::pvcs,
    observe::{Observed, now, pod_state},
    poll::Polled,
    resources::SystemAccount,
};

/// The decision on the data of a resource that is being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeletionDecision {
    /// It may be deleted.
    Delete,
    /// It is kept, and the deletion waits. The cause and the way out.
    Blocked(String),
}

/// What the servers show of streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct StreamEvidence {
    has_customer_stream: bool,
    has_consumer: bool,
    /// Why there may be more.
    gap: Option<String>,
}

/// The contract's texts.
const CUSTOMER_STREAM: &str = "Cannot delete NATS cluster as customer stream exists";
const CONSUMER: &str = "Cannot delete NATS cluster as stream consumer exists";

/// Decides whether the data may be deleted. A decision that was interrupted is made anew as long as the StatefulSet is
/// intact: streams may have been created since.
pub(crate) async fn decide(
    context: &Context,
    memory: &mut Memory,
    nats: &Nats,
    id: &NamespacedName,
    observed: &Observed,
) -> Result<DeletionDecision, ReconcileError> {
    let is_intact = observed.live.stateful_set.as_ref().is_some_and(|set| set.metadata.deletion_timestamp.is_none());
    let is_settled = nats.has_flag(naming::FORCE_DELETION)
        || (was_decided(nats) && !is_intact)
        || nothing_to_lose(&context.client, id, observed).await.map_err(ReconcileError::Observe)?;
    if is_settled {
        return Ok(DeletionDecision::Delete);
    }
    // The default account is asked through the meta leader, which knows of streams on servers that are away too; a poll
    // shows all other accounts. The poll comes second: a server that lets clients in has restored its streams.
    let asked = jetstream::inventory(&context.jetstream_address(id)?).await;
    let polled = context.polls.poll(&mut memory.polls, observed, true, now(), std::time::Duration::ZERO).await;
    let account = observed.live.secret.as_deref().and_then(SystemAccount::from_secret);
    let is_only_account = account.as_ref().is_some_and(SystemAccount::is_alone);
    let shown = StreamEvidence::of(&polled, &observed.actual, is_only_account);
    Ok(judge(&asked, &shown).map_or(DeletionDecision::Delete, |cause| DeletionDecision::Blocked(cause.message(nats))))
}

/// Returns whether no data can exist: no NATS container ever started, or there is no PVC.
async fn nothing_to_lose(client: &Client, id: &NamespacedName, observed: &Observed) -> kube::Result<bool> {
    let deployed = observed.cluster_facts.deployed.as_ref();
    let memory_only = deployed.is_some_and(|deployed| deployed.file_store == FileStore::MemoryOnly);
    let no_pvcs = !memory_only && pvcs::list(client, id).await?.is_empty();
    Ok(no_pvcs || never_started(client, id, &observed.actual).await?)
}

/// Returns whether no NATS container of the resource ever started. Record and cache may be outdated when no manager ran
/// for a while, so every Pod must exist to confirm it, as the apiserver has it now.
async fn never_started(client: &Client, id: &NamespacedName, actual: &ActualState) -> kube::Result<bool> {
    if actual.servers_started != Some(false) {
        return Ok(false);
    }
    let servers = actual.stateful_set.as_ref().map_or(0, |set| set.replicas as usize);
    let api: Api<Pod> = Api::namespaced(client.clone(), &id.namespace);
    let pods = api.list(&ListParams::default().labels(&id.label_query())).await?.items;
    Ok(pods.len() >= servers && !pods.iter().any(|pod| pod_state(pod, &id.name).started))
}

impl StreamEvidence {
    fn of(polled: &Polled, actual: &ActualState, is_only_account: bool) -> Self {
        let assessment = match polled {
            // With one address to ask, its answer is all there is.
            Polled::Off => return Self::default(),
            Polled::Seen(assessment) => assessment,
            Polled::Starting | Polled::Pending => {
                return Self { gap: Some("no server has answered yet".to_owned()), ..Self::default() };
            }
            Polled::Unobservable(cause) => {
                return Self { gap: Some(cause.clone()).filter(|_| !is_only_account), ..Self::default() };
            }
        };
        let expected = actual.expected_servers();
        let inventory = Inventory::of(&assessment.snapshot, &expected);
        // The meta leader lists the streams of the default account, also those of servers that are away.
        let gap = inventory.gap.as_ref().map(ToString::to_string).filter(|_| !is_only_account);
        Self {
            has_customer_stream: inventory.has_customer_stream(),
            has_consumer: inventory.has_eventing_consumer(),
            gap: unrecovered(&assessment.snapshot, &expected).or(gap),
        }
    }
}

/// A standalone server does not list streams that it could not recover: only its `/healthz` reports them.
fn unrecovered(snapshot: &JetStreamSnapshot, expected: &[String]) -> Option<String> {
    if ServerMode::of(u32::try_from(expected.len()).unwrap_or(u32::MAX)) == ServerMode::Clustered {
        return None;
    }
    expected.iter().find_map(|server| match snapshot.answer(server).map(|answer| &answer.healthz) {
        Some(Healthz::Ok) => None,
        Some(Healthz::Failing(text)) => Some(format!("{server} reports: {text}")),
        Some(Healthz::Unknown) => Some(format!("{server} gave no usable answer to /healthz")),
        None => Some(format!("{server} is unreachable")),
    })
}

/// Why the data is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BlockCause {
    /// There is data, in the contract's words.
    Data(&'static str),
    /// There may be data.
    Unknown(String),
}

fn judge(asked: &Result<jetstream::AccountInventory, ClientError>, shown: &StreamEvidence) -> Option<BlockCause> {
    let asked = match asked {
        _ if shown.has_customer_stream => return Some(BlockCause::Data(CUSTOMER_STREAM)),
        Ok(inventory) if inventory.customer_stream => return Some(BlockCause::Data(CUSTOMER_STREAM)),
        Ok(inventory) if inventory.consumer => return Some(BlockCause::Data(CONSUMER)),
        _ if shown.has_consumer => return Some(BlockCause::Data(CONSUMER)),
        asked => asked,
    };
    match (asked, &shown.gap) {
        (Err(cause), _) => Some(BlockCause::Unknown(format!("JetStream cannot be asked for streams: {cause}"))),
        (Ok(_), Some(gap)) => Some(BlockCause::Unknown(format!("cannot verify that no other streams exist: {gap}"))),
        (Ok(_), None) => None,
    }
}

impl BlockCause {
    fn message(&self, nats: &Nats) -> String {
        match self {
            Self::Data(text) => (*text).to_owned(),
            Self::Unknown(cause) => format!(
                "Cannot delete NATS cluster as {cause}. Trying again. To delete it with all its data: kubectl annotate nats {} -n {} {}=true",
                nats.name_any(),
                nats.namespace().unwrap_or_default(),
                naming::FORCE_DELETION,
            ),
        }
    }
}

fn was_decided(nats: &Nats) -> bool {
    nats.status.as_ref().is_some_and(|status| status.holds(ConditionType::Deleted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(customer_stream: bool, consumer: bool) -> jetstream::AccountInventory {
        jetstream::AccountInventory { customer_stream, consumer, ..jetstream::AccountInventory::default() }
    }

    fn shown(has_customer_stream: bool, has_consumer: bool, gap: Option<&str>) -> StreamEvidence {
        StreamEvidence { has_customer_stream, has_consumer, gap: gap.map(str::to_owned) }
    }

    #[test]
    fn only_an_unused_eventing_stream_may_be_deleted() {
        let gap = Some("n-1 is unreachable");
        for (expected, asked, shown) in [
            (None, Ok(asked(false, false)), shown(false, false, None)),
            (Some(CUSTOMER_STREAM), Ok(asked(true, false)), shown(false, false, None)),
            (Some(CUSTOMER_STREAM), Ok(asked(true, true)), shown(false, false, None)),
            (Some(CONSUMER), Ok(asked(false, true)), shown(false, false, None)),
            (Some(CONSUMER), Ok(asked(false, false)), shown(false, true, None)),
            (Some(CUSTOMER_STREAM), Ok(asked(false, false)), shown(true, false, None)),
            (Some(CUSTOMER_STREAM), Ok(asked(false, false)), shown(true, false, gap)),
            (Some(CUSTOMER_STREAM), Err(ClientError::Timeout), shown(true, false, gap)),
            (Some(CONSUMER), Ok(asked(false, true)), shown(false, false, gap)),
        ] {
            assert_eq!(judge(&asked, &shown), expected.map(BlockCause::Data), "{asked:?} {shown:?}");
        }
    }

    #[test]
    fn unknown_data_blocks_with_the_way_out() {
        let mut nats = Nats::new("eventing-nats", nats_manager_api::NatsSpec::default());
        nats.metadata.namespace = Some("kyma-system".to_owned());
        let gap = shown(false, false, Some("n-1 is unreachable"));
        let message = judge(&Ok(asked(false, false)), &gap).unwrap().message(&nats);
        assert_eq!(
            message,
            "Cannot delete NATS cluster as cannot verify that no other streams exist: n-1 is unreachable. Trying again. To delete it with all its data: kubectl annotate nats eventing-nats -n kyma-system nats.operator.kyma-project.io/force-deletion=true"
        );
        let unanswered = judge(&Err(ClientError::Timeout), &gap).unwrap().message(&nats);
        assert!(
            unanswered.starts_with("Cannot delete NATS cluster as JetStream cannot be asked for streams: "),
            "{unanswered}"
        );
    }

    #[test]
    fn stream_that_a_standalone_server_could_not_recover_is_data() {
        let answer = |healthz| nats_manager_planner::snapshot::ServerSnapshot { healthz, ..Default::default() };
        let snapshot = |healthz| JetStreamSnapshot {
            servers: [("n-0".to_owned(), Ok(answer(healthz)))].into(),
            ..JetStreamSnapshot::default()
        };
        let one = ["n-0".to_owned()];
        let failing = Healthz::Failing("JetStream stream '$G > A' could not be recovered".to_owned());
        assert_eq!(unrecovered(&snapshot(Healthz::Ok), &one), None);
        assert!(unrecovered(&snapshot(failing), &one).unwrap().contains("could not be recovered"));
        assert!(unrecovered(&JetStreamSnapshot::default(), &one).is_some());
    }
}
