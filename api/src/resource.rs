//! The NATS resource as it is stored.
//!
//! `kubectl explain nats.spec` prints the comments on the fields.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value, json};

use crate::{
    defaults, quantity::RawQuantity, resources::ResourceRequirements, scheduling::Scheduling, status::NatsStatus,
};

/// Desired state of a NATS JetStream cluster.
#[derive(CustomResource, JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "operator.kyma-project.io",
    version = "v1alpha1",
    kind = "NATS",
    root = "Nats",
    plural = "nats",
    singular = "nats",
    namespaced,
    category = "kyma-modules",
    category = "kyma-nats",
    status = "NatsStatus",
    scale(spec_replicas_path = ".spec.cluster.size", status_replicas_path = ".status.readyServers"),
    derive = "PartialEq",
    doc = "NATS JetStream cluster that NATS Manager deploys and reconciles.",
    label("kyma-project.io/module", "nats"),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "State of the NATS deployment"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.ready",
        description = "NATS servers that are ready, of those that the spec asks for"
    ),
    printcolumn(
        name = "Storage",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Storage\")].reason",
        description = "Fill level of the servers' stores: the reason of the condition Storage"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Age of the resource"
    ),
    printcolumn(
        name = "Size",
        type_ = "integer",
        json_path = ".spec.cluster.size",
        description = "Number of NATS servers",
        priority = 1
    ),
    printcolumn(
        name = "Zones",
        type_ = "integer",
        json_path = ".status.availabilityZonesUsed",
        description = "Availability zones that the NATS servers run in",
        priority = 1
    ),
    printcolumn(
        name = "Url",
        type_ = "string",
        json_path = ".status.url",
        description = "Address of the NATS servers",
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Reason of the condition Ready",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase", remote = "Self")]
#[expect(clippy::duplicated_attributes, reason = "each print column has a type and a priority")]
pub struct NatsSpec {
    /// Cluster of NATS servers.
    #[serde(default)]
    pub cluster: ClusterSpec,
    /// Storage of JetStream messages: on volumes, in memory, or both. At least one of them must be enabled.
    #[serde(default)]
    pub jet_stream: JetStream,
    /// Logging of the NATS servers.
    #[serde(default)]
    pub logging: Logging,
    /// CPU (cores, such as 500m) and memory (bytes, such as 1Gi) of each NATS server. If you set only a part, the rest
    /// is computed and not stored: an omitted limit is the larger of its default and the request, an omitted request the
    /// smaller of its default and the limit. The StatefulSet has the result. A limit of 0 means no limit.
    #[serde(default)]
    pub resources: ResourceRequirements,
    /// Placement of the servers on nodes and zones. Default: spread over zones and nodes.
    #[serde(default, skip_serializing_if = "Scheduling::is_default")]
    pub scheduling: Scheduling,
    /// Annotations to add to the StatefulSet, its Pods, the Service, the ConfigMap, the Secret, and the
    /// DestinationRule: at most 1000, with a total size of at most 252 KiB together with the labels. Annotations that
    /// NATS Manager sets itself are rejected (such as nats.operator.kyma-project.io/* and prometheus.io/scrape), and
    /// annotations that make other components change Pods or copy Secrets (such as those of istio.io). Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels to add to all objects of the NATS cluster: at most 1000. Labels that NATS Manager sets itself are
    /// rejected (such as app.kubernetes.io/name), and those that are rejected as annotations. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Treats `null` at every level, and a missing spec, as absent. For a stored resource, the apiserver has already
/// removed `null`. A resource that is read from a file may still contain it.
impl<'de> Deserialize<'de> for NatsSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An absent field is read as `None` too.
        let mut spec = Value::Object(Option::<Map<_, _>>::deserialize(deserializer)?.unwrap_or_default());
        drop_nulls(&mut spec);
        Self::deserialize(spec).map_err(D::Error::custom)
    }
}

/// Counterpart of [`Deserialize`], which `remote = "Self"` requires.
impl Serialize for NatsSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, field| !field.is_null());
        fields.values_mut().for_each(drop_nulls);
    }
}

/// Cluster of NATS servers.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterSpec {
    /// Number of NATS servers: an odd number from 1 to 99. 1 provides no redundancy, 3 tolerate the loss of one server,
    /// 5 of two. Scaling up from 1 is possible only while there are no streams. Scaling down to 1 is not possible,
    /// except to revert a change from 1 that is not carried out yet. Default: 3.
    #[schemars(range(min = 1, max = 99), extend("x-kubernetes-validations" = [
        cel("self % 2 != 0", message::ODD_SIZE),
    ]))]
    pub size: i64,
}

/// Storage of JetStream messages: on volumes, in memory, or both. At least one of them must be enabled.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    cel(ANY_STORE, message::NO_STORE),
]))]
pub struct JetStream {
    /// Storage of messages in memory.
    #[serde(default)]
    pub mem_storage: MemStorage,
    /// Storage of messages on volumes. Immutable once set, but the size can grow.
    #[serde(default)]
    pub file_storage: FileStorage,
}

/// Storage of messages in memory.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    cel("!self.enabled || self.size != 0", message::EMPTY_STORE),
]))]
pub struct MemStorage {
    /// Allow streams to be stored in memory. Default: true.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Memory of each server that streams may use, in bytes, such as 256Mi: at most the memory limit in
    /// `spec.resources`. Recommended: less than 80% of this limit. The string "0" turns the memory store off, the integer
    /// 0 is rejected while `enabled` is true. Default: 1Gi.
    #[serde(default = "default_memory")]
    pub size: RawQuantity,
}

