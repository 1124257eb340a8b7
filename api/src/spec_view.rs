//! A spec by reference, for the rules.

use std::collections::BTreeMap;

use crate::{
    resource::{ClusterSpec, JetStream, Logging, NatsSpec},
    resources::ResourceRequirements,
    scheduling::Scheduling,
};

/// References to the fields of a spec. They may come from several specs: of an update, the old and the new spec share
/// the fields that do not change.
#[derive(Clone, Copy, Debug)]
pub struct SpecView<'a> {
    /// See [`NatsSpec::cluster`].
    pub cluster: &'a ClusterSpec,
    /// See [`NatsSpec::jet_stream`].
    pub jet_stream: &'a JetStream,
    /// See [`NatsSpec::logging`].
    pub logging: &'a Logging,
    /// See [`NatsSpec::resources`].
    pub resources: &'a ResourceRequirements,
    /// See [`NatsSpec::scheduling`].
    pub scheduling: &'a Scheduling,
    /// See [`NatsSpec::annotations`].
    pub annotations: &'a BTreeMap<String, String>,
    /// See [`NatsSpec::labels`].
    pub labels: &'a BTreeMap<String, String>,
}

impl<'a> From<&'a NatsSpec> for SpecView<'a> {
    fn from(spec: &'a NatsSpec) -> Self {
        let NatsSpec { cluster, jet_stream, logging, resources, scheduling, annotations, labels } = spec;
        Self { cluster, jet_stream, logging, resources, scheduling, annotations, labels }
    }
}

impl SpecView<'_> {
    /// Returns a spec with copies of the fields.
    pub fn to_spec(self) -> NatsSpec {
        NatsSpec {
            cluster: self.cluster.clone(),
            jet_stream: self.jet_stream.clone(),
            logging: self.logging.clone(),
            resources: self.resources.clone(),
            scheduling: self.scheduling.clone(),
            annotations: self.annotations.clone(),
            labels: self.labels.clone(),
        }
    }
}
