//! What JetStream holds.

use nats_manager_api::{
    FileStore, JetStreamStatus, RawQuantity,
    resource::message,
    rules::{self, ViolationClass, deletion_warning},
};

use crate::among::{Among, MEMORY_SIZE, spec};

const SIZE: &str = "spec.cluster.size";

fn held(streams: bool, highest_replicas: u32) -> JetStreamStatus {
    JetStreamStatus { streams, highest_replicas, storage: "Healthy".to_owned(), ..JetStreamStatus::default() }
}

fn beside(held: JetStreamStatus) -> Among {
    let mut among = Among::nothing();
    among.0.jet_stream = Some(held);
    among
}

/// So many servers deployed, whatever the spec says.
fn deployed(size: u32, held: JetStreamStatus) -> Among {
    let mut among = Among::deployed(FileStore::MemoryOnly);
    among.0.jet_stream = Some(held);
    among.0.deployed.as_mut().unwrap().size = size;
    among
}

fn size(size: i64) -> String {
    format!("{{cluster: {{size: {size}}}}}")
}

#[test]
fn a_single_server_with_streams_stays_single() {
    let streams = || held(true, 1);
    for to in [3, 5] {
        let message = format!("cannot be set to {to} while there are streams: a restart as a cluster destroys them");
        beside(streams()).rejects_change("with streams", &size(1), &size(to), SIZE, &message);
        deployed(1, streams()).rejects_change("with streams", &size(1), &size(to), SIZE, &message);
        beside(held(false, 0)).accepts_change("without streams", &size(1), &size(to));
        Among::nothing().accepts_change("where nobody knows", &size(1), &size(to));
    }
    beside(streams()).accepts_change("left alone", &size(1), &size(1));
    deployed(3, streams()).accepts_change("back to what is deployed", &size(1), &size(3));
    beside(streams()).rejects_change("back to one", &size(3), &size(1), SIZE, message::NOT_BACK_TO_ONE);
}

#[test]
fn a_cluster_keeps_a_server_for_each_replica() {
    let message = "is too small for a stream with 5 replicas; first: nats stream edit STREAM --replicas 3";
    beside(held(true, 5)).rejects_change("5 to 3", &size(5), &size(3), SIZE, message);
    beside(held(true, 5)).rejects_change("7 to 3", &size(7), &size(3), SIZE, message);
    beside(held(true, 5)).rejects_change("5 to 4", &size(5), &size(4), SIZE, message::ODD_SIZE);
    beside(held(true, 5)).accepts_change("7 to 5", &size(7), &size(5));
    beside(held(true, 3)).accepts_change("5 to 3 with as many replicas", &size(5), &size(3));
    beside(held(true, 5)).accepts_change("stored past the webhook, left alone", &size(3), &size(3));
    beside(held(true, 5)).accepts_change("stored past the webhook, taken back", &size(3), &size(5));
    Among::nothing().accepts_change("where nobody knows", &size(5), &size(3));
}

#[test]
fn servers_that_are_nearly_full_are_better_not_fewer() {
    for (storage, warns) in [("Healthy", 0), ("NearlyFull", 1), ("Full", 1), ("Unknown", 0), ("", 0)] {
        let held = JetStreamStatus { storage: storage.to_owned(), ..held(true, 3) };
        let fewer = beside(held.clone()).change(&size(5), &size(3));
        assert_eq!(fewer.violations, [], "{storage}");
        assert_eq!(fewer.warnings.len(), warns, "{storage}: {:?}", fewer.warnings);
        assert_eq!(beside(held).change(&size(3), &size(5)).warnings, [], "{storage}");
    }
}

