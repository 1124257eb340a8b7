//! Repair, and changes that must not wait for it.

use nats_manager_planner::{health::IssueKind, plan::BlockedReason};
use nats_manager_simulation::{
    event::{Edit, Event},
    kubernetes::objects::Image,
    nats::requests::NewStream,
    story::{Running, everywhere, stream},
};

/// Defect 7.
#[test]
fn replica_with_a_write_error_is_restarted() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 1_000)).begin();
        story.happens(Event::WriteError(0, 0)).converges();
        assert_eq!(story.times("RestartServer"), 1);
    });
}

/// Defect 7.
#[test]
fn write_error_is_repaired_while_a_scale_down_waits() {
    everywhere(5, |story| {
        let mut story = story.with(stream(5, 1_000)).begin();
        story.resize(3).is_blocked(BlockedReason::ScalingBlocked);
        story.happens(Event::WriteError(1, 0));
        story.until(400, "a restart", |story| story.times("RestartServer") == 1);
    });
}

/// Defect 7: the restart of either server would cost the stream of the other one its quorum.
#[test]
fn write_errors_on_two_servers_are_left_to_the_user_and_end_with_one_restart() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 1_000)).with(stream(3, 1_000)).begin();
        story.happens(Event::WriteError(1, 0)).happens(Event::WriteError(0, 1));
        let is_named = |story: &Running| {
            let plan = story.plan();
            plan.is_some_and(|plan| plan.blocked.iter().any(|all| all.reason == BlockedReason::RepairBlocked))
        };
        story.until(900, "the restart is named", is_named);
        assert_eq!(story.times("RestartServer"), 0);
        story.happens(Event::DeletePod(0)).converges();
        assert_eq!(story.times("RestartServer"), 1);
    });
}

/// Each server waits for the other one to be ready, and a write error fails the startup probe.
#[test]
fn write_errors_on_two_servers_that_are_not_ready_are_repaired_one_after_the_other() {
    everywhere(5, |story| {
        let mut story = story.with(stream(5, 1_000)).with(stream(5, 1_000)).begin();
        for (server, stream) in [(0, 0), (2, 1)] {
            let is_up = |story: &Running| story.world().nats.up.contains(server);
            story.happens(Event::DeletePod(server)).until(60, "stops", |story| !is_up(story));
            story.until(60, "starts", is_up).happens(Event::WriteError(server, stream));
        }
        story.converges();
        assert_eq!(story.times("RestartServer"), 2);
    });
}

/// Defect 7.
#[test]
fn disabled_server_is_enabled_again_while_a_rolling_update_waits() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 100)).begin();
        story.happens(Event::FillVolume(0)).passes(20);
        story.edit(Edit { template: true, ..Edit::default() }).passes(30);
        story.happens(Event::FreeVolume(0)).converges();
        assert!(story.times("Reload") > 0);
    });
}

/// Defect 9: one server is broken by its template, another by its volume.
#[test]
fn rolling_update_that_keeps_quorum_continues_past_a_broken_server() {
    everywhere(5, |story| {
        let mut story = story.with(stream(3, 100)).begin();
        story.edit(Edit { image: Some(Image::Crashing), template: true, ..Edit::default() }).passes(200);
        story.happens(Event::LoseNode(0, 200)).passes(100);
        story.edit(Edit { image: Some(Image::Good), ..Edit::default() }).converges();
    });
}

/// Defect 10.
#[test]
fn lost_quorum_is_reported_and_ends_with_the_quorum() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 100)).begin();
        let is_leaderless = |story: &nats_manager_simulation::story::Running| {
            let assessment = story.simulation.manager.assessment.as_ref();
            assessment.is_some_and(|all| all.issues.iter().any(|issue| issue.kind == IssueKind::NoMetaLeader))
        };
        story.happens(Event::LoseNode(0, 200)).happens(Event::LoseNode(1, 400));
        story.until(60, "no meta leader", is_leaderless);
        story.until(300, "a meta leader, with one server still away", |story| !is_leaderless(story));
        assert!(!story.world().nats.up.contains(1));
        story.converges();
    });
}

/// Defect 10: a full memory store.
#[test]
fn leaderless_stream_of_a_full_memory_store_is_reported_and_repaired_by_a_raised_limit() {
    everywhere(3, |story| {
        let memory = NewStream { replicas: 3, in_memory: true, messages: 100, rate: 1 };
        let mut story = story.with(memory).begin();
        story.happens(Event::FillMemory(0)).until(60, "an issue", |story| {
            story.simulation.manager.assessment.as_ref().is_some_and(|all| !all.issues.is_empty())
        });
        story.edit(Edit { memory: Some(2_000_000_000), ..Edit::default() }).converges();
    });
}

/// Defect 11: the part of the planner. Admission rejects the change first.
#[test]
fn memory_store_is_not_lowered_below_its_usage() {
    everywhere(3, |story| {
        let memory = NewStream { replicas: 3, in_memory: true, messages: 100, rate: 1 };
        let mut story = story.with(memory).begin();
        let resource = &mut story.simulation.world.kubernetes.resource;
        (resource.memory, resource.version) = (0, resource.version + 1_000_000);
        story.is_blocked(BlockedReason::MemoryStoreBlocked);
        story.passes(300);
        assert!(story.world().nats.streams[0].leader.is_some());
        story.edit(Edit { memory: Some(1_000_000_000), ..Edit::default() }).converges();
    });
}
