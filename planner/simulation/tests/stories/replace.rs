//! Replacement of servers with fresh volumes.

use nats_manager_planner::{
    actual::Replacement::{KeepStreams, LoseStreams},
    plan::BlockedReason,
};
use nats_manager_simulation::{
    event::{Edit, Event},
    kubernetes::objects::ApiError,
    story::{Running, everywhere, stream},
};

/// Returns the uids of the PVCs of the first three servers.
fn volumes(story: &Running) -> Vec<Option<u64>> {
    story.world().kubernetes.pvcs.iter().take(3).map(|pvc| pvc.map(|pvc| pvc.uid)).collect()
}

#[test]
fn replaced_server_gets_a_fresh_volume_and_every_replica_again() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 50_000)).with_catch_up(1_000).begin();
        let (before, runs) = (volumes(&story), [story.run_of(0), story.run_of(2)]);
        story.happens(Event::ReplaceServer(1, KeepStreams)).converges();
        let after = volumes(&story);
        assert!(after[1].is_some() && after[1] != before[1], "{before:?} {after:?}");
        assert_eq!((after[0], after[2]), (before[0], before[2]));
        assert_eq!([story.run_of(0), story.run_of(2)], runs);
    });
}

#[test]
fn servers_are_replaced_one_after_the_other() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 50_000)).with_catch_up(1_000).begin();
        let before = volumes(&story);
        (0..3).for_each(|server| _ = story.happens(Event::ReplaceServer(server, KeepStreams)));
        story.converges();
        assert!(volumes(&story).iter().zip(&before).all(|(after, before)| after != before));
    });
}

#[test]
fn server_with_a_lost_volume_is_replaced() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 1_000)).begin();
        story.happens(Event::DestroyNode(1)).passes(100);
        story.happens(Event::ReplaceServer(1, KeepStreams)).converges();
        assert!(story.times("ReplaceServer") > 0);
    });
}

/// The rolling update waits for the server with the lost volume.
#[test]
fn lost_volume_is_replaced_during_a_rolling_update() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 1_000)).begin();
        story.happens(Event::DestroyNode(1)).passes(60);
        story.edit(Edit { template: true, ..Edit::default() }).passes(60);
        story.happens(Event::ReplaceServer(1, KeepStreams)).converges();
    });
}

#[test]
fn only_replica_blocks_the_replacement_until_its_loss_is_accepted() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 1_000)).with(stream(1, 1_000)).begin();
        let server = story.world().nats.streams[1].leader.unwrap();
        let before = volumes(&story);
        let message =
            story.happens(Event::ReplaceServer(server, KeepStreams)).is_blocked(BlockedReason::ReplacementBlocked);
        assert!(message.contains("stream-1 "), "{message}");
        story.passes(300);
        assert_eq!(volumes(&story), before);
        story.happens(Event::ReplaceServer(server, LoseStreams)).converges();
        assert!(story.times("ReplaceServer") > 0);
    });
}

/// The server that is down reports no streams: their names show that one would be lost.
#[test]
fn only_replica_on_a_lost_server_blocks_the_replacement() {
    everywhere(3, |story| {
        let mut story = story.with(stream(1, 1_000)).begin();
        let server = story.world().nats.streams[0].leader.unwrap();
        story.happens(Event::LoseNode(server, 600)).passes(60);
        story.happens(Event::ReplaceServer(server, KeepStreams)).is_blocked(BlockedReason::ReplacementBlocked);
        story.passes(600).converges();
        assert_eq!(story.times("ReplaceServer"), 0);
    });
}

#[test]
fn replacement_waits_while_another_server_is_away() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 1_000)).begin();
        story.happens(Event::LoseNode(2, 200)).passes(40);
        story.happens(Event::ReplaceServer(1, KeepStreams)).passes(120);
        assert_eq!(story.times("ReplaceServer"), 0);
        let before = volumes(&story);
        assert!(volumes(story.converges())[1] != before[1]);
    });
}

#[test]
fn second_server_that_fails_in_the_middle_costs_no_message() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 100_000)).with_catch_up(500).begin();
        story.happens(Event::ReplaceServer(1, KeepStreams));
        story.until(120, "the replacement begins", |story| story.times("ReplaceServer") > 0).passes(20);
        let fresh = volumes(&story);
        story.happens(Event::LoseNode(2, 120)).converges();
        assert_eq!(volumes(&story), fresh);
    });
}

#[test]
fn replacement_continues_after_a_kill_between_any_two_writes() {
    for writes in 0..4 {
        everywhere(3, |story| {
            let mut story = story.with(stream(3, 10_000)).begin();
            let before = volumes(&story);
            story.happens(Event::KillManager(writes)).happens(Event::ReplaceServer(1, KeepStreams)).converges();
            assert!(volumes(&story)[1] != before[1], "{writes}");
            assert!(volumes(&story)[0] == before[0] && volumes(&story)[2] == before[2], "{writes}");
        });
    }
}

#[test]
fn replacement_continues_after_lost_answers_of_the_apiserver() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 10_000)).begin();
        let before = volumes(&story);
        story.happens(Event::ApiErrors(ApiError::LostAnswer, 60, 60));
        story.happens(Event::ReplaceServer(1, KeepStreams)).converges();
        assert!(volumes(&story)[1] != before[1]);
    });
}

#[test]
fn servers_are_replaced_before_a_scale_up() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 10_000)).begin();
        story.happens(Event::ReplaceServer(2, KeepStreams)).resize(5).converges();
        assert!(story.times("ReplaceServer") > 0);
    });
}
