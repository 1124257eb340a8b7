//! Ports of the containers and of the Service. They belong to the contract.

/// Port for clients.
pub(crate) const CLIENT: u16 = 4222;
/// Port for routes between servers.
pub(super) const CLUSTER: u16 = 6222;
/// Port for monitoring: `/jsz`, `/varz`, `/healthz`.
pub(crate) const MONITOR: u16 = 8222;
/// Port at which the exporter serves metrics.
pub(super) const METRICS: u16 = 7777;
/// Port for leaf nodes. The servers do not open it, but clients of the Service may refer to it.
pub(super) const LEAFNODES: u16 = 7422;
/// Port for gateways, present for the same reason.
pub(super) const GATEWAYS: u16 = 7522;
