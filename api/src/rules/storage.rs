//! Rules on the storage of messages.

use std::borrow::Cow;

use super::{ClusterFacts, Findings, StorageClasses, Violation, ViolationClass, metadata::is_subdomain, truncated};
use crate::{
    defaults,
    deployed::FileStore,
    provider::Provider,
    quantity::{Amount, Bytes, RawQuantity},
    resource::{FileStorage, MemStorage, message},
    spec_view::SpecView,
};

const STORES: &str = "spec.jetStream";
const FILE: &str = "spec.jetStream.fileStorage";
const FILE_SIZE: &str = "spec.jetStream.fileStorage.size";
const CLASS: &str = "spec.jetStream.fileStorage.storageClassName";
const MEMORY: &str = "spec.jetStream.memStorage";
pub(super) const MEMORY_ENABLED: &str = "spec.jetStream.memStorage.enabled";
pub(super) const MEMORY_SIZE: &str = "spec.jetStream.memStorage.size";

/// Warning about storage in memory only. NATS 2.14.2 creates a replicated file stream even so, and rejects its second
/// message (error 10023).
const MEMORY_ONLY: &str = "is off: streams are kept in memory and do not outlive the pods; streams in files fail, \
    so Eventing does not work, whose stream sap is one";

/// Warning about an enabled memory store whose size is a string that is zero.
const ZERO_IS_OFF: &str = "0 turns the memory store off: streams in memory fail; omit it for the default 1Gi, or set \
    spec.jetStream.memStorage.enabled to false";

/// Smallest store: a message of NATS has up to 1 MiB by default (`max_payload`).
const LEAST_STORE: Bytes = Bytes::mebi(1);
/// Begin of the message for a smaller store.
const TOO_SMALL: &str = "is too small for a store";
/// Size of a store below which users are warned.
const UNUSUAL_STORE: Bytes = Bytes::mebi(16);

/// Share of the memory limit, in percent, above which the servers are short of memory.
const HIGH_SHARE: u64 = 80;

pub(super) fn check(spec: SpecView<'_>, cluster_facts: &ClusterFacts, findings: &mut Findings) {
    let stores = &spec.jet_stream;
    if !stores.file_storage.enabled && !is_memory_on(&stores.mem_storage) {
        findings.reject(Violation::invalid(STORES, ViolationClass::Invalid, "object", message::NO_STORE));
    }
    check_memory(spec, findings);
    if !stores.file_storage.enabled {
        findings.warn(FILE, MEMORY_ONLY);
        return;
    }
    match desired_file_size(&stores.file_storage, cluster_facts) {
        Ok(_) => {
            if let Some(raw) = set_size(&stores.file_storage) {
                check_size(FILE_SIZE, raw, findings);
            }
        }
        Err(violation) => findings.reject(violation),
    }
    if let (Some(desired), Some(deployed)) = (set_size(&stores.file_storage), deployed_size(cluster_facts))
        && desired.parse().is_ok_and(|desired| desired < deployed.into())
    {
        findings.warn(FILE_SIZE, format!("has no effect: the volumes that exist have {deployed}, and never shrink"));
    }
    check_class(&stores.file_storage.storage_class_name, cluster_facts, findings);
}

pub(super) fn check_change(
    old: SpecView<'_>,
    new: SpecView<'_>,
    cluster_facts: &ClusterFacts,
    findings: &mut Findings,
) {
    let (old, new) = (&old.jet_stream.file_storage, &new.jet_stream.file_storage);
    let mut reject = |field: &str, value: serde_json::Value| {
        findings.reject(Violation::invalid(field, ViolationClass::Policy, value, message::IMMUTABLE));
    };
    if old.enabled != new.enabled {
        reject("spec.jetStream.fileStorage.enabled", new.enabled.into());
    }
    let is_default_class = |storage: &FileStorage| is_default_class(&storage.storage_class_name);
    if old.storage_class_name != new.storage_class_name && !(is_default_class(old) && is_default_class(new)) {
        reject(CLASS, new.storage_class_name.clone().into());
    }
    let size = || new.size.as_ref().map_or_else(|| "0".to_owned(), |size| size.text.clone());
    match size_change(old, new, cluster_facts) {
        SizeChange::None => {}
        SizeChange::Shrinks => {
            findings.reject(Violation::invalid(FILE_SIZE, ViolationClass::Policy, size(), message::GROWS_ONLY));
        }
        SizeChange::Grows { deployed } => match expansion_obstacle(old, cluster_facts) {
            Some(obstacle) => findings.reject(Violation::invalid(FILE_SIZE, ViolationClass::Policy, size(), obstacle)),
            None => findings.warn(
                FILE_SIZE,
                format!("the volumes that exist are expanded from {deployed} to {}, which cannot be undone", size()),
            ),
        },
    }
}

