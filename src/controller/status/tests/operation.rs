//! Changes in progress and blocked changes.

use nats_manager_api::ConditionType::{Ready, Reconciling, Stalled, StatefulSet};
use nats_manager_planner::plan::{Blocked, BlockedReason, Operation, OperationKind, OperationStep};

use super::*;

fn rolling(server: &str, cause: Option<&str>) -> World {
    let operation = Operation::new(OperationKind::RollingUpdate, OperationStep::Restart).at(server);
    World::healthy(3).operation(match cause {
        Some(cause) => operation.waiting_for(cause),
        None => operation,
    })
}

#[test]
fn operation_names_the_change_its_step_and_the_obstacle() {
    use OperationKind::{Deployment, FormCluster, Repair, ReplaceServer, RollingUpdate, ScaleDown, ScaleUp};
    let of = Operation::new;
    for (operation, expected) in [
        (of(RollingUpdate, OperationStep::Restart).at("n-2"), "Rolling update: restarting n-2"),
        (
            of(RollingUpdate, OperationStep::Restart)
                .at("n-1")
                .waiting_for("replica of stream sap on n-2 is not in sync"),
            "Rolling update: waiting to restart n-1: replica of stream sap on n-2 is not in sync",
        ),
        (of(RollingUpdate, OperationStep::Wait), "Rolling update: waiting"),
        (
            of(ScaleUp, OperationStep::Wait)
                .at("n-3")
                .waiting_for("n-3 was removed and can rejoin the meta group after five minutes"),
            "Scale-up: waiting to continue with n-3: n-3 was removed and can rejoin the meta group after five minutes",
        ),
        (of(ScaleUp, OperationStep::Create), "Scale-up: creating servers"),
        (
            of(ScaleUp, OperationStep::Create)
                .at("n-3")
                .waiting_for("n-3 cannot run: container nats cannot pull its image"),
            "Scale-up: waiting for n-3: n-3 cannot run: container nats cannot pull its image",
        ),
        (of(ScaleDown, OperationStep::Evacuate).at("n-4"), "Scale-down: moving replicas off n-4"),
        (of(ScaleDown, OperationStep::Stop).at("n-4"), "Scale-down: stopping n-4"),
        (
            of(ScaleDown, OperationStep::RemovePeer).at("n-4").waiting_for("n-4 is terminating"),
            "Scale-down: waiting to remove n-4 from the meta group: n-4 is terminating",
        ),
        (of(ScaleDown, OperationStep::DeletePvc).at("n-4"), "Scale-down: deleting the PVC of n-4"),
        (of(FormCluster, OperationStep::Restart).at("n-0"), "Change from one server to a cluster: restarting n-0"),
        (
            of(ReplaceServer, OperationStep::DeletePvc).at("n-1").waiting_for("n-2 is not ready"),
            "Server replacement: waiting to delete the PVC of n-1: n-2 is not ready",
        ),
        (
            of(ReplaceServer, OperationStep::Create).at("n-1").waiting_for("n-1 is terminating"),
            "Server replacement: waiting for n-1: n-1 is terminating",
        ),
        (of(Repair, OperationStep::Reload).at("n-0"), "Repair: reloading the configuration of n-0"),
        (of(Deployment, OperationStep::Create), "First deployment: creating servers"),
    ] {
        let (status, events) = World::healthy(3).operation(operation.clone()).after(&ready(), 110);
        let (truth, reason, message) = condition(&status, Reconciling);
        let kind = format!("{:?}", operation.kind);
        assert_eq!((truth.as_str(), reason.as_str(), message.as_str()), ("True", kind.as_str(), expected));
        let written = status.operation.clone().unwrap();
        assert_eq!((written.type_, written.step), (kind, format!("{:?}", operation.step)));
        assert_eq!((written.server, written.waiting_for), (operation.server.clone(), operation.waiting_for.clone()));
        assert_eq!(status.state, "Ready");
        assert_eq!(events.len(), 0, "{expected}: a step is no event");
        assert_eq!(brief(&status, Ready), format!("False {reason}"));
    }
}

#[test]
fn operation_keeps_its_start_time_across_steps() {
    let (first, _) = rolling("n-2", None).after(&ready(), 110);
    let (second, _) = rolling("n-1", Some("n-2 is not ready")).after(&first, 150);
    assert_eq!(second.operation.as_ref().unwrap().since, first.operation.as_ref().unwrap().since);
    assert_eq!(message(&second, Ready), message(&first, Ready));
    let (other, _) =
        World::healthy(3).operation(Operation::new(OperationKind::Repair, OperationStep::Reload)).after(&second, 160);
    assert_ne!(other.operation.unwrap().since, first.operation.unwrap().since);
    let (ended, _) = World::healthy(3).after(&second, 170);
    assert_eq!((ended.operation.as_ref(), brief(&ended, Reconciling).as_str()), (None, "False Idle"));
    assert!(ended.merge_patch(&second)["operation"].is_null(), "the patch removes it");
}

