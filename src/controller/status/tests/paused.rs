//! A paused resource.

use nats_manager_api::{
    ConditionType::{Available, JetStream, Ready, Reconciling, Stalled},
    naming::PAUSE,
};

use super::*;

fn paused(world: World) -> World {
    World { is_paused: true, ..world }
}

#[test]
fn pause_is_named_by_the_conditions_and_announced_once() {
    let (status, events) = paused(World::healthy(3)).after(&ready(), 110);
    assert_eq!(events, ["Paused"]);
    assert_eq!(status.state, "Warning");
    assert_eq!(
        (brief(&status, Stalled).as_str(), brief(&status, Available).as_str()),
        ("True Paused", "True Deployed")
    );
    assert_eq!(brief(&status, Reconciling), "False Paused");
    let (truth, reason, message) = condition(&status, Ready);
    assert_eq!((truth.as_str(), reason.as_str()), ("False", "Paused"));
    assert_eq!(message, "Reconciliation is paused: see the condition Stalled.");
    let command = format!("To continue: kubectl annotate nats n -n kyma-system {PAUSE}-");
    assert!(super::message(&status, Stalled).ends_with(&command));
    assert_eq!(paused(World::healthy(3)).after(&status, 120), (status.clone(), vec![]), "nothing changed");

    let (resumed, events) = World::healthy(3).after(&status, 130);
    assert_eq!(events, ["Resumed"]);
    assert_eq!((resumed.state.as_str(), brief(&resumed, Ready).as_str()), ("Ready", "True Ready"));
    assert_eq!(World::healthy(3).after(&resumed, 140).1, [""; 0]);
}

#[test]
fn change_in_progress_has_no_operation_during_a_pause() {
    let operation = Operation::new(OperationKind::RollingUpdate, OperationStep::Restart).at("n-2");
    let (rolling, _) = World::healthy(3).operation(operation).after(&ready(), 110);
    assert!(rolling.operation.is_some());
    let (status, _) = paused(World::healthy(3)).after(&rolling, 120);
    assert_eq!((status.operation, status.members), (None, Some(3)));
}

#[test]
fn servers_are_observed_during_a_pause() {
    let (status, _) = paused(World { generation: 2, ..World::healthy(3) }.not_ready(&[0], 200)).after(&ready(), 300);
    assert_eq!((status.ready_servers, brief(&status, JetStream).as_str()), (2, "False ServerNotReady"));
    assert_eq!(status.observed_generation, Some(2));
}

#[test]
fn new_paused_resource_is_not_available() {
    let mut world = paused(World { seen: Seen::Starting, ..World::healthy(3) });
    world.applied = AppliedCounts::default();
    world.actual = ActualState { name: "n".to_owned(), ..ActualState::default() };
    let (status, _) = world.after(&NatsStatus::default(), 100);
    assert_eq!((status.state.as_str(), brief(&status, Available).as_str()), ("Warning", "False Paused"));
    assert_eq!((brief(&status, Ready).as_str(), status.members, status.url.as_str()), ("False Paused", None, ""));
}
