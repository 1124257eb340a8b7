//! The deletion guard: requests the inventory from JetStream, and decides whether the data of a resource may be
//! deleted.

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

/// Decision about the data of a resource that is being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeletionDecision {
    Delete,
    /// The data is kept and the deletion waits: the cause, with the way out.
    Blocked(String),
}

/// Evidence of data in the servers' snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct StreamEvidence {
    has_customer_stream: bool,
    has_consumer: bool,
    /// Cause for which there may be further streams.
    gap: Option<String>,
}

/// Text of the contract for streams of customers.
const CUSTOMER_STREAM: &str = "Cannot delete NATS cluster as customer stream exists";
/// Text of the contract for consumers of the eventing stream.
const CONSUMER: &str = "Cannot delete NATS cluster as stream consumer exists";

/// Decides whether the data may be deleted. After an interruption the decision is repeated as long as the StatefulSet
/// is intact, since streams may have been created in the meantime.
pub(crate) async fn decide(
    context: &Context,
    memory: &mut Memory,
    nats: &Nats,
    id: &NamespacedName,
    observed: &Observed,
) -> Result<DeletionDecision, ReconcileError> {
    let is_intact = observed.live.stateful_set.as_ref().is_some_and(|set| set.metadata.deletion_timestamp.is_none());
    let may_delete = nats.has_flag(naming::FORCE_DELETION)
        || (is_decided(nats) && !is_intact)
        || has_no_data(&context.client, id, observed).await.map_err(ReconcileError::Observe)?;
    if may_delete {
        return Ok(DeletionDecision::Delete);
    }
    // The meta leader lists the streams of the default account, also those on unreachable servers. A poll contains all
    // other accounts. The poll comes second: a server that accepts clients has restored its streams.
    let answer = jetstream::inventory(&context.jetstream_address(id)?).await;
    let polled = context.polls.poll(&mut memory.polls, observed, true, now(), std::time::Duration::ZERO).await;
    let account = observed.live.secret.as_deref().and_then(SystemAccount::from_secret);
    let is_only_account = account.as_ref().is_some_and(SystemAccount::is_only_account);
    let evidence = StreamEvidence::of(&polled, &observed.actual, is_only_account);
    Ok(block_cause(&answer, &evidence)
        .map_or(DeletionDecision::Delete, |cause| DeletionDecision::Blocked(cause.message(nats))))
}

/// Returns whether no data can exist: no NATS container ever started, or no PVC exists.
async fn has_no_data(client: &Client, id: &NamespacedName, observed: &Observed) -> kube::Result<bool> {
    let deployed = observed.cluster_facts.deployed.as_ref();
    let memory_only = deployed.is_some_and(|deployed| deployed.file_store == FileStore::MemoryOnly);
    let no_pvcs = !memory_only && pvcs::list(client, id).await?.is_empty();
    Ok(no_pvcs || has_never_started(client, id, &observed.actual).await?)
}

/// Returns whether no NATS container of the resource ever started. Record and cache may be outdated when no manager ran
/// for a while, so every Pod must exist and confirm it in a fresh list.
async fn has_never_started(client: &Client, id: &NamespacedName, actual: &ActualState) -> kube::Result<bool> {
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
            // With `--nats-url`, the answer of that address is the only evidence.
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
        // The meta leader lists the streams of the default account, also those of unreachable servers.
        let gap = inventory.gap.as_ref().map(ToString::to_string).filter(|_| !is_only_account);
        Self {
            has_customer_stream: inventory.has_customer_stream(),
            has_consumer: inventory.has_eventing_consumer(),
            gap: unrecovered_streams(&assessment.snapshot, &expected).or(gap),
        }
    }
}

