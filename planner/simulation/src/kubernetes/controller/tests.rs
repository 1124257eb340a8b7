//! Tests of the rule sets of the StatefulSet controller.

use std::collections::BTreeMap;

use nats_manager_planner::{Version, actual::ConfigKey};

use super::*;
use crate::kubernetes::objects::{Image, Resource, SetStatus};

const OLD: Template = template(0);
const NEW: Template = template(1);

const fn template(edit: u32) -> Template {
    Template { key: ConfigKey::Main, nats: Version::new(2, 14, 2), image: Image::Good, edit, memory: None, restart: 0 }
}

fn kubernetes(rules: Rules, partition: u32, ready: [bool; 3]) -> Kubernetes {
    let resource = Resource {
        version: 1,
        size: 3,
        nats: OLD.nats,
        image: Image::Good,
        edit: 0,
        memory: 0,
        volume: 1,
        force: false,
        members: Some(3),
        removed: BTreeMap::new(),
        servers_started: true,
        was_reached: true,
    };
    let mut kubernetes = Kubernetes::new(rules, resource);
    let status = SetStatus { observed: 1, current: OLD, update: OLD, present: 3, updated: 3, ready: 3 };
    kubernetes.set = Some(StatefulSet {
        version: 1,
        generation: 2,
        replicas: 3,
        partition,
        on_delete: false,
        template: NEW,
        applied: Some(NEW),
        memory: 0,
        file: 0,
        volume: 1,
        status,
    });
    for (ordinal, ready) in ready.into_iter().enumerate() {
        let pod = new_pod(ordinal as u64, ordinal, OLD, None, 0);
        kubernetes.pods[ordinal] = Some(Pod { ready, ..pod });
    }
    kubernetes
}

fn deleted(kubernetes: &mut Kubernetes) -> Vec<ServerId> {
    sync(kubernetes, 10).iter().map(|deletion| deletion.ordinal).collect()
}

#[test]
fn outdated_pods_are_deleted_by_the_rules_of_each_version() {
    for (case, partition, ready, old, new) in [
        ("the highest one", 0, [true; 3], vec![2], vec![2]),
        ("none below the partition", 3, [false; 3], vec![], vec![]),
        ("unavailable ones at once", 0, [false, true, false], vec![2], vec![2, 0]),
        ("an unavailable one below the partition counts", 2, [false, true, true], vec![2], vec![]),
    ] {
        assert_eq!(deleted(&mut kubernetes(Rules::V1_34, partition, ready)), old, "1.34: {case}");
        assert_eq!(deleted(&mut kubernetes(Rules::V1_37, partition, ready)), new, "1.37: {case}");
    }
}

#[test]
fn condemned_and_outdated_pods_are_deleted_in_one_sync() {
    let mut kubernetes = kubernetes(Rules::V1_34, 0, [true; 3]);
    if let Some(set) = &mut kubernetes.set {
        set.replicas = 2;
    }
    assert_eq!(deleted(&mut kubernetes), [2, 1]);
}

#[test]
fn updated_pod_that_is_not_ready_blocks_the_next_deletion() {
    let mut kubernetes = kubernetes(Rules::V1_34, 0, [true; 3]);
    kubernetes.pods[2] = Some(new_pod(9, 2, NEW, None, 0));
    assert_eq!(deleted(&mut kubernetes), [0; 0]);
}

#[test]
fn pod_below_the_partition_comes_back_at_the_current_revision() {
    for (partition, expected) in [(3, OLD), (2, NEW)] {
        let mut kubernetes = kubernetes(Rules::V1_34, partition, [true; 3]);
        kubernetes.pods[2] = None;
        sync(&mut kubernetes, 10);
        assert_eq!(kubernetes.pods[2].as_ref().map(|pod| pod.template), Some(expected));
    }
}

#[test]
fn update_revision_becomes_the_current_one_when_every_pod_has_it_and_is_ready() {
    let mut kubernetes = kubernetes(Rules::V1_34, 3, [true; 3]);
    for pod in kubernetes.pods.iter_mut().flatten() {
        pod.template = NEW;
    }
    sync(&mut kubernetes, 10);
    assert_eq!(kubernetes.set.map(|set| set.status.current), Some(NEW));
}

#[test]
fn terminating_pvc_keeps_its_pod_from_being_created() {
    let mut kubernetes = kubernetes(Rules::V1_34, 3, [true; 3]);
    kubernetes.pods[1] = None;
    kubernetes.pvcs[1] = Some(Pvc { terminating: true, ..Pvc::new(1, 1) });
    sync(&mut kubernetes, 10);
    assert_eq!(kubernetes.pods[1], None);
    kubernetes.release_pvcs();
    sync(&mut kubernetes, 11);
    assert!(kubernetes.pods[1].is_some());
}
