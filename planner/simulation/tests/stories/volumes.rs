//! Volumes that grow.

use nats_manager_planner::plan::BlockedReason;
use nats_manager_simulation::{
    event::{Edit, Event},
    kubernetes::{objects::Image, volumes::Driver},
    story::{Running, everywhere, stream},
};

const LARGER: u64 = 8_000_000_000;

fn grow() -> Edit {
    Edit { volume: Some(LARGER), ..Edit::default() }
}

fn runs(story: &Running) -> [u64; 3] {
    [0, 1, 2].map(|server| story.run_of(server))
}

#[test]
fn volumes_grow_online_without_a_restart() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 1_000)).begin();
        let before = runs(&story);
        story.edit(grow()).converges();
        assert_eq!(runs(&story), before, "no server restarts");
        assert_eq!(story.times("RecreateStatefulSet"), 1);
        assert_eq!(story.times("RestartServer"), 0);
    });
}

#[test]
fn servers_restart_one_by_one_where_file_systems_grow_at_mount() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 1_000)).begin();
        story.happens(Event::SetDriver(Driver::AtMount)).edit(grow()).converges();
        let mut runs = runs(&story);
        runs.sort_unstable();
        assert_eq!(runs, [4, 5, 6], "each server was started twice");
    });
}

#[test]
fn failed_expansion_is_named_and_continues_when_its_cause_is_gone() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 1_000)).begin();
        let before = runs(&story);
        story.happens(Event::SetDriver(Driver::Failing)).edit(grow());
        let message = story.is_blocked(BlockedReason::VolumeExpansionBlocked);
        assert!(message.contains("js-pvc") && message.contains("out of space"), "{message}");
        story.happens(Event::SetDriver(Driver::Online)).converges();
        assert_eq!(runs(&story), before, "no server restarts");
    });
}

#[test]
fn volume_that_was_grown_by_hand_is_adopted() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 1_000)).begin();
        story.happens(Event::ExpandPvcByHand(1, 2 * LARGER)).passes(100);
        assert_eq!(story.times("ExpandPvcs"), 0, "the spec asks for no larger volume");
        story.edit(grow()).converges();
        assert_eq!(story.world().kubernetes.pvcs[1].map(|pvc| pvc.capacity), Some(2 * LARGER));
        assert_eq!(story.world().kubernetes.pvcs[2].map(|pvc| pvc.capacity), Some(LARGER));
    });
}

#[test]
fn growth_continues_when_the_manager_is_killed_between_any_two_writes() {
    for writes in 0..8 {
        everywhere(3, |story| {
            let mut story = story.with(stream(3, 1_000)).begin();
            let before = runs(&story);
            story.happens(Event::KillManager(writes)).edit(grow()).converges();
            assert_eq!(runs(&story), before, "no server restarts");
        });
    }
}

#[test]
fn size_template_and_volume_change_in_one_edit() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 1_000)).begin();
        story.edit(Edit { size: Some(5), template: true, ..grow() }).converges();
        assert_eq!(story.world().kubernetes.pvcs[4].map(|pvc| pvc.capacity), Some(LARGER));
    });
}

#[test]
fn lost_configuration_does_not_lower_the_file_store() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 1_000)).begin();
        story.edit(grow()).converges();
        story.happens(Event::DeleteConfigMap).converges();
        story.happens(Event::DeleteStatefulSet).happens(Event::DeleteConfigMap).converges();
    });
}

/// The controller makes the first template that it sees the current revision.
#[test]
fn template_changes_only_after_the_recreated_stateful_set_was_seen() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 1_000)).begin();
        story.edit(grow()).until(200, "a recreation", |story| story.times("RecreateStatefulSet") > 0);
        story.happens(Event::ControllerDown(20));
        story.edit(Edit { image: Some(Image::Crashing), template: true, ..Edit::default() }).passes(60);
        let current = story.world().kubernetes.set.map(|set| set.status.current.image);
        assert_eq!(current, Some(Image::Good), "Pods below the partition get the template that ran");
        story.edit(Edit { image: Some(Image::Good), ..Edit::default() }).converges();
    });
}
