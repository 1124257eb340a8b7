//! Existing state: resources that are deleted and created again.

use nats_manager_planner::plan::BlockedReason;
use nats_manager_simulation::{
    event::Event,
    story::{everywhere, stream},
};

/// Defect 8.
#[test]
fn resource_created_again_waits_for_terminating_pvcs_and_takes_its_own_size() {
    everywhere(5, |story| {
        let mut story = story.begin();
        story.happens(Event::LoseNode(4, 200)).passes(10);
        story.happens(Event::Recreate(3)).passes(30);
        story.is_blocked(BlockedReason::PvcTerminating);
        story.converges();
        assert_eq!(story.world().replicas(), 3);
    });
}

/// Defect 8: an interrupted scale-down resumes with the servers that existed.
#[test]
fn deleted_stateful_set_is_restored_with_the_recorded_membership() {
    everywhere(5, |story| {
        let mut story = story.with(stream(3, 20_000)).with_catch_up(1_000).begin();
        story.resize(3).passes(10);
        let members = story.world().kubernetes.resource.members;
        story.happens(Event::DeleteStatefulSet);
        story.until(30, "a StatefulSet", |story| story.world().kubernetes.set.is_some());
        assert_eq!(story.world().kubernetes.set.map(|set| set.replicas), members);
        story.converges();
        assert_eq!(story.streams(), 1);
    });
}

/// Defect 14: the mode of the stores follows from the recorded membership.
#[test]
fn deleted_stateful_set_and_config_map_are_restored_unchanged() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 100)).begin();
        story.happens(Event::DeleteConfigMap).happens(Event::DeleteStatefulSet).converges();
        assert_eq!(story.streams(), 1);
    });
    everywhere(1, |story| {
        let mut story = story.with(stream(1, 100)).begin();
        story.happens(Event::DeleteConfigMap).happens(Event::DeleteStatefulSet).converges();
        assert_eq!(story.streams(), 1);
    });
}

/// Invariant 2: PVCs of removed servers are deleted, and no others.
#[test]
fn only_pvcs_of_removed_servers_are_deleted() {
    everywhere(5, |story| {
        let mut story = story.with(stream(3, 100)).begin();
        let before: Vec<u64> = (0..3).filter_map(|at| story.world().kubernetes.pvcs[at].map(|pvc| pvc.uid)).collect();
        story.resize(3).converges();
        let after: Vec<u64> = story.world().kubernetes.pvcs.iter().flatten().map(|pvc| pvc.uid).collect();
        assert_eq!(after, before);
    });
}

/// A manager that is killed between any two writes only loses time.
#[test]
fn scale_down_survives_a_manager_killed_between_any_two_writes() {
    for writes in 0..12 {
        everywhere(5, |story| {
            let mut story = story.with(stream(3, 5_000)).begin();
            story.happens(Event::KillManager(writes)).resize(3).converges();
        });
    }
}

/// Steady state: no writes.
#[test]
fn nothing_is_written_at_rest() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 100)).begin();
        let before = story.world().ledger.writes;
        story.passes(3_600);
        assert_eq!(story.world().ledger.writes, before);
    });
}