#[test]
fn change_from_one_server_can_be_taken_back_until_it_is_carried_out() {
    let with_members = |members, deployed_size| {
        let mut among = deployed(deployed_size, held(true, 1));
        among.0.members = members;
        among
    };
    for (what, members, deployed_size, accepted) in [
        ("not begun, of an earlier version", None, 1, true),
        ("servers added, the first not restarted", Some(1), 3, true),
        ("carried out, of an earlier version", None, 3, false),
        ("carried out", Some(3), 3, false),
        ("carried out, all but the first stopped", Some(3), 1, false),
    ] {
        let violations = with_members(members, deployed_size).change(&size(3), &size(1)).violations;
        assert_eq!(violations.is_empty(), accepted, "{what}: {violations:?}");
    }
    let in_progress = with_members(Some(1), 3);
    in_progress.rejects_change("3 to 5", &size(3), &size(5), SIZE, "cannot be set to 5 while there are streams");
    in_progress.accepts_change("left alone", &size(3), &size(3));
    with_members(Some(3), 3).accepts_change("back to what is there", &size(1), &size(3));
}

#[test]
fn memory_store_keeps_room_for_streams_in_memory() {
    let memory = |storage: &str| format!("{{jetStream: {{memStorage: {storage}}}}}");
    let holds = |memory_streams, memory_used: Option<&str>| {
        let memory_used = memory_used.map(RawQuantity::from);
        beside(JetStreamStatus { memory_streams, memory_used, ..held(true, 3) })
    };
    let (off, enabled) = (memory("{enabled: false}"), "spec.jetStream.memStorage.enabled");
    let turned_off = "cannot be turned off while there are streams in memory";
    holds(true, Some("1Mi")).rejects_change("turned off", "{}", &off, enabled, turned_off);
    holds(true, None).rejects_change("turned off", "{}", &off, enabled, turned_off);
    holds(false, None).accepts_change("turned off without streams in memory", "{}", &off);
    holds(true, Some("1Mi")).accepts_change("left off", &off, &off);
    Among::nothing().accepts_change("turned off, of an earlier version", "{}", &off);

    let (small, least) = (memory("{size: 16Mi}"), memory("{size: 1}"));
    let below = "is less than streams in memory hold on one server (up to 32Mi)";
    holds(true, Some("32Mi")).rejects_change("lowered", "{}", &small, MEMORY_SIZE, below);
    holds(true, Some("16Mi")).accepts_change("lowered to what they hold", "{}", &small);
    holds(true, Some("32Mi")).accepts_change("left below", &small, &small);
    holds(true, Some("32Mi")).accepts_change("raised, and still below", &least, &small);
    for unknown in [None, Some("much"), Some("-1"), Some("0")] {
        holds(true, unknown).accepts_change("unknown, or nothing", "{}", &small);
    }
}

/// They are about changes: what is stored is deployed, or held by the controller.
#[test]
fn what_jetstream_holds_never_makes_a_spec_undeployable() {
    let worst = JetStreamStatus { storage: "Full".to_owned(), customer_data: true, ..held(true, 5) };
    for (from, to) in [(1, 3), (5, 3), (3, 1)] {
        let among = deployed(if from == 1 { 1 } else { 5 }, worst.clone());
        assert_eq!(among.check(&size(to)).violations, [], "{from} to {to}");
        let change = rules::check_update(&spec(&size(from)), &spec(&size(to)), &among.0);
        let classes: Vec<ViolationClass> = change.violations.iter().map(|violation| violation.class).collect();
        assert_eq!(classes, [ViolationClass::Policy], "{from} to {to}");
    }
}

#[test]
fn who_deletes_data_is_told_what_becomes_of_it() {
    let customer_data = JetStreamStatus { customer_data: true, ..held(true, 3) };
    let told = |held, forced| deletion_warning("eventing-nats", held, forced);
    assert_eq!(
        told(&customer_data, false).unwrap(),
        "NATS eventing-nats has streams or consumers of yours: its deletion waits (state Warning) until they are deleted, see: nats stream ls; nats consumer ls sap"
    );
    assert_eq!(
        told(&customer_data, true).unwrap(),
        "NATS eventing-nats has streams or consumers of yours, which are deleted with it: it has the annotation nats.operator.kyma-project.io/force-deletion"
    );
    assert_eq!(told(&held(true, 3), false), None, "only Eventing's own");
}
