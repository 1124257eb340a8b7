//! Change from a standalone server to a cluster.

use nats_manager_planner::{actual::ConfigKey, plan::BlockedReason};
use nats_manager_simulation::{
    event::{Edit, Event},
    kubernetes::objects::Image,
    story::{Running, everywhere, stream},
};

/// Defect 3.
#[test]
fn standalone_server_without_streams_becomes_a_cluster() {
    everywhere(1, |story| {
        let mut story = story.begin();
        story.resize(3).converges();
        assert_eq!(story.times("JoinCluster"), 1);
        story.resize(5).converges();
    });
}

/// Defect 3.
#[test]
fn container_restarts_at_any_moment_of_the_change_keep_its_streams() {
    for after in [0, 3, 6, 9, 12, 20] {
        everywhere(1, |story| {
            let mut story = story.begin();
            story.resize(3).passes(after);
            story.happens(Event::CrashContainer(0)).converges();
        });
    }
}

/// Defect 3.
#[test]
fn stream_created_during_the_change_reverts_it_to_one_server() {
    everywhere(1, |story| {
        let mut story = story.begin();
        story.happens(Event::Quota(100)).resize(3).passes(20);
        story.happens(Event::CreateStream(stream(1, 500)));
        let reason = story.is_blocked(BlockedReason::ScalingBlocked);
        assert!(reason.contains("set spec.cluster.size to 1"), "{reason}");
        story.until(200, "one server", |story| story.world().replicas() == 1);
        story.happens(Event::CrashContainer(0)).passes(60);
        assert_eq!(story.streams(), 1);
        story.resize(1).converges();
    });
}

/// Defect 3.
#[test]
fn change_can_be_reverted_until_the_first_server_is_restarted() {
    everywhere(1, |story| {
        let mut story = story.begin();
        story.happens(Event::Quota(300)).resize(3).passes(30);
        story.resize(1).converges();
        assert_eq!((story.times("JoinCluster"), story.world().kubernetes.resource.size), (0, 1));
    });
}

/// Defect 3.
#[test]
fn standalone_server_with_streams_is_not_restarted() {
    everywhere(1, |story| {
        let mut story = story.with(stream(1, 100)).begin();
        let before = story.run_of(0);
        let reason = story.resize(3).is_blocked(BlockedReason::ScalingBlocked);
        assert!(reason.contains("stream-0"), "{reason}");
        story.passes(300);
        assert_eq!(story.run_of(0), before);
        story.resize(1).converges();
    });
}

/// Defect 3: the predecessor overwrites the ConfigMap.
#[test]
fn configuration_overwritten_by_the_predecessor_is_corrected() {
    everywhere(1, |story| {
        let mut story = story.with(stream(1, 100)).begin();
        story.resize(3).is_blocked(BlockedReason::ScalingBlocked);
        story.happens(Event::OverwriteConfig).passes(200);
        story.happens(Event::CrashContainer(0)).passes(60);
        assert_eq!(story.streams(), 1);
    });
}

/// Defect 3: without port 8222 the change ends, or is blocked with a reason.
#[test]
fn change_with_unreachable_monitoring_ports_ends_or_is_blocked() {
    everywhere(1, |story| {
        let mut story = story.begin();
        story.happens(Event::BlockPorts(None, 4_000)).happens(Event::ManagerDown(3)).passes(10);
        story.resize(3).until(600, "a cluster, or a reason", |story| {
            story.world().nats.meta_leader().is_some() || story.plan().is_some_and(|plan| !plan.blocked.is_empty())
        });
    });
}

/// Defect 3: the template changes during the change, and the manager is killed between any two writes.
#[test]
fn interruptions_of_the_change_are_harmless() {
    for writes in 0..8 {
        everywhere(1, |story| {
            let mut story = story.begin();
            story.happens(Event::KillManager(writes)).resize(3).passes(8 + u64::from(writes) * 2);
            story.edit(Edit { template: true, ..Edit::default() }).happens(Event::RestartRollout).converges();
        });
    }
}

/// Without Pods the controller makes the template of the cluster the current revision, with which it would create the
/// first server.
#[test]
fn first_server_that_was_stopped_by_hand_during_the_change_keeps_its_streams() {
    for (replicas, size) in [(0, 3), (1, 3), (3, 3), (0, 1)] {
        everywhere(1, |story| {
            let mut story = story.begin();
            story.happens(Event::Quota(70)).resize(3).passes(20);
            story.happens(Event::ManagerDown(60)).happens(Event::CreateStream(stream(1, 500)));
            story.happens(Event::ScaleByHand(0)).resize(size).passes(61);
            let first = |story: &Running| story.world().kubernetes.pods[0].as_ref().map(|pod| pod.template.key);
            story.until(30, "the first server has a Pod", |story| first(story).is_some());
            assert_eq!(first(&story), Some(ConfigKey::Main), "{replicas} {size}");
            story.happens(Event::ScaleByHand(replicas)).passes(200);
            assert_eq!(story.streams(), 1);
            story.resize(1).converges();
        });
    }
}

/// The first server has to have its own template again, with which the controller creates it.
#[test]
fn change_begins_again_only_with_the_template_of_the_first_server() {
    everywhere(1, |story| {
        let mut story = story.begin();
        story.happens(Event::Quota(60)).resize(3).passes(20);
        story.happens(Event::ManagerDown(30)).happens(Event::ScaleByHand(0)).passes(31);
        story.until(120, "the change begins again", |story| story.world().replicas() == 3);
        let set = story.world().kubernetes.set.as_ref();
        let current = set.map(|set| set.status.current.key);
        assert_eq!(current, Some(ConfigKey::Main));
        story.converges();
    });
}

#[test]
fn first_server_that_cannot_run_during_the_change_is_repaired_by_the_next_template() {
    for (after, is_stopped) in [0, 1, 2, 3, 5, 20].into_iter().flat_map(|after| [(after, false), (after, true)]) {
        everywhere(1, |story| {
            let mut story = story.begin();
            let image = |image| Edit { image: Some(image), template: true, ..Edit::default() };
            story.edit(image(Image::Missing)).passes(after).resize(3).passes(40);
            if is_stopped {
                story.happens(Event::ManagerDown(30)).happens(Event::ScaleByHand(0)).passes(40);
            }
            story.edit(image(Image::Good)).converges();
        });
    }
}
