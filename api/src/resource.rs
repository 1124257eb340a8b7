//! The NATS resource as it is stored.
//!
//! The comments on the fields are what `kubectl explain nats.spec` prints.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value, json};

use crate::{quantity::RawQuantity, resources::ResourceRequirements, status::NatsStatus};

/// The wanted state of a NATS JetStream cluster.
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
    derive = "PartialEq",
    doc = "A NATS JetStream cluster, which NATS Manager deploys and keeps as described.",
    label("kyma-project.io/module", "nats"),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "State of the NATS deployment"
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
    )
)]
#[serde(rename_all = "camelCase", default, remote = "Self")]
#[expect(clippy::duplicated_attributes, reason = "each print column has a type and a priority")]
pub struct NatsSpec {
    /// The cluster of NATS servers.
    pub cluster: ClusterSpec,
    /// Where JetStream keeps messages: on volumes, in memory or both. At least one must be enabled.
    pub jet_stream: JetStream,
    /// What the NATS servers log.
    pub logging: Logging,
    /// CPU (cores, such as 500m) and memory (bytes, such as 1Gi) of each NATS server. Where one is
    /// left out, a limit becomes the larger of its default and the request, a request the smaller
    /// of its default and the limit.
    pub resources: ResourceRequirements,
    /// Annotations to add to the StatefulSet, its pods, the Service, the ConfigMap, the Secret
    /// and the DestinationRule: at most 1000, and 252 KiB together. Those that NATS Manager sets
    /// itself are refused: nats.operator.kyma-project.io/*, prometheus.io/scrape,
    /// prometheus.io/port, sidecar.istio.io/inject. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels to add to all objects of the NATS cluster: at most 1000. Those that NATS Manager sets
    /// itself are refused, such as app.kubernetes.io/name. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// `null` is absent at every level, and so is no spec at all: the apiserver sees to that for what
/// is stored, nobody does for a file.
impl<'de> Deserialize<'de> for NatsSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An absent field is read as `None` too.
        let mut spec = Value::Object(Option::<Map<_, _>>::deserialize(deserializer)?.unwrap_or_default());
        drop_nulls(&mut spec);
        Self::deserialize(spec).map_err(D::Error::custom)
    }
}

/// The other half of `remote = "Self"`.
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

/// The number of NATS servers.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterSpec {
    /// How many NATS servers run: an odd number, 1 to 99. 1 has no redundancy, 3 survive the loss
    /// of one, 5 of two. From 1 it grows only while there are no streams, and it cannot go back to
    /// 1. Default: 3.
    #[schemars(range(min = 1, max = 99), extend("x-kubernetes-validations" = [
        cel("self % 2 != 0", message::ODD_SIZE),
    ]))]
    pub size: i64,
}

/// Where JetStream keeps messages: on volumes, in memory or both. At least one must be enabled.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    cel("self.fileStorage.enabled || self.memStorage.enabled", message::NO_STORE),
]))]
pub struct JetStream {
    /// Messages kept in memory.
    pub mem_storage: MemStorage,
    /// Messages kept on a volume. It cannot be changed once it was set.
    pub file_storage: FileStorage,
}

/// Messages kept in memory.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[schemars(extend("x-kubernetes-validations" = [
    cel("!self.enabled || !isQuantity(string(self.size)) || quantity(string(self.size)).compareTo(quantity('0')) != 0", message::EMPTY_STORE),
]))]
pub struct MemStorage {
    /// Whether streams may be kept in memory. Default: true.
    pub enabled: bool,
    /// How much memory of each server streams may take, in bytes, such as 256Mi: more than 0 while
    /// enabled, at most the memory limit in `spec.resources`, and better below 80% of it. Default:
    /// 1Gi.
    pub size: RawQuantity,
}

/// Messages kept on a volume.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [cel(FILE_STORAGE_IMMUTABLE, message::IMMUTABLE)]))]
pub struct FileStorage {
    /// Whether streams may be kept on volumes. Without it nothing outlives a pod. It cannot be
    /// changed later. Default: true.
    pub enabled: bool,
    /// The StorageClass of the volumes; `default`, or nothing, stands for the cluster's default
    /// class. It cannot be changed later. Default: default.
    pub storage_class_name: String,
    /// The size of each server's volume, in bytes, such as 20Gi; 0 means not set. It cannot be
    /// changed later. Default: 1Gi, or 20Gi where the cloud provider is alicloud, which is also the
    /// smallest size there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawQuantity", extend("default" = null))]
    pub size: Option<RawQuantity>,
}

/// What the NATS servers log.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// Whether debug messages are logged. They are many: turn it off after use. Default: false.
    pub debug: bool,
    /// Whether every protocol message is logged, which slows the servers down: for hunting an error
    /// only. Default: false.
    pub trace: bool,
}

/// What the rules say, in the schema as in [`crate::rules`]: the contract's words, and others that
/// must agree.
pub mod message {
    /// An even size has no majority in a split.
    pub const ODD_SIZE: &str = "size only accepts odd numbers";
    /// A clustered store cannot be read by a single server.
    pub const NOT_BACK_TO_ONE: &str = "cannot be set to 1 if size was greater than 1";
    /// A memory store that holds nothing.
    pub const EMPTY_STORE: &str = "can only be enabled if size is not 0";
    /// Volumes are made once.
    pub const IMMUTABLE: &str = "fileStorage is immutable once it was set";
    /// JetStream needs somewhere to keep messages.
    pub const NO_STORE: &str = "at least one of fileStorage and memStorage must be enabled";
}

/// One entry of `x-kubernetes-validations`.
fn cel(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// `"0"` and absent both mean "not set" (a CR that the Go manager stored has `"0"`), and what was
/// not set may be set. Sizes are compared by value. What the schema's pattern lets through but is
/// no quantity (`1e1.5`) may be mended: an error in this rule would block every update.
const FILE_STORAGE_IMMUTABLE: &str = "self.enabled == oldSelf.enabled \
    && self.storageClassName == oldSelf.storageClassName \
    && (!has(oldSelf.size) || !isQuantity(string(oldSelf.size)) \
    || quantity(string(oldSelf.size)).compareTo(quantity('0')) == 0 \
    || (has(self.size) && isQuantity(string(self.size)) \
    && quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) == 0))";

impl Default for ClusterSpec {
    fn default() -> Self {
        Self { size: 3 }
    }
}

impl Default for MemStorage {
    fn default() -> Self {
        Self { enabled: true, size: "1Gi".into() }
    }
}

impl Default for FileStorage {
    fn default() -> Self {
        Self { enabled: true, storage_class_name: FileStorage::DEFAULT_CLASS.to_owned(), size: None }
    }
}

impl Nats {
    /// Returns whether an annotation has the value `"true"`, as `force-deletion` and `force-rollout` need it.
    pub fn has_flag(&self, annotation: &str) -> bool {
        self.metadata.annotations.as_ref().and_then(|all| all.get(annotation)).is_some_and(|value| value == "true")
    }
}

impl FileStorage {
    /// The class name that stands for the cluster's default StorageClass.
    pub const DEFAULT_CLASS: &str = "default";
}