/// Effect of a change of the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SizeChange {
    None,
    /// The size that was set is lowered or removed, or is below that of the existing volumes.
    Shrinks,
    /// Volumes of this size exist, and have to grow.
    Grows {
        deployed: Bytes,
    },
}

/// Returns the effect of a change. An unmodified field is never a change, even if it differs from the deployed size.
fn size_change(old: &FileStorage, new: &FileStorage, cluster_facts: &ClusterFacts) -> SizeChange {
    let amount = |size: Option<&RawQuantity>| size.and_then(|size| size.parse().ok());
    let deployed = deployed_size(cluster_facts);
    let (before, after) = (amount(set_size(old)), amount(set_size(new)));
    match (deployed, before, after) {
        _ if is_same_size(old.size.as_ref(), new.size.as_ref()) => SizeChange::None,
        // Removed from the spec: the deployed size stays, and is filled in. The CEL in the CRD rejects this as well.
        (_, before, None) if before.is_some() && set_size(new).is_none() => SizeChange::Shrinks,
        (_, Some(before), Some(after)) if after < before => SizeChange::Shrinks,
        (Some(deployed), _, Some(after)) if after < deployed.into() => SizeChange::Shrinks,
        (Some(deployed), before, Some(after)) if after > deployed.into() && before != Some(after) => {
            SizeChange::Grows { deployed }
        }
        _ => SizeChange::None,
    }
}

/// Returns whether two sizes are equal. Another notation of the same quantity is no change.
fn is_same_size(old: Option<&RawQuantity>, new: Option<&RawQuantity>) -> bool {
    old == new || old.zip(new).is_some_and(|(old, new)| old.has_value_of(new))
}

/// Returns the reason for which the existing volumes cannot grow; `None` if nothing is known against it.
fn expansion_obstacle(storage: &FileStorage, cluster_facts: &ClusterFacts) -> Option<String> {
    let classes = cluster_facts.storage_classes.as_ref()?;
    let deployed = match &cluster_facts.deployed.as_ref()?.file_store {
        FileStore::Volume { class, .. } => class.clone(),
        FileStore::MemoryOnly => None,
    };
    let of_spec = Some(storage.storage_class_name.clone()).filter(|name| !is_default_class(name));
    let named = deployed.or(of_spec).or_else(|| classes.default.clone());
    // The class of a volume is known for certain from its PVC only: the default class may have changed.
    let of_volumes: Vec<&String> = if cluster_facts.volume_classes.is_empty() {
        named.iter().collect()
    } else {
        cluster_facts.volume_classes.iter().collect()
    };
    of_volumes.into_iter().find_map(|class| {
        if class.is_empty() {
            return Some("cannot grow: a volume has no StorageClass, so that Kubernetes cannot expand it".to_owned());
        }
        let name = truncated(class);
        match classes.all.get(class) {
            Some(true) => None,
            Some(false) => Some(format!(
                "cannot grow: StorageClass {name} of the volumes does not allow volume expansion. Set its field \
                 allowVolumeExpansion to true if its volume driver can expand volumes, or move the data to volumes of \
                 another class (backup and restore)"
            )),
            None => Some(format!(
                "cannot grow: StorageClass {name} of the volumes does not exist. Create it again, with \
                 allowVolumeExpansion: true"
            )),
        }
    })
}

fn is_default_class(name: &str) -> bool {
    name.is_empty() || name == FileStorage::DEFAULT_CLASS
}

/// Returns the size of the existing volumes.
fn deployed_size(cluster_facts: &ClusterFacts) -> Option<Bytes> {
    match cluster_facts.deployed.as_ref()?.file_store {
        FileStore::Volume { size, .. } => Some(size),
        FileStore::MemoryOnly => None,
    }
}

/// Returns whether streams can be kept in memory. A size of 0 turns the memory store off: the predecessor's Go types
/// write `"0"` for a size that is not set.
fn is_memory_on(storage: &MemStorage) -> bool {
    storage.enabled && !storage.size.is_zero()
}

/// Returns the memory store; `None` if it is disabled or of size 0.
pub(crate) fn memory_store(storage: &MemStorage) -> Result<Option<Bytes>, Violation> {
    is_memory_on(storage).then(|| bytes(MEMORY_SIZE, &storage.size)).transpose()
}