#[test]
fn obstacle_stays_the_same_while_it_is_one_of_several() {
    let (first, _) = rolling("n-1", Some("a is not in sync; b is not in sync; and more")).after(&ready(), 110);
    for (cause, is_kept) in
        [("b is not in sync; c is not in sync", true), ("a is not in sync", true), ("n-2 is unreachable", false)]
    {
        let (next, _) = rolling("n-1", Some(cause)).after(&first, 120);
        assert_eq!(next == first, is_kept, "{cause}");
    }
    let (other, _) = rolling("n-0", Some("b is not in sync")).after(&first, 120);
    assert_eq!(other.operation.unwrap().waiting_for.as_deref(), Some("b is not in sync"), "another step");
}

#[test]
fn failed_action_is_reported_as_the_obstacle() {
    let failing = |failure| World { action_failure: Some(failure), ..rolling("n-1", Some("a")) };
    let (status, _) = failing("cannot restart n-1: connection from 10.0.0.1:40001 refused").after(&ready(), 110);
    let text = "Rolling update: waiting to restart n-1: cannot restart n-1: connection from 10.0.0.1:40001 refused";
    assert_eq!(message(&status, Reconciling), text);
    let again = failing("cannot restart n-1: connection from 10.0.0.1:40002 refused").after(&status, 120).0;
    assert_eq!(again, status, "another attempt");
    assert_eq!(rolling("n-1", None).after(&status, 130).0.operation.unwrap().waiting_for, None);
}

#[test]
fn long_first_deployment_names_its_obstacle() {
    let waiting =
        Operation::new(OperationKind::Deployment, OperationStep::Create).at("n-0").waiting_for("n-0 cannot run: x");
    let deploying = World { seen: Seen::Starting, ..World::healthy(3) }.not_ready(&[0, 1, 2], 95).operation(waiting);
    let (first, _) = deploying.after(&NatsStatus::default(), 100);
    assert_eq!(message(&first, Reconciling), "First deployment: creating servers");
    let (later, _) = deploying.after(&first, 130);
    assert_eq!(message(&later, Reconciling), "First deployment: waiting for n-0: n-0 cannot run: x");
}

#[test]
fn rolling_update_names_the_outdated_servers() {
    let mut world = rolling("n-2", None);
    world.applied.is_complete = false;
    world.actual.stateful_set.as_mut().unwrap().update_revision = Some("newer".to_owned());
    let (status, _) = world.after(&ready(), 110);
    assert_eq!(message(&status, StatefulSet), "not restarted with the newest template yet: n-0, n-1, n-2");
    assert_eq!((status.state.as_str(), status.availability_zones_used), ("Ready", 3));

    let (restarting, _) = rolling("n-2", None).not_ready(&[2], 115).after(&status, 120);
    assert_eq!((message(&restarting, StatefulSet).as_str(), restarting.ready_servers), ("not ready: n-2", 2));
}

#[test]
fn counts_that_the_pods_do_not_explain_keep_the_message() {
    let (first, _) = World::healthy(3).not_ready(&[1], 100).after(&ready(), 110);
    let mut ahead = World::healthy(3);
    ahead.applied = AppliedCounts { desired: 3, ready: 2, is_complete: false };
    assert_eq!(message(&ahead.after(&first, 120).0, StatefulSet), "not ready: n-1");
    let unknown = World { actual: ActualState::default(), ..ahead };
    assert_eq!(message(&unknown.after(&ready(), 120).0, StatefulSet), "StatefulSet is not ready");
}

#[test]
fn operation_lasts_until_the_counts_agree_with_the_pods() {
    let deploying = Operation::new(OperationKind::Deployment, OperationStep::Create);
    let deploying = World { seen: Seen::Starting, ..World::healthy(3) }.not_ready(&[0, 1, 2], 95).operation(deploying);
    let (first, _) = deploying.after(&NatsStatus::default(), 100);
    // The Pods are cached as ready before the counts of the StatefulSet.
    let mut ahead = World { seen: Seen::Starting, ..World::healthy(3) };
    ahead.applied = AppliedCounts { desired: 3, ready: 1, is_complete: false };
    let (between, events) = ahead.after(&first, 101);
    assert_eq!((brief(&between, Reconciling).as_str(), &between.operation), ("True Deployment", &first.operation));
    assert_eq!(events.len(), 0);
    assert_eq!(brief(&World::healthy(3).after(&between, 102).0, Reconciling), "False Idle");
}

