//! Rolling updates.

use nats_manager_planner::{Version, plan::BlockedReason};
use nats_manager_simulation::{
    event::{Edit, Event},
    kubernetes::objects::Image,
    story::{Running, everywhere, stream},
};

const TEMPLATE: Edit =
    Edit { size: None, image: None, version: None, template: true, memory: None, volume: None, force: None };

#[test]
fn rolling_update_waits_for_each_replica_to_have_the_messages() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 50_000)).begin();
        // Each server misses messages while it restarts, and catches up slowly.
        story.happens(Event::CatchUp(10)).edit(TEMPLATE).converges();
        assert_eq!(story.times("OpenPartition"), 3);
    });
}

/// Defect 9.
#[test]
fn rollout_restart_waits_while_another_server_is_away() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 100)).begin();
        story.happens(Event::LoseNode(0, 120)).passes(20);
        let before = [1, 2].map(|server| story.run_of(server));
        story.happens(Event::RestartRollout).passes(80);
        assert_eq!([1, 2].map(|server| story.run_of(server)), before, "while another server is away");
        story.converges();
    });
}

/// Defect 9.
#[test]
fn broken_template_stops_at_one_server_and_can_be_reverted() {
    for image in [Image::Missing, Image::Crashing] {
        everywhere(3, |story| {
            let mut story = story.with(stream(3, 100)).begin();
            story.edit(Edit { image: Some(image), ..TEMPLATE }).passes(400);
            assert_eq!(story.world().nats.up.len(), 2);
            story.edit(Edit { image: Some(Image::Good), ..Edit::default() }).converges();
        });
    }
}

/// Defect 9.
#[test]
fn cluster_whose_first_template_is_broken_is_repaired_by_an_edit() {
    everywhere(3, |story| {
        let mut story = story.begin();
        story.happens(Event::Recreate(3));
        story.edit(Edit { image: Some(Image::Missing), ..TEMPLATE }).passes(200);
        story.edit(Edit { image: Some(Image::Good), ..Edit::default() }).converges();
    });
}

/// Part 5: forced rolling updates continue under both rule sets.
#[test]
fn forced_rolling_update_continues_without_health() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 100)).begin();
        story.happens(Event::BlockPorts(None, 4_000));
        story.edit(Edit { force: Some(true), ..TEMPLATE });
        story.until(900, "every Pod is updated", |story| {
            story.world().kubernetes.set.is_some_and(|set| set.status.updated == 3 && set.status.ready == 3)
        });
    });
}

/// Part 4.
#[test]
fn version_that_needs_an_intermediate_version_is_blocked_without_restarts() {
    let jump = |version| Edit { version: Some(version), ..Edit::default() };
    everywhere(3, |story| {
        let mut story = story.of_version(Version::new(2, 14, 2)).with(stream(3, 100)).begin();
        let before = story.run_of(2);
        let reason = story.edit(jump(Version::new(2, 15, 3))).is_blocked(BlockedReason::VersionBlocked);
        assert!(reason.contains("2.14.7"), "{reason}");
        story.resize(5).passes(200);
        assert_eq!((story.run_of(2), story.world().replicas()), (before, 3));
        story.edit(jump(Version::new(2, 14, 10))).converges();
        story.edit(jump(Version::new(2, 15, 3))).converges();
        story.edit(jump(Version::new(2, 15, 0))).is_blocked(BlockedReason::VersionBlocked);
    });
}

/// Defect 14: the rolling update deleted the Pod, and its PVC was deleted with it.
#[test]
fn pod_whose_pvc_is_terminating_waits_for_its_restart() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 100)).begin();
        let before = story.run_of(2);
        story.happens(Event::DeletePvc(2)).passes(10);
        story.edit(TEMPLATE).waits_for("the PVC of n-2 is terminating").passes(120);
        assert_eq!(story.run_of(2), before);
    });
}

/// A Pod that cannot run is replaced at once, unless its PVC would be deleted with it.
#[test]
fn unrunnable_pod_whose_pvc_is_terminating_is_not_replaced() {
    for servers in [1, 3] {
        everywhere(servers, |story| {
            let last = servers as usize - 1;
            let mut story = story.with(stream(servers, 100)).begin();
            let image = |image| Edit { image: Some(image), ..TEMPLATE };
            story.edit(image(Image::Missing)).waits_for(&format!("n-{last} cannot run"));
            let pvc = |story: &Running| story.world().kubernetes.pvcs[last].as_ref().map(|pvc| pvc.uid);
            let before = pvc(&story);
            story.happens(Event::DeletePvc(last)).passes(10);
            story.edit(image(Image::Good)).waits_for(&format!("the PVC of n-{last} is terminating")).passes(120);
            assert_eq!(pvc(&story), before);
        });
    }
}

/// Defect 15: the part of the planner. The controller adds the text of the apiserver.
#[test]
fn pod_that_cannot_be_created_is_reported() {
    everywhere(3, |story| {
        let mut story = story.with(stream(3, 100)).begin();
        story.happens(Event::Quota(300)).edit(TEMPLATE).waits_for("has no Pod").converges();
    });
}

/// Defect 14: each write carries the version that it was computed from.
#[test]
fn lagging_watches_and_conflicts_are_harmless() {
    use nats_manager_simulation::kubernetes::{cache::Watch, objects::ApiError};
    for watch in [Watch::StatefulSet, Watch::Pods, Watch::Pvcs, Watch::Config, Watch::Resource] {
        everywhere(5, |story| {
            let mut story = story.with(stream(3, 1_000)).begin();
            story.happens(Event::StallWatch(watch, 40)).happens(Event::ApiErrors(ApiError::LostAnswer, 50, 60));
            story.edit(Edit { size: Some(3), ..TEMPLATE }).converges();
        });
    }
}
