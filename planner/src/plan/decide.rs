//! Driver of the stages: computes the plan from the existing servers, stage by stage in their order of precedence.

use super::{
    Operation, OperationKind, OperationStep, Plan, PlanInput, Stage,
    existing::{Existing, Servers, runs_clustered},
    expand_volumes::{self, Expansion},
    file_store::file_store,
    form_cluster,
    fresh::{fresh, shape},
    memory_store::memory_store,
    never_started, pvcs, recreate,
    remove_peers::{self, StalePeers},
    repair,
    replace_server::{self, Replacements},
    rollout, scale_down,
    scale_up::{ScaleUp, scale_up},
    slots::Slots,
    versions,
};
use crate::actual::{ConfigKey, PodState, ServerMode};

/// Plans the next step from the actual to the desired state.
///
/// A disruptive action of the plan must not be carried out before [`super::confirm`] has confirmed it.
///
/// # Examples
///
/// A cluster of three servers that does not exist yet:
///
/// ```
/// use nats_manager_planner::{
///     Time,
///     actual::ActualState,
///     plan::{Desired, History, Observation, OperationKind, PlanInput, Variant, plan},
/// };
///
/// let desired = Desired {
///     replicas: 3,
///     version: None,
///     memory_store: 64 << 20,
///     volume_size: Some(1 << 30),
///     force_rollout: false,
///     recreate_stateful_set: false,
/// };
/// let actual = ActualState { name: "eventing-nats".to_owned(), ..ActualState::default() };
/// let template_hash = |variant: Variant, memory_store: u64| format!("{variant:?} {memory_store}");
///
/// let plan = plan(&PlanInput {
///     now: Time::from_millis(1_764_000_000_000),
///     desired: &desired,
///     template: &template_hash,
///     actual: &actual,
///     observation: &Observation::Starting,
///     streams: None,
///     has_default_account_only: true,
///     late_reloads: &[],
///     history: &History::default(),
/// });
///
/// assert!(plan.may_build && plan.blocked.is_empty());
/// assert_eq!((plan.replicas, plan.routes, plan.members), (3, 3, 3));
/// assert_eq!(plan.operation.map(|operation| operation.kind), Some(OperationKind::Deployment));
/// assert_eq!(plan.action, None, "the StatefulSet and the ConfigMap are all that is needed");
/// ```
pub fn plan(input: &PlanInput<'_>) -> Plan {
    match Existing::of(input) {
        Existing::Nothing => fresh(input),
        Existing::Unknown(blocked) => {
            Plan { may_build: false, blocked: vec![blocked], ..shape(input, input.desired.replicas) }
        }
        Existing::Servers(servers) => PlanDraft::new(input, servers).decide(),
    }
}

/// The stages that depend on the Pod template.
struct ChangeStages {
    rollout: Stage,
    replacement: Stage,
    expansion: Expansion,
    recreation: Stage,
}

/// A plan while its stages are computed.
pub(super) struct PlanDraft<'a> {
    pub(super) input: &'a PlanInput<'a>,
    pub(super) servers: Servers<'a>,
    pub(super) slots: Option<Slots<'a>>,
    pub(super) plan: Plan,
}

impl<'a> PlanDraft<'a> {
    fn new(input: &'a PlanInput<'a>, servers: Servers<'a>) -> Self {
        let live = servers.set.and_then(|set| set.memory_store);
        let (memory_store, blocked) = memory_store(input, live);
        let slots = servers.set.and_then(|set| Slots::of(set, input.actual));
        let plan = Plan {
            variant: servers.variant,
            members: servers.members,
            memory_store,
            file_store: file_store(input, &servers),
            precondition: servers.set.and_then(|set| set.resource_version.clone()),
            blocked: blocked.into_iter().collect(),
            ..shape(input, servers.replicas)
        };
        Self { input, servers, slots, plan }
    }