/// Returns the report of streams that a standalone server could not recover. It does not list them: only its `/healthz`
/// reports them.
fn unrecovered_streams(snapshot: &JetStreamSnapshot, expected: &[String]) -> Option<String> {
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

/// Cause for which the data is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BlockCause {
    /// Existing data, with the text of the contract.
    Data(&'static str),
    /// Data that cannot be ruled out, with the cause.
    Unknown(String),
}

/// Returns the cause that blocks the deletion; `None` if the data may be deleted.
fn block_cause(
    answer: &Result<jetstream::AccountInventory, ClientError>,
    evidence: &StreamEvidence,
) -> Option<BlockCause> {
    let inventory = match answer {
        _ if evidence.has_customer_stream => return Some(BlockCause::Data(CUSTOMER_STREAM)),
        Ok(inventory) if inventory.customer_stream => return Some(BlockCause::Data(CUSTOMER_STREAM)),
        Ok(inventory) if inventory.consumer => return Some(BlockCause::Data(CONSUMER)),
        _ if evidence.has_consumer => return Some(BlockCause::Data(CONSUMER)),
        answer => answer,
    };
    match (inventory, &evidence.gap) {
        (Err(cause), _) => Some(BlockCause::Unknown(format!("its streams cannot be listed: {cause}"))),
        (Ok(_), Some(gap)) => Some(BlockCause::Unknown(format!("it can have other streams: {gap}"))),
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

/// Returns whether an earlier reconcile decided to delete the data.
fn is_decided(nats: &Nats) -> bool {
    nats.status.as_ref().is_some_and(|status| status.holds(ConditionType::Deleted))
}

#[cfg(test)]
mod tests {
    use nats_manager_planner::{
        snapshot::ServerSnapshot,
        testing::{names, server, snapshot},
    };

    use super::*;

    fn empty() -> jetstream::AccountInventory {
        jetstream::AccountInventory::default()
    }

    fn gap() -> StreamEvidence {
        StreamEvidence { gap: Some("n-1 is unreachable".to_owned()), ..StreamEvidence::default() }
    }

    #[test]
    fn deletion_is_allowed_only_without_streams_of_customers_and_consumers() {
        let customer_stream = || jetstream::AccountInventory { customer_stream: true, ..empty() };
        let consumer = || jetstream::AccountInventory { consumer: true, ..empty() };
        let both = || jetstream::AccountInventory { consumer: true, ..customer_stream() };
        let none = StreamEvidence::default;
        let polled_stream = || StreamEvidence { has_customer_stream: true, ..none() };
        let polled_consumer = || StreamEvidence { has_consumer: true, ..none() };
        for (expected, answer, evidence) in [
            (None, Ok(empty()), none()),
            (Some(CUSTOMER_STREAM), Ok(customer_stream()), none()),
            (Some(CUSTOMER_STREAM), Ok(both()), none()),
            (Some(CONSUMER), Ok(consumer()), none()),
            (Some(CONSUMER), Ok(empty()), polled_consumer()),
            (Some(CUSTOMER_STREAM), Ok(empty()), polled_stream()),
            (Some(CUSTOMER_STREAM), Ok(empty()), StreamEvidence { has_customer_stream: true, ..gap() }),
            (Some(CUSTOMER_STREAM), Err(ClientError::Timeout), StreamEvidence { has_customer_stream: true, ..gap() }),
            (Some(CONSUMER), Ok(consumer()), gap()),
        ] {
            assert_eq!(block_cause(&answer, &evidence), expected.map(BlockCause::Data), "{answer:?} {evidence:?}");
        }
    }

    #[test]
    fn data_that_cannot_be_ruled_out_blocks_with_the_way_out() {
        let mut nats = Nats::new("eventing-nats", nats_manager_api::NatsSpec::default());
        nats.metadata.namespace = Some("kyma-system".to_owned());
        let message = block_cause(&Ok(empty()), &gap()).unwrap().message(&nats);
        assert_eq!(
            message,
            "Cannot delete NATS cluster as it can have other streams: n-1 is unreachable. Trying again. To delete it with all its data: kubectl annotate nats eventing-nats -n kyma-system nats.operator.kyma-project.io/force-deletion=true"
        );
        let unanswered = block_cause(&Err(ClientError::Timeout), &gap()).unwrap().message(&nats);
        assert!(unanswered.starts_with("Cannot delete NATS cluster as its streams cannot be listed: "), "{unanswered}");
    }

    #[test]
    fn stream_that_a_standalone_server_could_not_recover_is_data() {
        let snapshot = |healthz| snapshot([Ok(ServerSnapshot { healthz, ..server() })]);
        let one = names(1);
        let failing = Healthz::Failing("JetStream stream '$G > A' could not be recovered".to_owned());
        assert_eq!(unrecovered_streams(&snapshot(Healthz::Ok), &one), None);
        assert!(unrecovered_streams(&snapshot(failing), &one).unwrap().contains("could not be recovered"));
        assert!(unrecovered_streams(&JetStreamSnapshot::default(), &one).is_some());
    }
}
