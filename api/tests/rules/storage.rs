//! File store.

use nats_manager_api::{
    Bytes, FileStore, Provider,
    rules::{
        StorageClasses,
        ViolationClass::{Invalid, Policy},
    },
};

use crate::facts::{
    FILE_SIZE, Facts, GROWS_ONLY, IMMUTABLE, accepts, accepts_change, rejects, rejects_change, sized, warns,
};

#[test]
fn file_store_size_is_zero_or_whole_bytes() {
    for not_set in ["'0'", "0", "0Gi", "'0.0'", "'-0'"] {
        accepts(not_set, &sized(not_set));
        Facts::alicloud().accepts(not_set, &sized(not_set));
        Facts::volumes(5).accepts(not_set, &sized(not_set));
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
fn rejects_file_store_below_minimum_of_alicloud() {
    let minimum = "spec.jetStream.fileStorage.size 1Gi is below the minimum required size of 20Gi for alicloud";
    Facts::alicloud().rejects("too small", &sized("1Gi"), FILE_SIZE, minimum, Invalid);
    Facts::alicloud().accepts("just enough", &sized("20Gi"));
    Facts::alicloud().accepts("just enough, in other units", &sized("20480Mi"));
    Facts::alicloud().accepts("the provider's default", "{}");
    accepts("elsewhere", &sized("1Gi"));
    let mut deployed = Facts::volumes(20);
    deployed.0.provider = Provider::AliCloud;
    deployed.rejects("too small, but deployed with more", &sized("1Gi"), FILE_SIZE, minimum, Policy);
    Facts::alicloud().accepts_change("left as it was stored", &sized("1Gi"), &sized("1Gi"));
}

#[test]
fn file_store_is_immutable_but_can_grow() {
    let with = |storage: &str| format!("{{jetStream: {{fileStorage: {storage}}}}}");
    let at = |field: &str| format!("spec.jetStream.fileStorage.{field}");
    accepts_change("larger", &sized("1Gi"), &sized("2Gi"));
    rejects_change("smaller", &sized("2Gi"), &sized("1Gi"), FILE_SIZE, GROWS_ONLY);
    rejects_change("dropped", &sized("2Gi"), "{}", FILE_SIZE, GROWS_ONLY);
    rejects_change("set to 0", &sized("2Gi"), &sized("'0'"), FILE_SIZE, GROWS_ONLY);
    rejects_change("turned off", "{}", &with("{enabled: false}"), &at("enabled"), IMMUTABLE);
    rejects_change("turned on", &with("{enabled: false}"), "{}", &at("enabled"), IMMUTABLE);
    rejects_change("another class", "{}", &with("{storageClassName: b}"), &at("storageClassName"), IMMUTABLE);
    accepts_change("the same value", &sized("2Gi"), &sized("2048Mi"));
    accepts_change("the same value as a number", &sized("1Ki"), &sized("1024"));
    accepts_change("corrected, where it was not a quantity", &sized("big"), &sized("2Gi"));
    let all = Facts::none().change(&sized("2Gi"), &with("{enabled: false, storageClassName: b, size: 1Gi}"));
    assert_eq!(all.violations.len(), 3, "{:?}", all.violations);
}

#[test]
fn file_store_size_zero_means_not_set() {
    let (zero, two, other_zero) = (&sized("'0'"), &sized("2Gi"), &sized("0Gi"));
    for not_set in [zero, other_zero, "{}"] {
        accepts_change("nothing is deployed yet", not_set, two);
        Facts::volumes(2).accepts_change("to what is deployed", not_set, two);
        Facts::volumes(2).accepts_change("to what is deployed, in other units", not_set, &sized("2048Mi"));
        Facts::volumes(1).accepts_change("to more than is deployed", not_set, two);
        Facts::volumes(3).rejects_change("to less than is deployed", not_set, two, FILE_SIZE, GROWS_ONLY);
        for still_not_set in [zero, other_zero, "{}"] {
            Facts::volumes(2).accepts_change("to another notation of not set", not_set, still_not_set);
            accepts_change("to another notation of not set", not_set, still_not_set);
        }
        let memory_only = Facts::deployed(FileStore::MemoryOnly);
        memory_only.accepts_change("there are no volumes", not_set, two);
    }
    // Removing the size and setting it again does not bypass the rule.
    Facts::volumes(2).rejects_change("dropped", two, "{}", FILE_SIZE, GROWS_ONLY);
    Facts::volumes(2).rejects_change("set again", "{}", &sized("1Gi"), FILE_SIZE, GROWS_ONLY);
    Facts::volumes(2).accepts_change("set again to what it was", "{}", two);
    Facts::volumes(2).rejects_change("lowered to the deployed size", &sized("7Gi"), two, FILE_SIZE, GROWS_ONLY);
    Facts::volumes(2).accepts_change("unmodified", &sized("7Gi"), &sized("7Gi"));
}

#[test]
fn volumes_grow_only_if_their_storage_class_allows_it() {
    let growing = |all: &[(&str, bool)], default: Option<&str>, of_volumes: &[&str], deployed: Option<&str>| {
        let mut facts = Facts::deployed(FileStore::Volume { size: Bytes::gibi(1), class: deployed.map(str::to_owned) });
        let all = all.iter().map(|(name, is_expandable)| ((*name).to_owned(), *is_expandable)).collect();
        facts.0.storage_classes = Some(StorageClasses { all, default: default.map(str::to_owned) });
        facts.0.volume_classes = of_volumes.iter().map(|name| (*name).to_owned()).collect();
        facts
    };
    let (one, two) = (&sized("1Gi"), &sized("2Gi"));
    let (fixed, gone) =
        ("cannot grow: StorageClass slow of the volumes does not allow", "cannot grow: StorageClass slow of");
    growing(&[("slow", false)], Some("slow"), &[], None).rejects_change("default", one, two, FILE_SIZE, fixed);
    growing(&[("slow", false)], None, &[], Some("slow")).rejects_change("named", one, two, FILE_SIZE, fixed);
    growing(&[("slow", false), ("fast", true)], Some("fast"), &["slow"], None).rejects_change(
        "another default than that of the volumes",
        one,
        two,
        FILE_SIZE,
        fixed,
    );
    growing(&[("fast", true)], Some("fast"), &["slow"], None).rejects_change("gone", one, two, FILE_SIZE, gone);
    growing(&[("slow", false)], Some("slow"), &[], None).accepts_change("no growth", one, one);
    growing(&[("slow", false)], Some("slow"), &[], None).accepts_change("another notation", one, &sized("1024Mi"));
    let expandable = growing(&[("slow", false), ("fast", true)], Some("slow"), &["fast"], None);
    expandable.accepts_change("of an expandable class", one, two);
    let warnings = expandable.change(one, two).warnings;
    let text = "the volumes that exist are expanded from 1Gi to 2Gi, which cannot be undone";
    assert!(warnings.iter().any(|warning| warning.field == FILE_SIZE && warning.message == text), "{warnings:?}");
    assert_eq!(Facts::none().change(one, two).warnings, [], "nothing is deployed");
}

#[test]
fn unknown_storage_class_causes_warning() {
    let class = "spec.jetStream.fileStorage.storageClassName";
    let named = |name: &str| format!("{{jetStream: {{fileStorage: {{storageClassName: {name}}}}}}}");
    Facts::classes(&["a"], None).warns("no default class", "{}", class, "has no default StorageClass");
    Facts::classes(&["a"], None).warns(
        "no default class, by no name",
        &named("''"),
        class,
        "has no default StorageClass",
    );
    Facts::classes(&["a"], Some("a")).warns("not found", &named("b"), class, "StorageClass b not found");
    Facts::classes(&["a", "b"], None).reports_nothing("found", &named("b"));
    let no_volumes = Facts::classes(&[], None).check("{jetStream: {fileStorage: {enabled: false}}}").warnings;
    assert!(no_volumes.iter().all(|warning| warning.field != class), "{no_volumes:?}");
    rejects("no name", &named("A_B"), class, "must be the name of a StorageClass", Invalid);
    Facts::volumes(1).rejects(
        "no name, but deployed",
        &named("A_B"),
        class,
        "must be the name of a StorageClass",
        Policy,
    );
}
