use super::*;
use crate::{
    Authority,
    authority::{AUTHORITY_LIFETIME, LEAF_LIFETIME},
    store::PROPAGATION_TIME,
};

fn start() -> Timestamp {
    "2026-02-03T04:05:06Z".parse().unwrap()
}

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}

/// Secret, and configurations to which its bundle is published after each step.
struct World {
    data: Data,
    published: TrustBundle,
}

impl World {
    fn at(now: Timestamp) -> Self {
        let mut world = Self { data: Data::new(), published: TrustBundle::default() };
        world.run(now);
        world
    }

    fn store(&self) -> CaStore {
        secret::decode(&self.data).unwrap().unwrap()
    }

    /// Carries out one step, without a publication.
    fn step(&mut self, now: Timestamp) -> Option<StoreChange> {
        match plan(&self.data, &self.published, now).unwrap() {
            RotationStep::Wait { check_in } => {
                assert!((Duration::from_secs(1)..=Duration::from_mins(1)).contains(&check_in));
                None
            }
            RotationStep::Write { store, change } => {
                self.data = secret::encode(&store);
                Some(change)
            }
        }
    }

    /// Publishes the stored bundle, if the Secret is readable.
    fn publish(&mut self, now: Timestamp) {
        if let Ok(Some(store)) = secret::decode(&self.data) {
            self.published = store.bundle_at(now);
        }
    }

    /// Carries out all steps and publications until nothing is left to do. Returns the changes.
    fn run(&mut self, now: Timestamp) -> Vec<String> {
        let mut changes = Vec::new();
        while let Some(change) = self.step(now).or_else(|| {
            self.publish(now);
            self.step(now)
        }) {
            self.publish(now);
            changes.push(format!("{change:?}"));
            assert!(changes.len() < 8, "endless changes: {changes:?}");
        }
        changes
    }
}

#[test]
fn rotation_replaces_ca_at_two_thirds_of_lifetime() {
    let mut world = World { data: Data::new(), published: TrustBundle::default() };
    assert_eq!(world.run(start()), ["First", "Published"]);
    let first = world.store().current.authority.certificate().clone();
    let due = crate::renewal::renew_at(world.store().current.authority.validity());
    let before = after(due, -SignedDuration::from_secs(1));
    assert!(world.run(before).is_empty());
    assert_eq!(world.run(due), ["Prepared", "Published"]);
    let store = world.store();
    assert_eq!(store.current.authority.certificate(), &first, "still signs");
    assert_eq!(store.bundle().certificates()[0], first);
    assert_eq!(store.bundle().certificates().len(), 2);
    assert!(world.run(after(due, PROPAGATION_TIME - SignedDuration::from_nanos(1))).is_empty());
    let switched = after(due, PROPAGATION_TIME);
    assert_eq!(world.run(switched), ["Switched"]);
    let store = world.store();
    assert_ne!(store.current.authority.certificate(), &first);
    assert!(store.current.is_propagated(switched) && store.next.is_none());
    assert!(store.bundle().contains(&first));
    assert!(world.run(after(switched, LEAF_LIFETIME)).is_empty(), "a leaf of it may be in use");
    assert_eq!(world.run(after(switched, RETIREMENT)), ["Dropped"]);
    assert_eq!(world.store().bundle().certificates().len(), 1);
}

#[test]
fn rotation_waits_until_all_configurations_contain_next_ca() {
    let mut world = World::at(start());
    let due = after(start(), days(250));
    let old = world.published.clone();
    assert!(matches!(world.step(due), Some(StoreChange::Prepared)));
    let late = after(due, days(30));
    assert!(world.step(late).is_none(), "not published: nothing happens, however long");
    world.published = world.store().bundle();
    assert!(matches!(world.step(late), Some(StoreChange::Published)));
    world.published = old;
    let later = after(late, PROPAGATION_TIME);
    assert!(matches!(world.step(later), Some(StoreChange::Unpublished)), "stripped meanwhile");
    assert!(world.step(later).is_none());
    world.published = world.store().bundle();
    assert_eq!(world.run(later), ["Published"], "and propagates again");
    assert_eq!(world.run(after(later, PROPAGATION_TIME)), ["Switched"]);
}

#[test]
fn clock_jumps_leave_a_valid_ca() {
    // Jump of the clock from `start`, and the changes after it.
    let cases: [(SignedDuration, &[&str]); 6] = [
        (days(1), &[]),
        (days(366), &["Replaced(Expired)", "Published"]),
        (days(366 * 20), &["Replaced(Expired)", "Published"]),
        (-days(366), &["Replaced(NotYetValid)", "Published"]),
        (-SignedDuration::from_mins(5), &["ClockWentBack"]),
        (-SignedDuration::from_secs(30), &[]),
    ];
    for (jump, expected) in cases {
        let mut world = World::at(start());
        let old = world.store().current.authority.certificate().clone();
        let there = after(start(), jump);
        assert_eq!(world.run(there), expected, "{jump}");
        let store = world.store();
        assert!(store.current.authority.validity().contains(there), "{jump}");
        assert!(store.bundle().contains(&old), "{jump}: other clocks may differ");
        let back = world.run(start());
        assert!(world.store().current.authority.validity().contains(start()), "{jump} and back: {back:?}");
        let mut later = after(start(), AUTHORITY_LIFETIME);
        for _ in 0..3 {
            world.run(later);
            later = after(later, RETIREMENT);
        }
        assert!(world.store().retired.is_empty(), "{jump}: retired CAs are removed eventually");
    }
}

