//! The file store.

use nats_manager_api::{
    FileStore, Provider,
    rules::ViolationClass::{Invalid, Policy},
};

use crate::among::{Among, FILE_SIZE, IMMUTABLE, accepts, accepts_change, rejects, rejects_change, sized, warns};

#[test]
fn the_file_store() {
    for not_set in ["'0'", "0", "0Gi", "'0.0'", "'-0'"] {
        accepts(not_set, &sized(not_set));
        Among::alicloud().accepts(not_set, &sized(not_set));
        Among::volumes(5).accepts(not_set, &sized(not_set));
    }
    rejects("negative", &sized("'-1Gi'"), FILE_SIZE, "must not be negative", Invalid);
    rejects("unreadable", &sized("big"), FILE_SIZE, "must be a quantity", Invalid);
    rejects("a fraction", &sized("1500m"), FILE_SIZE, "must be a whole number of bytes", Policy);
    accepts("unreadable, but off", "{jetStream: {fileStorage: {enabled: false, size: big}}}");
    let off = "{jetStream: {fileStorage: {enabled: false}}}";
    warns("memory only", off, "spec.jetStream.fileStorage", "do not outlive the pods");
    let both_off = "{jetStream: {fileStorage: {enabled: false}, memStorage: {enabled: false}}}";
    let no_store = "at least one of fileStorage and memStorage must be enabled";
    rejects("no store", both_off, "spec.jetStream", no_store, Invalid);
}

#[test]
fn alicloud_has_a_minimum() {
    let minimum = "spec.jetStream.fileStorage.size 1Gi is below the minimum required size of 20Gi for alicloud";
    Among::alicloud().rejects("too small", &sized("1Gi"), FILE_SIZE, minimum, Invalid);
    Among::alicloud().accepts("just enough", &sized("20Gi"));
    Among::alicloud().accepts("just enough, in other units", &sized("20480Mi"));
    Among::alicloud().accepts("the provider's default", "{}");
    accepts("elsewhere", &sized("1Gi"));
    let mut deployed = Among::volumes(20);
    deployed.0.provider = Provider::AliCloud;
    deployed.rejects("too small, but deployed with more", &sized("1Gi"), FILE_SIZE, minimum, Policy);
    Among::alicloud().accepts_change("left as it was stored", &sized("1Gi"), &sized("1Gi"));
}

#[test]
fn the_file_store_is_immutable() {
    let with = |storage: &str| format!("{{jetStream: {{fileStorage: {storage}}}}}");
    let at = |field: &str| format!("spec.jetStream.fileStorage.{field}");
    rejects_change("larger", &sized("1Gi"), &sized("2Gi"), FILE_SIZE, IMMUTABLE);
    rejects_change("smaller", &sized("2Gi"), &sized("1Gi"), FILE_SIZE, IMMUTABLE);
    rejects_change("dropped", &sized("2Gi"), "{}", FILE_SIZE, IMMUTABLE);
    rejects_change("set to 0", &sized("2Gi"), &sized("'0'"), FILE_SIZE, IMMUTABLE);
    rejects_change("turned off", "{}", &with("{enabled: false}"), &at("enabled"), IMMUTABLE);
    rejects_change("turned on", &with("{enabled: false}"), "{}", &at("enabled"), IMMUTABLE);
    rejects_change("another class", "{}", &with("{storageClassName: b}"), &at("storageClassName"), IMMUTABLE);
    accepts_change("the same value", &sized("2Gi"), &sized("2048Mi"));
    accepts_change("the same value as a number", &sized("1Ki"), &sized("1024"));
    accepts_change("mended, where it was unreadable", &sized("big"), &sized("2Gi"));
    let all = Among::nothing().change(&sized("1Gi"), &with("{enabled: false, storageClassName: b, size: 2Gi}"));
    assert_eq!(all.violations.len(), 3, "{:?}", all.violations);
}

#[test]
fn zero_means_not_set() {
    let (zero, two, other_zero) = (&sized("'0'"), &sized("2Gi"), &sized("0Gi"));
    for not_set in [zero, other_zero, "{}"] {
        accepts_change("nothing is deployed yet", not_set, two);
        Among::volumes(2).accepts_change("to what is deployed", not_set, two);
        Among::volumes(2).accepts_change("to what is deployed, in other units", not_set, &sized("2048Mi"));
        Among::volumes(1).rejects_change("to something else", not_set, two, FILE_SIZE, IMMUTABLE);
        for still_not_set in [zero, other_zero, "{}"] {
            Among::volumes(2).accepts_change("to another way of not saying it", not_set, still_not_set);
            accepts_change("to another way of not saying it", not_set, still_not_set);
        }
        let memory_only = Among::deployed(FileStore::MemoryOnly);
        memory_only.accepts_change("there are no volumes", not_set, two);
    }
    // Dropping it and setting it again goes no way round the rule.
    Among::volumes(2).rejects_change("dropped", two, "{}", FILE_SIZE, IMMUTABLE);
    Among::volumes(2).rejects_change("set again", "{}", &sized("3Gi"), FILE_SIZE, IMMUTABLE);
    Among::volumes(2).accepts_change("set again to what it was", "{}", two);
    // What the spec says, but nobody deployed, may be brought to what is.
    Among::volumes(2).accepts_change("to the truth", &sized("7Gi"), two);
    Among::volumes(2).accepts_change("left alone", &sized("7Gi"), &sized("7Gi"));
}

#[test]
fn storage_classes() {
    let class = "spec.jetStream.fileStorage.storageClassName";
    let named = |name: &str| format!("{{jetStream: {{fileStorage: {{storageClassName: {name}}}}}}}");
    Among::classes(&["a"], None).warns("no default class", "{}", class, "has no default StorageClass");
    Among::classes(&["a"], None).warns(
        "no default class, by no name",
        &named("''"),
        class,
        "has no default StorageClass",
    );
    Among::classes(&["a"], Some("a")).warns("not found", &named("b"), class, "StorageClass b not found");
    Among::classes(&["a", "b"], None).is_silent("found", &named("b"));
    let no_volumes = Among::classes(&[], None).check("{jetStream: {fileStorage: {enabled: false}}}").warnings;
    assert!(no_volumes.iter().all(|warning| warning.field != class), "{no_volumes:?}");
    rejects("no name", &named("A_B"), class, "must be the name of a StorageClass", Invalid);
    Among::volumes(1).rejects(
        "no name, but deployed",
        &named("A_B"),
        class,
        "must be the name of a StorageClass",
        Policy,
    );
}
