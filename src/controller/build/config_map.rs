//! The ConfigMap with `nats.conf`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use nats_manager_api::SettledCluster;

use super::{metadata, nats_conf};

pub(super) fn build(cluster: &SettledCluster) -> ConfigMap {
    metadata::stamped(ConfigMap {
        metadata: metadata::object(cluster, cluster.id.config_map(), metadata::annotations(cluster, [])),
        data: Some(BTreeMap::from([(nats_conf::FILE.to_owned(), nats_conf::text(cluster))])),
        ..ConfigMap::default()
    })
}
