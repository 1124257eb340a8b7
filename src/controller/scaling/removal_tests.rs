use super::{
    super::shrink::tests::{Case, id, look, name, resizing, step},
    *,
};
use crate::jetstream::{Group, Silence};
use k8s_openapi::jiff::Timestamp;
use nats_manager_api::Resizing;

#[test]
fn a_server_that_left_is_forgotten_before_its_volume_goes() {
    let both = look(3, &[0, 1, 2, 3, 4], &[]);
    let one = look(3, &[0, 1, 2, 4], &[]);
    let none = look(3, &[0, 1, 2], &[]);
    let wait = |reason: &str| Step::Wait { reason: reason.to_owned(), until: None };
    for (what, wanted, pods, look, expected) in [
        (
            "a pod still runs",
            3,
            4,
            Sight::Seen(&both, None),
            wait("eventing-nats-3 must stop before JetStream forgets them"),
        ),
        ("all stopped", 3, 3, Sight::Seen(&both, Some("two are away")), Step::Remove(vec![name(3), name(4)])),
        ("one is forgotten", 3, 3, Sight::Seen(&one, Some("one is away")), Step::Remove(vec![name(4)])),
        (
            "all are, and copies still move",
            3,
            3,
            Sight::Seen(&none, Some("sap is behind")),
            wait("the volumes of the removed servers stay until JetStream is whole: sap is behind"),
        ),
        ("all are, and it is whole", 3, 3, Sight::Seen(&none, None), Step::Finish),
        ("they are wanted back before any was forgotten", 5, 3, Sight::Seen(&both, Some("away")), Step::Grow { to: 5 }),
        ("more are wanted than left", 7, 3, Sight::Seen(&both, Some("away")), Step::Grow { to: 5 }),
        ("they are wanted back too late", 5, 3, Sight::Seen(&one, Some("away")), Step::Remove(vec![name(4)])),
    ] {
        let step = step(&Case { sizes: (3, wanted), resizing: resizing(Some(5), None), pods, look });
        assert_eq!(step, expected, "{what}");
    }
}

#[test]
fn without_a_leader_nobody_is_forgotten() {
    let mut leaderless = look(3, &[0, 1, 2, 3, 4], &[]);
    for server in leaderless.servers.values_mut().flatten() {
        server.meta = Some(Group::default());
    }
    let case = Case {
        sizes: (3, 3),
        resizing: resizing(Some(5), None),
        pods: 3,
        look: Sight::Seen(&leaderless, Some("no leader")),
    };
    assert!(matches!(step(&case), Step::Wait { .. }));
}

/// Confirms the removal of some of the servers from the third up to `from`.
fn confirmed(from: u32, leaving: &[u32], streams: &[&str], look: &Look) -> Step {
    let picture = Picture {
        id: &id(),
        deployed: 3,
        wanted: 3,
        resizing: Resizing { leaving_from: Some(from), removed_at: None },
        now: Timestamp::UNIX_EPOCH,
        pods: &[],
        look: Sight::Never,
    };
    let streams = streams.iter().map(|name| (*name).to_owned()).collect();
    confirm(picture, leaving.iter().map(|ordinal| name(*ordinal)).collect(), &streams, look)
}

#[test]
fn a_server_is_forgotten_only_when_every_stream_is_seen_on_one_that_stays() {
    let seen = look(3, &[0, 1, 2, 3], &[("sap", 3, &[0, 1, 2]), ("single", 1, &[1])]);
    let remove = Step::Remove(vec![name(3)]);
    assert_eq!(confirmed(4, &[3], &[], &seen), remove);
    assert_eq!(confirmed(4, &[3], &["sap", "single"], &seen), remove);
    assert_eq!(confirmed(4, &[3], &["sap", "single", "late"], &seen), Step::Grow { to: 4 }, "it has the only copy");
    let mut foreign = look(3, &[0, 1, 2, 3], &[("late", 1, &[1])]);
    for stream in foreign.servers.values_mut().flatten().flat_map(|server| &mut server.streams) {
        "other".clone_into(&mut stream.account);
    }
    assert_eq!(confirmed(4, &[3], &["late"], &foreign), Step::Grow { to: 4 }, "that one is another account's");
}

#[test]
fn a_server_that_stays_and_does_not_tell_may_have_the_stream() {
    for (lack, change) in [
        ("eventing-nats-1 does not answer", None),
        ("eventing-nats-1 is starting: it knows no meta leader yet", Some(crate::jetstream::Server::default())),
    ] {
        let mut seen = look(3, &[0, 1, 2, 3], &[("sap", 3, &[0, 1, 2])]);
        let answer = change.ok_or_else(|| Silence("no route".to_owned()));
        seen.servers.insert(name(1), answer);
        assert_eq!(confirmed(4, &[3], &["sap"], &seen), Step::Remove(vec![name(3)]), "nobody needs it for this");
        let reason = format!("late must be seen elsewhere before JetStream forgets eventing-nats-3: {lack}");
        assert_eq!(confirmed(4, &[3], &["late", "sap"], &seen), Step::Wait { reason, until: None });
    }
}

#[test]
fn servers_come_back_in_turn_or_not_at_all() {
    let seen = look(3, &[0, 1, 2, 3], &[]);
    assert_eq!(confirmed(5, &[3, 4], &["late"], &seen), Step::Grow { to: 5 });
    assert_eq!(confirmed(5, &[3], &["late"], &seen), Step::Grow { to: 4 }, "the one above is forgotten already");
    let Step::Hold(reason) = confirmed(5, &[4], &["late"], &seen) else { panic!("it must be held") };
    assert!(reason.starts_with("late may have the only copies on eventing-nats-4"), "{reason}");
}