    fn decide(mut self) -> Plan {
        let desired = self.input.desired.replicas;
        if self.servers.set.is_some_and(|set| set.update_revision.is_none()) && !self.input.actual.pods.is_empty() {
            // The StatefulSet was recreated around its Pods. The controller makes the first template that it sees the
            // current revision, with which Pods below the partition are created: it must be the one that they have.
            return Plan { may_build: false, is_consistent: false, ..self.plan };
        }
        let is_stopped = self.servers.is_forming && self.servers.replicas == 0;
        if is_stopped && self.slots.is_none() {
            // The current revision, with which the first server would be created, is not known yet.
            return Plan { may_build: false, is_consistent: false, ..self.plan };
        }
        let (existing_mode, desired_mode) = (self.servers.kind(), ServerMode::of(desired));
        match (self.servers.is_forming, existing_mode == desired_mode) {
            (true, _) if self.servers.is_joining => self.continue_joining(desired),
            (true, is_same) if self.is_first_without_template() => {
                self.start_standalone(if is_same { desired } else { 1 });
            }
            (true, true) => self.back_to_standalone(desired),
            (true, false) => self.continue_forming(desired),
            (false, true) => self.keep_mode(desired),
            (false, false) if self.never_started() => self.start_over(desired),
            (false, false) if desired_mode == ServerMode::Clustered => self.form(desired),
            (false, false) => {
                let members = self.servers.members;
                self.plan.blocked.push(form_cluster::single_server_blocked(members, desired));
                self.keep_mode(self.servers.replicas.max(members));
            }
        }
        self.plan
    }

    fn never_started(&self) -> bool {
        self.input.actual.servers_started == Some(false) && self.input.actual.pods.iter().all(|pod| !pod.started)
    }

    /// Plans changes that keep the mode. `desired` is the desired size, or the present one where it must not change.
    pub(super) fn keep_mode(&mut self, desired: u32) {
        let (input, members) = (self.input, self.servers.members);
        self.plan.main_kind = self.main_kind();
        let members = members.max(remove_peers::lost_quorum(input, &self.servers));
        // Members are restored at once whatever the spec asks for: a scale-down is done in order. Vacant servers are
        // removed at once.
        let replicas = if members > self.servers.replicas {
            members
        } else {
            never_started::occupied(input, &self.servers, desired, self.slots.is_some())
        };
        self.plan.resize(replicas);
        let Some(set) = self.servers.set else {
            if let Some(blocked) = versions::blocked(input) {
                // There is no earlier template that the servers could be started with.
                self.plan.blocked.push(blocked);
                self.plan.may_build = false;
                return;
            }
            self.plan.operation = Some(Operation::new(OperationKind::Deployment, OperationStep::Create));
            return;
        };
        let differs =
            set.template_hash.as_deref() != Some((input.template)(self.plan.variant, self.plan.memory_store).as_str());
        let version_blocked = versions::blocked(input);
        let gate = match &self.slots {
            // Nothing restarts, and the current revision may be one that cannot run.
            Some(slots) if differs && slots.have_no_pod() && version_blocked.is_none() => {
                let operation = Operation::new(OperationKind::RollingUpdate, OperationStep::Wait);
                rollout::Gate { partition: 0, stage: Stage::Busy(operation) }
            }
            _ if differs || version_blocked.is_some() => {
                let operation = Operation::new(OperationKind::RollingUpdate, OperationStep::Wait);
                // Closed: the change itself restarts nothing. Pods that are created now get the new template.
                rollout::Gate { partition: set.replicas, stage: Stage::Busy(operation) }
            }
            None => rollout::Gate { partition: set.partition, stage: Stage::Inconsistent },
            Some(slots) => rollout::gate(input, set, slots),
        };
        let is_closed = gate.partition >= set.replicas;
        let is_at_rest = !differs && self.has_one_revision();
        self.plan.partition = if is_closed && is_at_rest { replicas } else { gate.partition.min(replicas) };
        if members > self.servers.replicas {
            // Servers that are restored must not get a new template all at once.
            let kept = if set.partition == set.replicas { replicas } else { set.partition.min(replicas) };
            self.plan.partition = self.plan.partition.max(kept);
        }
        if replicas != self.servers.replicas {
            let kind = if replicas > self.servers.replicas { OperationKind::ScaleUp } else { OperationKind::ScaleDown };
            self.plan.operation = Some(Operation::new(kind, OperationStep::Create));
            return;
        }
        let slots = self.slots.as_ref().filter(|_| !differs);
        let rollout = match version_blocked {
            None => gate.stage,
            Some(blocked) => {
                self.plan.blocked.push(blocked);
                slots.map_or(Stage::Idle, |slots| rollout::fall_back(input, set, slots))
            }
        };
        let expansion = expand_volumes::expand(input, &self.servers, set, slots);
        // A new StatefulSet starts with one revision, so the template must not change with it.
        let recreation = if expansion.is_complete { recreate::recreate(input, set, slots) } else { Stage::Idle };
        let is_rolling = !matches!(rollout, Stage::Idle);
        let replacement = slots.map_or(Stage::Idle, |slots| {
            replace_server::replace(&Replacements { input, servers: &self.servers, set, slots, is_rolling })
        });
        self.stages(desired, ChangeStages { rollout, replacement, expansion, recreation });
    }