/// Storage of messages on volumes.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    cel(FILE_STORAGE_IMMUTABLE, message::IMMUTABLE),
    cel(FILE_STORAGE_GROWS, message::GROWS_ONLY),
]))]
pub struct FileStorage {
    /// Allow streams to be stored on volumes. Without volumes, no data outlives its Pod. Immutable after creation.
    /// Default: true.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// StorageClass of the volumes. `default` or an empty string selects the default StorageClass of the Kubernetes
    /// cluster. Immutable after creation. Default: default.
    #[serde(default = "default_class")]
    pub storage_class_name: String,
    /// Size of each server's volume, in bytes, such as 20Gi. 0 means not set. Once set, it can only grow, and only if
    /// the StorageClass allows volume expansion. Streams can use 85% of it, more beyond 10Gi. Default: 1Gi, or
    /// 20Gi if the cloud provider is alicloud, which is also the minimum size there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawQuantity", extend("default" = null))]
    pub size: Option<RawQuantity>,
}

/// Logging of the NATS servers.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// Log debug messages. They are numerous: disable them after use. Default: false.
    pub debug: bool,
    /// Log every protocol message, which slows down the servers: use it only for troubleshooting. Default: false.
    pub trace: bool,
}

/// Messages of the rules that both the schema and [`crate::rules`] check. Both must use the same text, and some texts
/// are part of the contract.
pub mod message {
    /// Message for an even size, which has no majority in a split.
    pub const ODD_SIZE: &str = "size only accepts odd numbers";
    /// Message for a change from a cluster to a single server, which cannot read a clustered store.
    pub const NOT_BACK_TO_ONE: &str = "cannot be set to 1 if size was greater than 1";
    /// Message for an enabled memory store whose size is the integer 0.
    pub const EMPTY_STORE: &str = "can only be enabled if size is not 0";
    /// Message for a changed file store. Its volumes are created only once.
    pub const IMMUTABLE: &str = "fileStorage is immutable once it was set";
    /// Message for a file store whose size is lowered or removed: volumes never shrink.
    pub const GROWS_ONLY: &str = "fileStorage is immutable once it was set, but its size can grow";
    /// Message for a spec without any storage for messages.
    pub const NO_STORE: &str = "at least one of fileStorage and memStorage must be enabled";
}

/// Builds one entry of `x-kubernetes-validations`.
fn cel(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// CEL rule that at least one store can contain messages. A memory store whose size is a string that is zero is off.
const ANY_STORE: &str = "self.fileStorage.enabled || (self.memStorage.enabled \
    && !(isQuantity(string(self.memStorage.size)) \
    && quantity(string(self.memStorage.size)).compareTo(quantity('0')) == 0))";

/// CEL rule that makes the file store immutable but for its size. Both names of the default StorageClass are the same
/// class: clients of the predecessor's Go types omit an empty string, which the schema replaces with `default`.
const FILE_STORAGE_IMMUTABLE: &str = "self.enabled == oldSelf.enabled \
    && (self.storageClassName == oldSelf.storageClassName \
    || (self.storageClassName in ['', 'default'] && oldSelf.storageClassName in ['', 'default']))";

/// CEL rule against smaller volumes. `"0"` and absent both mean "not set" (a CR that the predecessor stored has `"0"`),
/// and a size that was not set may be set. Sizes are compared by value. A size that matches the pattern of the schema
/// without being a quantity (`1e1.5`) may be corrected: an error in this rule would block every update.
const FILE_STORAGE_GROWS: &str = "!has(oldSelf.size) || !isQuantity(string(oldSelf.size)) \
    || quantity(string(oldSelf.size)).compareTo(quantity('0')) == 0 \
    || (has(self.size) && isQuantity(string(self.size)) \
    && quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0)";
impl Default for ClusterSpec {
    fn default() -> Self {
        Self { size: defaults::SIZE }
    }
}

impl Default for MemStorage {
    fn default() -> Self {
        Self { enabled: enabled(), size: default_memory() }
    }
}

impl Default for FileStorage {
    fn default() -> Self {
        Self { enabled: enabled(), storage_class_name: default_class(), size: None }
    }
}

// Defaults of fields, and not of whole structs, so that serde builds those that are absent only.

fn enabled() -> bool {
    true
}

fn default_memory() -> RawQuantity {
    defaults::MEM_STORAGE_SIZE.into()
}

fn default_class() -> String {
    FileStorage::DEFAULT_CLASS.to_owned()
}

impl Nats {
    /// Returns whether an annotation has the value `"true"`, which `force-deletion`, `force-rollout` and
    /// `pause-reconciliation` require.
    pub fn has_flag(&self, annotation: &str) -> bool {
        self.metadata.annotations.as_ref().and_then(|all| all.get(annotation)).is_some_and(|value| value == "true")
    }
}

impl NatsSpec {
    /// Returns whether the size of the file store is set. 0 means not set.
    pub fn has_file_size(&self) -> bool {
        self.jet_stream.file_storage.size.as_ref().is_some_and(|size| !size.is_zero())
    }
}

impl FileStorage {
    /// Class name that selects the default StorageClass of the Kubernetes cluster.
    pub const DEFAULT_CLASS: &str = defaults::STORAGE_CLASS;
}
