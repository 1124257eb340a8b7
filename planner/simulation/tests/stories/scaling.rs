//! Scaling up and down.

use nats_manager_planner::plan::BlockedReason;
use nats_manager_simulation::{
    event::{Edit, Event},
    story::{everywhere, stream},
};

/// Defect 1.
#[test]
fn scale_down_of_a_large_stream_keeps_two_complete_replicas() {
    everywhere(5, |story| {
        let mut story = story.with(stream(3, 200_000)).with(stream(3, 100)).with_catch_up(2_000).begin();
        story.resize(3);
        for _ in 0..900 {
            story.passes(1);
            let complete = story.world().nats.streams.iter().map(|stream| stream.complete().len()).min();
            assert!(complete >= Some(2), "{complete:?}");
        }
        story.converges();
        assert_eq!(story.streams(), 2);
    });
}

/// Defect 1: step-downs happen once, and not while a replica is catching up (checked by the invariants).
#[test]
fn evacuation_asks_for_another_leader_at_most_once_per_server_and_stream() {
    everywhere(5, |story| {
        let mut story = story.with(stream(3, 50_000)).with_catch_up(1_000).begin();
        story.resize(3).converges();
        let asked: usize = story.world().ledger.step_downs.values().map(Vec::len).sum();
        assert!(asked <= 2, "{asked}");
    });
}

/// Defect 2.
#[test]
fn scale_down_and_template_change_in_one_edit_stop_one_server_at_a_time() {
    everywhere(5, |story| {
        let mut story = story.with(stream(3, 20_000)).begin();
        story.edit(Edit { size: Some(3), template: true, ..Edit::default() }).converges();
    });
}

/// Defect 2.
#[test]
fn template_change_waits_for_a_scale_down_in_progress() {
    everywhere(5, |story| {
        let mut story = story.with(stream(3, 50_000)).with_catch_up(2_000).begin();
        story.resize(3).passes(25);
        story.edit(Edit { template: true, ..Edit::default() }).converges();
    });
}

/// Defect 5: ten streams had their only replica on the servers that were removed within two seconds.
#[test]
fn stateful_set_scaled_up_by_hand_without_a_manager_keeps_its_streams() {
    everywhere(3, |story| {
        let mut story = story.begin();
        story.happens(Event::ManagerDown(120)).passes(5);
        story.happens(Event::ScaleByHand(5)).passes(40);
        for _ in 0..4 {
            story.happens(Event::CreateStream(stream(1, 50))).passes(1);
            story.happens(Event::CreateStream(stream(3, 50))).passes(1);
        }
        let reason = story.passes(120).is_blocked(BlockedReason::ScalingBlocked);
        assert!(reason.contains("nats stream edit"), "{reason}");
        assert_eq!((story.streams(), story.world().replicas()), (8, 5));
    });
}

/// Defect 5: the peers of the stopped servers are still counted.
#[test]
fn stateful_set_scaled_down_by_hand_is_restored_and_its_streams_with_it() {
    everywhere(5, |story| {
        let mut story = story.with(stream(3, 10_000)).begin();
        story.happens(Event::ManagerDown(90)).passes(5);
        story.happens(Event::ScaleByHand(3)).converges();
    });
}

/// Defect 5.
#[test]
fn restart_of_the_others_during_a_scale_down_leaves_no_stale_peer() {
    everywhere(5, |story| {
        let mut story = story.with(stream(3, 100)).begin();
        story.resize(3).until(300, "a server stops", |story| story.times("StopServers") == 1);
        story.happens(Event::StepDownMeta).passes(3);
        story.happens(Event::KillManager(0)).happens(Event::StepDownMeta).converges();
    });
}

/// Defect 5.
#[test]
fn foreign_server_is_named_with_the_remedy_and_removed_once_it_is_gone() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 100)).begin();
        story.happens(Event::JoinForeign);
        let reason = story.is_blocked(BlockedReason::UnknownServer);
        assert!(reason.contains("nats server cluster peer-remove other-0"), "{reason}");
        story.happens(Event::LeaveForeign).converges();
        assert_eq!(story.times("RemovePeers"), 1);
    });
}

/// Defect 6.
#[test]
fn scale_up_that_cannot_be_scheduled_can_be_reverted() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 100)).begin();
        story.happens(Event::Quota(2_000)).resize(7).waits_for("has no Pod");
        story.resize(3).until(120, "three replicas", |story| story.world().replicas() == 3);
        story.converges();
        assert_eq!(story.times("StopServers"), 0, "they never started");
    });
}

/// Defect 6.
#[test]
fn server_whose_node_and_volume_are_gone_for_good_can_be_removed() {
    everywhere(5, |story| {
        let mut story = story.with(stream(3, 100)).with(stream(3, 5_000)).begin();
        story.happens(Event::DestroyNode(4)).passes(60);
        story.resize(3).converges();
    });
}

/// Removed names are barred for five minutes: the operation reports that, and the servers are created after it.
#[test]
fn scale_up_after_a_scale_down_waits_for_removed_names() {
    everywhere(5, |story| {
        let mut story = story.begin();
        story.resize(3).converges();
        story.resize(5).waits_for("can rejoin the meta group after five minutes").converges();
    });
}

/// Defect 12.
#[test]
fn scale_down_waits_for_room_on_the_remaining_servers() {
    everywhere(5, |story| {
        let mut story = story;
        for _ in 0..5 {
            story = story.with(stream(3, 900_000));
        }
        let mut story = story.begin();
        story.resize(3).waits_for("room for stream");
        assert_eq!(story.passes(300).times("Evacuate"), 0);
        story.resize(5).converges();
    });
}