/// Returns the deployed file store, of which only the size can change, and only grow. If nothing is deployed, returns
/// the desired one.
pub(crate) fn deployed_or_desired_file_store(
    storage: &FileStorage,
    cluster_facts: &ClusterFacts,
) -> Result<FileStore, Violation> {
    if let Some(deployed) = &cluster_facts.deployed {
        let desired =
            set_size(storage).filter(|_| storage.enabled).and_then(|size| size.parse().ok()?.bytes_rounded_up());
        return Ok(match &deployed.file_store {
            FileStore::Volume { size, class } => {
                FileStore::Volume { size: desired.unwrap_or_default().max(*size), class: class.clone() }
            }
            FileStore::MemoryOnly => FileStore::MemoryOnly,
        });
    }
    if !storage.enabled {
        return Ok(FileStore::MemoryOnly);
    }
    Ok(FileStore::Volume {
        size: desired_file_size(storage, cluster_facts)?,
        class: Some(storage.storage_class_name.clone()).filter(|class| !is_default_class(class)),
    })
}

/// Returns the size of the volumes: from the spec, else the deployed one, else the provider's default.
fn desired_file_size(storage: &FileStorage, cluster_facts: &ClusterFacts) -> Result<Bytes, Violation> {
    let deployed = cluster_facts.deployed.as_ref();
    let Some(raw) = set_size(storage) else {
        return Ok(match deployed.map(|deployed| &deployed.file_store) {
            Some(FileStore::Volume { size, .. }) => *size,
            _ => cluster_facts.provider.default_file_size(),
        });
    };
    let size = bytes(FILE_SIZE, raw)?;
    let is_deployed = matches!(
        deployed.map(|deployed| &deployed.file_store),
        Some(FileStore::Volume { size: deployed, .. }) if *deployed == size
    );
    match cluster_facts.provider.minimum_file_size() {
        // The deployed size is accepted in a spec: admission itself fills it in if no size was set.
        Some(minimum) if size < minimum && !is_deployed => Err(Violation::invalid(
            FILE_SIZE,
            // Existing volumes are large enough for the provider, independently of the spec.
            if deployed.is_some() { ViolationClass::Policy } else { ViolationClass::Invalid },
            raw.text.clone(),
            below_minimum(raw, cluster_facts.provider),
        )),
        _ => Ok(size),
    }
}

/// Returns the size, unless it is not set: absent, or 0 in any notation.
fn set_size(storage: &FileStorage) -> Option<&RawQuantity> {
    storage.size.as_ref().filter(|size| !size.is_zero())
}

fn below_minimum(size: &RawQuantity, provider: Provider) -> String {
    let name = match provider {
        Provider::AliCloud => "alicloud",
        Provider::Other => "this provider",
    };
    let minimum = provider.minimum_file_size().unwrap_or_default();
    format!("{FILE_SIZE} {size} is below the minimum required size of {minimum} for {name}")
}

/// Parses a number of bytes. A fraction of a byte counts as a byte, as it does for a volume.
fn bytes(field: &str, raw: &RawQuantity) -> Result<Bytes, Violation> {
    let reject = |message: &str| Violation::invalid(field, ViolationClass::Invalid, raw.text.clone(), message);
    let amount = raw.parse().map_err(|error| reject(&error.to_string()))?;
    amount.bytes_rounded_up().ok_or_else(|| reject("must not be negative"))
}

/// Rejects a size that cannot be meant, and warns of one that is unusually small.
fn check_size(field: &'static str, raw: &RawQuantity, findings: &mut Findings) {
    let Ok(amount) = raw.parse() else { return };
    let Some(size) = amount.bytes() else { return reject_fraction(field, raw, findings) };
    if size < LEAST_STORE {
        let hint = match raw.text.parse::<u16>() {
            Ok(number) if number > 0 => format!("; did you mean {raw}{}?", if number < 100 { "Gi" } else { "Mi" }),
            _ => String::new(),
        };
        let message = format!("{TOO_SMALL}; use at least {LEAST_STORE}{hint}");
        findings.reject(Violation::invalid(field, ViolationClass::Policy, raw.text.clone(), message));
    } else if size < UNUSUAL_STORE {
        findings.warn(field, format!("{raw} is unusually small for a store"));
    }
}

fn reject_fraction(field: &str, raw: &RawQuantity, findings: &mut Findings) {
    let message = "must be a whole number of bytes";
    findings.reject(Violation::invalid(field, ViolationClass::Policy, raw.text.clone(), message));
}

