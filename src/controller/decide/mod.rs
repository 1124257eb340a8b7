//! The I/O around the planner: takes the observed and the resolved state, and returns a plan with the poll that it was
//! made from. A disruptive action is confirmed on a second poll.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use async_nats::ServerAddr;
use nats_manager_api::{Bytes, NamespacedName, Nats, ResolvedCluster, SMALLEST_CLUSTER, naming};
use nats_manager_jetstream as jetstream;
use nats_manager_planner::{
    Version,
    plan::{Desired, Plan, PlanInput, Variant, confirm, plan},
};

use crate::controller::{
    context::{Context, Memory, ReconcileError},
    observe::{Observed, now},
    poll::{MAX_AGE_AT_REST, MAX_AGE_BUSY, Polled},
    resources::{CLIENT_PORT, SystemAccount, build_stateful_set, fresh_plan, template_hash},
};

/// A plan and the poll that it was made from.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) plan: Plan,
    pub(super) polled: Polled,
}

/// Input of a decision.
#[derive(Clone, Copy)]
pub(super) struct PlanTarget<'a> {
    pub(super) nats: &'a Nats,
    pub(super) id: &'a NamespacedName,
    pub(super) observed: &'a Observed,
    pub(super) cluster: &'a ResolvedCluster,
    pub(super) account: Option<&'a SystemAccount>,
}

/// Polls the servers and plans the next action. Requests the names of all streams where the plan needs them.
pub(super) async fn decide(
    context: &Context,
    memory: &mut Memory,
    subject: PlanTarget<'_>,
) -> Result<Planned, ReconcileError> {
    memory.history.removed.extend(subject.observed.removed.clone());
    let planning = Planning { context, subject, desired: subject.desired(context, memory) };
    let age = if memory.is_at_rest(subject.observed) { MAX_AGE_AT_REST } else { MAX_AGE_BUSY };
    let polled = planning.poll(memory, age).await;
    let mut first = planning.plan(memory, &polled, None);
    if first.needs_streams && first.action.is_none() {
        let streams = planning.stream_names(&first).await?;
        first = planning.plan(memory, &polled, Some(&streams));
    }
    memory.history.end_replacements(&first);
    if first.unconfirmed_action().is_none() {
        return Ok(Planned { plan: first, polled });
    }
    // The names are requested first: the poll contains a stream that is created after that.
    let streams = if first.needs_streams { Some(planning.stream_names(&first).await?) } else { None };
    let polled = planning.poll(memory, Duration::ZERO).await;
    let plan = planning.confirm(memory, &polled, streams.as_ref(), &first);
    Ok(Planned { plan, polled })
}

/// Polls the servers and plans as [`decide`] does, without requests for the names of streams, and without anything to
/// carry out: no action, no operation and no blocked change.
pub(super) async fn decide_paused(context: &Context, memory: &mut Memory, subject: PlanTarget<'_>) -> Planned {
    let planning = Planning { context, subject, desired: subject.desired(context, memory) };
    let polled = planning.poll(memory, MAX_AGE_BUSY).await;
    let plan = planning.plan(memory, &polled, None);
    let plan = Plan { action: None, operation: None, blocked: Vec::new(), needs_streams: false, until: None, ..plan };
    Planned { plan, polled }
}

impl PlanTarget<'_> {
    fn desired(&self, context: &Context, memory: &Memory) -> Desired {
        Desired {
            replicas: self.cluster.size,
            version: Version::of_image(&context.images.nats),
            memory_store: self.cluster.memory_store.unwrap_or_default().get(),
            volume_size: self.cluster.file_store.volume_size().map(Bytes::get),
            force_rollout: self.nats.has_flag(naming::FORCE_ROLLOUT),
            recreate_stateful_set: self.observed.stateful_set.as_deref().is_some_and(|live| {
                memory
                    .writes
                    .must_recreate(live, &build_stateful_set(self.cluster, &context.images, &fresh_plan(self.cluster)))
            }),
        }
    }
}

struct Planning<'a> {
    context: &'a Context,
    subject: PlanTarget<'a>,
    desired: Desired,
}

impl Planning<'_> {
    async fn poll(&self, memory: &mut Memory, age: Duration) -> Polled {
        let was_reached = self.subject.nats.status.as_ref().is_some_and(|status| status.jet_stream.is_some());
        let (polls, observed) = (&self.context.polls, self.subject.observed);
        polls.poll(&mut memory.polls, observed, was_reached, now(), age).await
    }

    fn plan(&self, memory: &Memory, polled: &Polled, streams: Option<&StreamNames>) -> Plan {
        self.with_input(memory, polled, streams, plan)
    }

    fn confirm(&self, memory: &Memory, polled: &Polled, streams: Option<&StreamNames>, first: &Plan) -> Plan {
        self.with_input(memory, polled, streams, |input| confirm(first, input))
    }

    fn with_input<T>(
        &self,
        memory: &Memory,
        polled: &Polled,
        streams: Option<&StreamNames>,
        make: impl FnOnce(&PlanInput<'_>) -> T,
    ) -> T {
        let PlanTarget { observed, cluster, account, .. } = self.subject;
        let images = &self.context.images;
        let template = |variant: Variant, memory_store: u64| template_hash(cluster, images, variant, memory_store);
        make(&PlanInput {
            now: now(),
            desired: &self.desired,
            template: &template,
            actual: &observed.actual,
            observation: &polled.observation(),
            streams,
            has_default_account_only: account.is_some_and(SystemAccount::is_only_account),
            late_reloads: &memory.late_reloads,
            history: &memory.history,
        })
    }

    /// Requests the names of all streams from the JetStream API. The request to a standalone server goes to its Pod:
    /// the Service may route to a server that is to join it.
    async fn stream_names(&self, plan: &Plan) -> Result<StreamNames, ReconcileError> {
        let address = match self.first_server_address().filter(|_| plan.members < SMALLEST_CLUSTER) {
            Some(address) => address,
            None => self.context.jetstream_address(self.subject.id)?,
        };
        Ok(jetstream::stream_names(&address).await.map_err(|error| error.to_string()))
    }

    /// Returns the client address of the server with ordinal 0. `None` where `--nats-url` replaces it, or the Pod has
    /// no address.
    fn first_server_address(&self) -> Option<ServerAddr> {
        if self.context.nats_url.is_some() {
            return None;
        }
        let ip = self.subject.observed.addresses.get(&self.subject.id.server(0))?;
        format!("nats://{}", SocketAddr::new(*ip, CLIENT_PORT)).parse().ok()
    }
}

/// Names of all streams of the default account, or the error of the JetStream API.
type StreamNames = Result<BTreeSet<String>, String>;
