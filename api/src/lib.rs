//! The NATS resource: its types, its CRD, its defaults, its rules, and the resolved cluster.
//!
//! All functions depend only on their arguments: there is no Kubernetes client, no HTTP and no clock. The webhook, the
//! controller and the command line call the same [`rules`] and [`resolve()`].
#![deny(missing_docs)]

pub mod applied;
pub mod cluster_domain;
pub mod crd;
pub mod defaults;
pub mod deployed;
pub mod naming;
pub mod network_policy;
pub mod policy;
pub mod provider;
pub mod quantity;
pub mod resolve;
pub mod resource;
pub mod resources;
pub mod rules;
pub mod scheduling;
pub mod spec_view;
pub mod status;

pub use applied::{AppliedResources, EffectiveSpec};
pub use cluster_domain::ClusterDomain;
pub use deployed::{DeployedCluster, FileStore, SMALLEST_CLUSTER, Spread};
pub use naming::NamespacedName;
pub use network_policy::NetworkPolicyMode;
pub use provider::Provider;
pub use quantity::{Amount, Bytes, RawQuantity};
pub use resolve::{DeployedMemoryStore, InvalidSpec, ResolvedCluster, resolve, resolve_deployed};
pub use resource::{ClusterSpec, FileStorage, JetStream, Logging, MemStorage, Nats, NatsSpec};
pub use resources::ResourceRequirements;
pub use scheduling::Scheduling;
pub use spec_view::SpecView;
pub use status::{ConditionType, JetStreamStatus, ModuleState, NatsStatus, OperationStatus, Reason};