    /// Computes the stages, in their order of precedence.
    fn stages(&mut self, desired: u32, ChangeStages { rollout, replacement, expansion, recreation }: ChangeStages) {
        let input = self.input;
        self.plan.blocked.extend(expansion.blocked);
        // A peer whose server is about to be restored stays, unless something else waits for its removal.
        let kept =
            if matches!(rollout, Stage::Idle) { self.servers.replicas.max(desired) } else { self.servers.replicas };
        let stale = remove_peers::stale_peers(input, kept);
        let repair = match input.assessment() {
            Some(assessment) => repair::repair(input, assessment, self.servers.kind(), self.slots.as_ref()),
            None => Stage::Idle,
        };
        let removal = self.peers(stale.as_ref());
        let deletion = pvcs::delete(input, &self.servers);
        // A removal that waits may wait for what the rolling update repairs.
        let may_act = |stage: &Stage| matches!(stage, Stage::Act(..) | Stage::NeedsStreams(_));
        // The rolling update may wait for the server that is replaced.
        let mut begun = [removal, deletion, rollout, replacement, expansion.restart];
        begun.sort_by_key(|stage| !may_act(stage));
        if desired < self.servers.replicas && self.servers.kind() == ServerMode::Clustered {
            self.plan.blocked.extend(scale_down::blocked(input, self.servers.replicas));
        }
        // A volume that grows may be what all other stages wait for.
        let is_acting = self.adopt(expansion.request)
            || self.adopt(repair)
            || begun.into_iter().any(|stage| self.adopt(stage))
            || self.adopt(recreation)
            || self.scale(desired)
            || self.adopt(repair::late_reloads(input))
            || self.adopt(expansion.progress);
        if !is_acting {
            let replaced = self.slots.as_ref().and_then(|slots| replace_server::rejoining(input, slots));
            self.plan.operation = replaced.or_else(|| self.starting_servers());
        }
    }

    fn peers(&self, stale: Option<&StalePeers<'_>>) -> Stage {
        match (self.input.assessment(), stale) {
            (Some(assessment), Some(stale)) => remove_peers::remove(self.input, assessment, stale),
            (Some(assessment), None) => remove_peers::foreign_leader(self.input, assessment),
            (None, _) => Stage::Idle,
        }
    }

    fn scale(&mut self, desired: u32) -> bool {
        let (input, replicas) = (self.input, self.servers.replicas);
        // Servers that are created now would have the version that is blocked.
        if desired == replicas || versions::blocked(input).is_some() {
            return false;
        }
        let kind = if desired > replicas { OperationKind::ScaleUp } else { OperationKind::ScaleDown };
        let wait = |cause: &str| Stage::Busy(Operation::new(kind, OperationStep::Wait).waiting_for(cause));
        if versions::are_mixed(input) {
            return self.adopt(wait("all servers to run the same version"));
        }
        if desired > replicas {
            match scale_up(input, &self.servers) {
                ScaleUp::To(size, operation) => {
                    self.plan.resize(size);
                    self.plan.operation = Some(operation);
                }
                ScaleUp::Wait(until, operation) => {
                    self.plan.until = Some(until);
                    self.plan.operation = Some(operation);
                }
            }
            return true;
        }
        let stage = match &self.slots {
            None => Stage::Inconsistent,
            Some(slots) if self.servers.kind() == ServerMode::Clustered => {
                scale_down::scale_down(input, replicas, slots)
            }
            Some(_) => form_cluster::standalone_obstacle(input, replicas)
                .map_or_else(|| scale_down::stop(replicas - 1, &input.actual.server(replicas - 1)), Stage::Blocked),
        };
        self.adopt(stage)
    }