fn check_memory(spec: SpecView<'_>, findings: &mut Findings) {
    let storage = &spec.jet_stream.mem_storage;
    if storage.enabled && storage.size.is_zero() {
        if storage.size.is_integer {
            findings.reject(Violation::invalid(MEMORY, ViolationClass::Policy, "object", message::EMPTY_STORE));
        } else {
            findings.warn(MEMORY_SIZE, ZERO_IS_OFF);
        }
        return;
    }
    let size = match bytes(MEMORY_SIZE, &storage.size) {
        Ok(size) => size,
        Err(violation) => {
            // A disabled memory store can be deployed with any size.
            let class = if storage.enabled { violation.class } else { ViolationClass::Policy };
            return findings.reject(Violation { class, ..violation });
        }
    };
    if !storage.enabled {
        if storage.size.parse().is_ok_and(|amount| amount.bytes().is_none()) {
            reject_fraction(MEMORY_SIZE, &storage.size, findings);
        }
        return;
    }
    check_size(MEMORY_SIZE, &storage.size, findings);
    let Some((raw_limit, limit)) = memory_limit(spec) else {
        return; // not a quantity: the rule on resources reports it
    };
    let is_default = |raw: &RawQuantity, default| raw.text == default && !raw.is_integer;
    let both_default =
        is_default(&storage.size, defaults::MEM_STORAGE_SIZE) && is_default(&raw_limit, defaults::MEMORY_LIMIT);
    if size > limit {
        findings.reject(Violation::invalid(
            MEMORY_SIZE,
            ViolationClass::Policy,
            storage.size.text.clone(),
            format!("must not be more than the memory limit {raw_limit} in spec.resources.limits.memory"),
        ));
    } else if size > limit.percent(HIGH_SHARE) && !both_default {
        findings.warn(MEMORY_SIZE, format!("{} is above {HIGH_SHARE}% of the memory limit {raw_limit}", storage.size));
    }
}

fn memory_limit(spec: SpecView<'_>) -> Option<(Cow<'_, RawQuantity>, Bytes)> {
    let raw = spec.resources.memory_limit()?;
    let limit = raw.parse().ok()?.bytes_rounded_up()?;
    Some((raw, limit))
}

/// Returns whether the violation is no worse than before: a store that is too small and was smaller or equal, or an
/// unmodified memory store that exceeds a memory limit which the change does not lower.
pub(super) fn is_eased(violation: &Violation, old: SpecView<'_>, new: SpecView<'_>) -> bool {
    let limit = |spec| memory_limit(spec).map(|(_, limit)| limit);
    let (before, after) = (&old.jet_stream, &new.jet_stream);
    match violation.field.as_str() {
        FILE_SIZE if violation.message.starts_with(TOO_SMALL) => {
            is_not_smaller(before.file_storage.size.as_ref(), after.file_storage.size.as_ref())
        }
        MEMORY_SIZE if violation.message.starts_with(TOO_SMALL) => {
            is_not_smaller(Some(&before.mem_storage.size), Some(&after.mem_storage.size))
        }
        MEMORY_SIZE => {
            before.mem_storage == after.mem_storage
                && limit(old).is_some_and(|before| limit(new).is_some_and(|after| after >= before))
        }
        _ => false,
    }
}

fn is_not_smaller(before: Option<&RawQuantity>, after: Option<&RawQuantity>) -> bool {
    let amount = |raw: Option<&RawQuantity>| raw.and_then(|raw| raw.parse().ok());
    amount(before).is_some_and(|before| amount(after).is_some_and(|after: Amount| !before.is_zero() && after >= before))
}

fn check_class(name: &str, cluster_facts: &ClusterFacts, findings: &mut Findings) {
    let is_default = is_default_class(name);
    if !is_default && !is_subdomain(name) {
        // Existing volumes keep their class.
        let class = if cluster_facts.deployed.is_some() { ViolationClass::Policy } else { ViolationClass::Invalid };
        findings.reject(Violation::invalid(CLASS, class, name, "must be the name of a StorageClass"));
        return;
    }
    match &cluster_facts.storage_classes {
        Some(StorageClasses { default: None, .. }) if is_default => {
            findings.warn(CLASS, "the cluster has no default StorageClass (yet)");
        }
        Some(classes) if !is_default && !classes.all.contains_key(name) => {
            findings.warn(CLASS, format!("StorageClass {} not found (yet)", truncated(name)));
        }
        _ => {}
    }
}
