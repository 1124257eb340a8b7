//! Changes that depend on the JetStream data.

use nats_manager_api::{
    FileStore, JetStreamStatus, RawQuantity,
    resource::message,
    rules::{self, ViolationClass, deletion_warning},
};

use crate::facts::{Facts, MEMORY_SIZE, spec};

const SIZE: &str = "spec.cluster.size";

fn summary(streams: bool, highest_replicas: u32) -> JetStreamStatus {
    JetStreamStatus { streams, highest_replicas, storage: "Healthy".to_owned(), ..JetStreamStatus::default() }
}

fn facts_with(summary: JetStreamStatus) -> Facts {
    let mut facts = Facts::none();
    facts.0.jet_stream = Some(summary);
    facts
}

/// Builds the facts of a deployed cluster with `size` servers, independently of the spec.
fn deployed(size: u32, summary: JetStreamStatus) -> Facts {
    let mut facts = Facts::deployed(FileStore::MemoryOnly);
    facts.0.jet_stream = Some(summary);
    facts.0.deployed.as_mut().unwrap().size = size;
    facts
}

fn size(size: i64) -> String {
    format!("{{cluster: {{size: {size}}}}}")
}

#[test]
fn standalone_server_with_streams_cannot_become_cluster() {
    let streams = || summary(true, 1);
    for to in [3, 5] {
        let message = format!("cannot be set to {to} while there are streams: a restart as a cluster destroys them");
        facts_with(streams()).rejects_change("with streams", &size(1), &size(to), SIZE, &message);
        deployed(1, streams()).rejects_change("with streams", &size(1), &size(to), SIZE, &message);
        facts_with(summary(false, 0)).accepts_change("without streams", &size(1), &size(to));
        Facts::none().accepts_change("unknown data", &size(1), &size(to));
    }
    facts_with(streams()).accepts_change("unmodified", &size(1), &size(1));
    deployed(3, streams()).accepts_change("back to the deployed size", &size(1), &size(3));
    facts_with(streams()).rejects_change("back to one", &size(3), &size(1), SIZE, message::NOT_BACK_TO_ONE);
}

#[test]
fn scale_down_keeps_a_server_for_each_replica() {
    let message = "is too small for a stream with 5 replicas; first: nats stream edit STREAM --replicas 3";
    facts_with(summary(true, 5)).rejects_change("5 to 3", &size(5), &size(3), SIZE, message);
    facts_with(summary(true, 5)).rejects_change("7 to 3", &size(7), &size(3), SIZE, message);
    facts_with(summary(true, 5)).rejects_change("5 to 4", &size(5), &size(4), SIZE, message::ODD_SIZE);
    facts_with(summary(true, 5)).accepts_change("7 to 5", &size(7), &size(5));
    facts_with(summary(true, 3)).accepts_change("5 to 3 with as many replicas", &size(5), &size(3));
    facts_with(summary(true, 5)).accepts_change("stored past the webhook, unmodified", &size(3), &size(3));
    facts_with(summary(true, 5)).accepts_change("stored past the webhook, taken back", &size(3), &size(5));
    Facts::none().accepts_change("unknown data", &size(5), &size(3));
}

#[test]
fn scale_down_of_nearly_full_servers_causes_warning() {
    for (storage, warns) in [("Healthy", 0), ("NearlyFull", 1), ("Full", 1), ("Unknown", 0), ("", 0)] {
        let data = JetStreamStatus { storage: storage.to_owned(), ..summary(true, 3) };
        let fewer = facts_with(data.clone()).change(&size(5), &size(3));
        assert_eq!(fewer.violations, [], "{storage}");
        assert_eq!(fewer.warnings.len(), warns, "{storage}: {:?}", fewer.warnings);
        assert_eq!(facts_with(data).change(&size(3), &size(5)).warnings, [], "{storage}");
    }
}