#[test]
fn clock_jump_during_propagation_leaves_a_valid_ca() {
    for (jump, expected) in [(days(366), &["Replaced(Expired)"][..]), (-days(200), &["Prepared", "Published"])] {
        let mut world = World::at(start());
        let due = after(start(), days(250));
        assert_eq!(world.run(due), ["Prepared", "Published"]);
        let there = after(due, jump);
        let changes = world.run(there);
        assert!(changes.iter().any(|change| change == expected[0]), "{jump}: {changes:?}");
        assert!(world.store().current.authority.validity().contains(there));
    }
}

#[test]
fn damaged_secret_is_repaired_in_one_step() {
    let now = after(start(), days(3));
    for (key, content, keeps_current) in [
        ("tls.key", Authority::generate(now).unwrap().key_pem().to_owned(), false),
        ("tls.crt", "nonsense".to_owned(), false),
        ("next.crt", "nonsense".to_owned(), true),
        ("ca.crt", String::new(), true),
        ("retired.until", "never".to_owned(), true),
    ] {
        let mut world = World::at(start());
        let old = world.store().current;
        world.data.insert(key.to_owned(), content.into_bytes());
        let changes = world.run(now);
        assert!(changes[0].starts_with("Repaired("), "{key}: {changes:?}");
        let store = world.store();
        assert_eq!(store.current.authority == old.authority, keeps_current, "{key}");
        assert!(store.bundle().contains(old.authority.certificate()), "{key}");
        assert!(world.run(now).is_empty(), "{key}");
    }
}

#[test]
fn emptied_secret_keeps_published_ca() {
    let mut world = World::at(start());
    let old = world.store().current.authority.certificate().clone();
    world.data.clear();
    assert_eq!(world.run(start()), ["First", "Published"]);
    assert!(world.published.contains(&old));
    assert_eq!(world.run(after(start(), RETIREMENT)), ["Dropped"]);
    assert!(!world.published.contains(&old));
}

#[test]
fn rotation_continues_with_old_secret() {
    let mut world = World::at(start());
    let mut now = start();
    for _ in 0..60 {
        now = after(now, days(100));
        world.run(now);
        now = after(now, PROPAGATION_TIME);
        world.run(now);
        assert!(world.store().current.authority.validity().contains(now));
    }
}

#[test]
fn older_secret_that_is_put_back_keeps_trusting_what_is_published() {
    let mut world = World::at(start());
    let older = world.data.clone();
    let old = world.store().current.authority.certificate().clone();
    let due = after(start(), days(250));
    world.run(due);
    let switched = after(due, PROPAGATION_TIME);
    world.run(switched);
    let later = after(switched, RETIREMENT);
    assert_eq!(world.run(later), ["Dropped"]);
    let new = world.store().current.authority.certificate().clone();
    assert_eq!(world.published.certificates(), std::slice::from_ref(&new));

    world.data = older;
    assert!(matches!(world.step(later), Some(StoreChange::Trusted)));
    let store = world.store();
    assert!(store.bundle_at(later).contains(&new), "its leaves are in use");
    assert_eq!(store.current.published_at, None, "the older CA is not published, and signs nothing yet");
    assert_eq!(world.run(later)[0], "Prepared", "the older CA is due for renewal");
    assert!(world.published.contains(&new) && world.published.contains(&old));
    assert_eq!(world.store().current.published_at, Some(later));
    let end = after(later, crate::trusted::OVERLAP);
    world.run(end);
    assert!(!world.published.contains(&new) && world.store().trusted.entries().is_empty());
    assert!(world.run(end).is_empty());
}

#[test]
fn ca_of_another_source_is_published_until_its_end() {
    let mut world = World::at(start());
    let other = Authority::generate(start()).unwrap().certificate().clone();
    let list = TrustedCas::default().with(std::slice::from_ref(&other), start());
    world.data = secret::with_trusted(&world.data, list);
    assert!(world.run(start()).is_empty(), "there is nothing to write");
    assert!(world.published.contains(&other));
    let end = after(start(), crate::trusted::OVERLAP);
    assert!(world.run(after(end, -SignedDuration::from_secs(1))).is_empty());
    assert_eq!(world.run(end), ["Trusted"]);
    assert!(!world.published.contains(&other));
    // An interruption between publication and removal changes nothing.
    world.data = secret::with_trusted(&world.data, TrustedCas::default().with(&[other], start()));
    assert_eq!(world.run(end), ["Trusted"]);
    assert_eq!(world.store().bundle().certificates().len(), 1);
}

#[test]
fn first_ca_keeps_trusting_other_sources() {
    let other = Authority::generate(start()).unwrap().certificate().clone();
    let list = TrustedCas::default().with(std::slice::from_ref(&other), start());
    let mut world = World { data: secret::with_trusted(&Data::new(), list.clone()), published: TrustBundle::default() };
    world.published = list.bundle();
    assert_eq!(world.run(start()), ["First", "Published"]);
    let store = world.store();
    assert_eq!((store.trusted, store.retired), (list, Vec::new()));
    assert!(world.published.contains(&other));
}