#[test]
fn blocked_change_is_announced_once_and_ends_without_a_trace() {
    use BlockedReason::{
        MemoryStoreBlocked, PvcTerminating, RepairBlocked, ReplacementBlocked, ScalingBlocked, StoreUnknown,
        UnknownServer, VersionBlocked,
    };
    let blocked = |all: &[(BlockedReason, &str)]| {
        let mut world = World::healthy(3);
        world.plan.blocked = all.iter().map(|(reason, message)| Blocked::new(*reason, *message)).collect();
        world
    };
    for reason in [
        MemoryStoreBlocked,
        PvcTerminating,
        RepairBlocked,
        ReplacementBlocked,
        ScalingBlocked,
        StoreUnknown,
        UnknownServer,
        VersionBlocked,
    ] {
        let (status, events) = blocked(&[(reason, "why")]).announced(&ready(), 110);
        let name = format!("{reason:?}");
        assert_eq!(condition(&status, Stalled), ("True".to_owned(), name.clone(), "why".to_owned()));
        assert_eq!(condition(&status, Ready).1, name);
        assert_eq!((status.state.as_str(), events.len(), events[0].is_warning), ("Warning", 1, true));
        assert!(blocked(&[(reason, "why")]).after(&status, 120).1.is_empty());
        let (unblocked, _) = World::healthy(3).after(&status, 130);
        assert_eq!((unblocked.state.as_str(), brief(&unblocked, Stalled).as_str()), ("Ready", "False NotBlocked"));
    }
    let (both, _) = blocked(&[(ScalingBlocked, "one"), (VersionBlocked, "two")]).after(&ready(), 110);
    assert_eq!((brief(&both, Stalled).as_str(), message(&both, Stalled).as_str()), ("True ScalingBlocked", "one. two"));
}

#[test]
fn inconsistent_caches_change_only_the_status_of_a_new_spec() {
    let mut blocked = rolling("n-1", None);
    blocked.plan.blocked = vec![Blocked::new(BlockedReason::ScalingBlocked, "why")];
    let (old, _) = blocked.after(&ready(), 110);
    let mut inconsistent = World::healthy(3);
    inconsistent.plan.is_consistent = false;
    let (same, events) = inconsistent.after(&old, 120);
    assert_eq!((&same, events.len()), (&old, 0));

    inconsistent.generation = 2;
    let (new, _) = inconsistent.after(&ready(), 120);
    assert_eq!(
        (brief(&new, Ready).as_str(), brief(&new, Reconciling).as_str()),
        ("False Processing", "True Processing")
    );
}

#[test]
fn pods_that_cannot_be_created_are_reported_once_with_the_apiserver_message() {
    const QUOTA: &str = "create Pod n-2 in StatefulSet n failed error: exceeded quota: pods, used: 2, limited: 2";
    const MORE: &str = "create Pod n-2 in StatefulSet n failed error: exceeded quota: pods, used: 3, limited: 2";
    let world = |cause| World { pods_not_created: cause, ..World::healthy(3).not_ready(&[2], 100) };
    for old in [ready(), NatsStatus::default()] {
        let (status, events) = world(Some(QUOTA)).announced(&old, 110);
        for (kind, expected) in [(Reconciling, "True FailedCreate"), (StatefulSet, "False Pending")] {
            assert_eq!((brief(&status, kind).as_str(), message(&status, kind).as_str()), (expected, QUOTA));
        }
        let warnings: Vec<_> = events.iter().filter(|event| event.is_warning).map(|event| &event.message).collect();
        assert_eq!(warnings, [QUOTA]);
        let (same, events) = world(Some(MORE)).after(&status, 120);
        assert_eq!((same, events.len()), (status.clone(), 0), "changed figures alone are not reported");
        let (other, events) = world(Some("violates PodSecurity")).after(&status, 120);
        assert_eq!((message(&other, StatefulSet).as_str(), events.len()), ("violates PodSecurity", 1));
        let (recovered, _) = World::healthy(3).after(&status, 130);
        assert_eq!(
            (brief(&recovered, Reconciling).as_str(), brief(&recovered, StatefulSet).as_str()),
            ("False Idle", "True Available")
        );
    }
}

#[test]
fn leftover_force_rollout_and_late_reload_are_reported_only_at_rest() {
    let forced = |world: World| World { is_rollout_forced: true, ..world };
    let (status, events) = forced(World::healthy(3)).after(&ready(), 110);
    assert_eq!((brief(&status, Reconciling).as_str(), status.state.as_str()), ("False RolloutForced", "Ready"));
    let way_out = "kubectl annotate nats n -n kyma-system nats.operator.kyma-project.io/force-rollout-";
    assert!(message(&status, Reconciling).ends_with(way_out));
    assert_eq!(
        (events.as_slice(), brief(&status, Ready).as_str()),
        (["RolloutForced".to_owned()].as_slice(), "True Ready")
    );
    assert!(forced(World::healthy(3)).after(&status, 120).1.is_empty());
    let (busy, _) = forced(rolling("n-2", None)).after(&status, 120);
    assert_eq!(brief(&busy, Reconciling), "True RollingUpdate");

    let late = World { reload_notice: Some("n-1 has not loaded its configuration"), ..World::healthy(3) };
    let (status, _) = late.after(&ready(), 110);
    assert_eq!(
        (brief(&status, Reconciling).as_str(), brief(&status, Ready).as_str()),
        ("True ReloadPending", "False ReloadPending")
    );
}