#[test]
fn change_from_one_server_can_be_taken_back_until_it_is_carried_out() {
    let with_members = |members, deployed_size| {
        let mut facts = deployed(deployed_size, summary(true, 1));
        facts.0.members = members;
        facts
    };
    for (case, members, deployed_size, accepted) in [
        ("not begun, of an earlier version", None, 1, true),
        ("servers added, the first not restarted", Some(1), 3, true),
        ("carried out, of an earlier version", None, 3, false),
        ("carried out", Some(3), 3, false),
        ("carried out, all but the first stopped", Some(3), 1, false),
    ] {
        let violations = with_members(members, deployed_size).change(&size(3), &size(1)).violations;
        assert_eq!(violations.is_empty(), accepted, "{case}: {violations:?}");
    }
    let in_progress = with_members(Some(1), 3);
    in_progress.rejects_change("3 to 5", &size(3), &size(5), SIZE, "cannot be set to 5 while there are streams");
    in_progress.accepts_change("unmodified", &size(3), &size(3));
    with_members(Some(3), 3).accepts_change("back to the actual size", &size(1), &size(3));
}

#[test]
fn memory_store_keeps_room_for_streams_in_memory() {
    let memory = |storage: &str| format!("{{jetStream: {{memStorage: {storage}}}}}");
    let with_memory_streams = |memory_streams, memory_used: Option<&str>| {
        let memory_used = memory_used.map(RawQuantity::from);
        facts_with(JetStreamStatus { memory_streams, memory_used, ..summary(true, 3) })
    };
    let (off, enabled) = (memory("{enabled: false}"), "spec.jetStream.memStorage.enabled");
    let turned_off = "cannot be turned off while there are streams in memory";
    with_memory_streams(true, Some("1Mi")).rejects_change("turned off", "{}", &off, enabled, turned_off);
    with_memory_streams(true, None).rejects_change("turned off", "{}", &off, enabled, turned_off);
    with_memory_streams(false, None).accepts_change("turned off without streams in memory", "{}", &off);
    with_memory_streams(true, Some("1Mi")).accepts_change("left off", &off, &off);
    Facts::none().accepts_change("turned off, of an earlier version", "{}", &off);

    let (small, least) = (memory("{size: 16Mi}"), memory("{size: 1}"));
    let below = "is less than streams in memory hold on one server (up to 32Mi)";
    with_memory_streams(true, Some("32Mi")).rejects_change("lowered", "{}", &small, MEMORY_SIZE, below);
    with_memory_streams(true, Some("16Mi")).accepts_change("lowered to case they hold", "{}", &small);
    with_memory_streams(true, Some("32Mi")).accepts_change("left below", &small, &small);
    with_memory_streams(true, Some("32Mi")).accepts_change("raised, and still below", &least, &small);
    for unknown in [None, Some("much"), Some("-1"), Some("0")] {
        with_memory_streams(true, unknown).accepts_change("unknown, or nothing", "{}", &small);
    }
}

/// These rules apply only to changes. A stored spec is deployed, or the controller blocks its change.
#[test]
fn jetstream_data_never_makes_a_spec_invalid() {
    let worst = JetStreamStatus { storage: "Full".to_owned(), customer_data: true, ..summary(true, 5) };
    for (from, to) in [(1, 3), (5, 3), (3, 1)] {
        let facts = deployed(if from == 1 { 1 } else { 5 }, worst.clone());
        assert_eq!(facts.check(&size(to)).violations, [], "{from} to {to}");
        let change = rules::check_update(&spec(&size(from)), &spec(&size(to)), &facts.0);
        let classes: Vec<ViolationClass> = change.violations.iter().map(|violation| violation.class).collect();
        assert_eq!(classes, [ViolationClass::Policy], "{from} to {to}");
    }
}

#[test]
fn deletion_warning_states_fate_of_data() {
    let customer_data = JetStreamStatus { customer_data: true, ..summary(true, 3) };
    let warning = |summary, forced| deletion_warning("eventing-nats", summary, forced);
    assert_eq!(
        warning(&customer_data, false).unwrap(),
        "NATS eventing-nats has streams or consumers of users: its deletion waits (state Warning) until they are deleted, see: nats stream ls; nats consumer ls sap"
    );
    assert_eq!(
        warning(&customer_data, true).unwrap(),
        "NATS eventing-nats has streams or consumers of users, which are deleted with it: it has the annotation nats.operator.kyma-project.io/force-deletion"
    );
    assert_eq!(warning(&summary(true, 3), false), None, "only Eventing's own");
}