    /// Returns the operation of servers that were created and are not ready yet, where no other change is in progress.
    fn starting_servers(&self) -> Option<Operation> {
        let slots = self.slots.as_ref()?;
        let is_new = |server: &str| match self.input.assessment() {
            Some(assessment) => assessment
                .snapshot
                .meta_group()
                .is_some_and(|(leader, meta)| leader != server && !meta.peers.iter().any(|peer| peer.is(server))),
            // A server that was lost is in the same state.
            None => false,
        };
        let kind = if slots.serving() == 0 { OperationKind::Deployment } else { OperationKind::ScaleUp };
        slots.iter().find_map(|(ordinal, slot)| {
            let server = self.input.actual.server(ordinal);
            let cause = slot.obstacle(&server)?;
            let has_started = slot.pod().is_some_and(|pod| pod.running);
            let is_starting = !has_started && (kind == OperationKind::Deployment || is_new(&server));
            is_starting.then(|| Operation::new(kind, OperationStep::Create).at(&server).waiting_for(cause))
        })
    }

    /// Returns whether all Pods have the update revision, and the controller has made it the current one.
    pub(super) fn has_one_revision(&self) -> bool {
        self.slots.as_ref().is_some_and(|slots| slots.is_complete && slots.last_outdated().is_none())
    }

    /// Adds the result of a stage to the plan. Returns whether the stage acts or waits.
    pub(super) fn adopt(&mut self, stage: Stage) -> bool {
        match stage {
            Stage::Idle => return false,
            Stage::Blocked(blocked) => {
                self.plan.blocked.push(blocked);
                return false;
            }
            Stage::Inconsistent => self.plan.is_consistent = false,
            Stage::NeedsStreams(operation) => {
                self.plan.needs_streams = true;
                self.plan.operation = Some(operation);
            }
            Stage::Busy(operation) => self.plan.operation = Some(operation),
            Stage::Act(action, operation) => {
                self.plan.is_confirmed = !action.is_disruptive();
                self.plan.needs_streams = action.needs_streams();
                self.plan.action = Some(action);
                self.plan.operation = Some(operation);
            }
        }
        true
    }

    /// Returns the mode of the configuration under [`ConfigKey::Main`], which is not changed while a Pod may read it.
    pub(super) fn main_kind(&self) -> ServerMode {
        if self.servers.variant.key == ConfigKey::Main {
            return self.servers.variant.kind;
        }
        let config = self.input.actual.config;
        let is_written = config.and_then(|config| config.main_routes).is_some_and(|routes| routes > 0);
        // Without a ConfigMap the record counts: the first server was restarted as a member.
        let is_recorded = config.is_none()
            && !self.servers.is_forming
            && self.input.actual.members.map(ServerMode::of) == Some(ServerMode::Clustered);
        // Pods at the current revision read it while the cluster is formed. Those that are created below the partition
        // later are at that revision too, and have to find the configuration of a member.
        let current = self.servers.set.and_then(|set| set.current_revision.as_ref());
        let reads = |pod: &PodState| current.is_none() || pod.revision.as_ref() == current;
        let is_unread = self.has_one_revision()
            || runs_clustered(self.input)
            || (self.slots.is_some() && !self.input.actual.pods.iter().any(reads));
        if is_written || is_recorded || is_unread { ServerMode::Clustered } else { ServerMode::Standalone }
    }
}
