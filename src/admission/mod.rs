//! The admission webhook as part of the manager.
//!
//! The server itself is in the crate `nats-manager-webhook`, the certificates are in
//! `nats-manager-certs`: values in, values out. Here they meet the cluster:
//!
//! | part | runs in | does |
//! |---|---|---|
//! | [`watch`] | every replica | caches the CA Secret, the configurations, StorageClasses |
//! | [`facts`] | every replica | what the rules ask about the cluster, from caches |
//! | [`certificate`] | every replica | keeps a serving certificate, and says when it is trusted |
//! | [`authority`] | the leader | makes and renews the CA, publishes its bundle |
//! | [`configuration`] | the leader | the two webhook configurations, whole |
//! | [`serve`] | every replica | the TLS server |

pub(crate) mod authority;
pub(crate) mod certificate;
pub mod configuration;
pub(crate) mod facts;
mod mounted;
mod publish;
pub(crate) mod serve;
pub(crate) mod watch;
mod write_throttle;

use std::{net::IpAddr, path::PathBuf};

use nats_manager_certs::DnsNames;

use crate::telemetry::BindAddress;

/// The Service in front of the replicas.
pub const SERVICE: &str = "nats-manager-webhook";
/// The Secret with the CA; the manifest ships it empty.
pub const CA_SECRET: &str = "nats-manager-webhook-ca";

/// How the webhook is run.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Where it listens; off turns the webhook off.
    pub bind: BindAddress,
    /// How the apiserver reaches it.
    pub reached: WebhookAddress,
    /// Who owns the webhook configurations.
    pub managed: bool,
    /// Where the serving certificate comes from.
    pub certificates: Certificates,
}

/// How the apiserver reaches the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookAddress {
    /// Through the Service in the manager's own namespace.
    Service {
        /// That namespace.
        namespace: String,
    },
    /// At this address, such as `https://127.0.0.1:9443`: outside the cluster.
    Url {
        /// The address without a path.
        base: String,
        /// Its host.
        host: String,
    },
}

/// Where the serving certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// From a CA of our own.
    Own,
    /// From this directory, where somebody else puts `tls.crt` and `tls.key`.
    Mounted(PathBuf),
}

impl WebhookAddress {
    /// What a serving certificate must be valid for.
    pub fn names(&self) -> DnsNames {
        match self {
            Self::Service { namespace } => {
                let host = format!("{SERVICE}.{namespace}.svc");
                DnsNames { dns: vec![format!("{host}.cluster.local"), host], addresses: Vec::new() }
            }
            Self::Url { host, .. } => match host.parse::<IpAddr>() {
                Ok(address) => DnsNames { dns: Vec::new(), addresses: vec![address] },
                Err(_) => DnsNames { dns: vec![host.clone()], addresses: Vec::new() },
            },
        }
    }

    /// The name that the apiserver looks for in the certificate.
    pub fn server_name(&self) -> String {
        match self {
            Self::Service { namespace } => format!("{SERVICE}.{namespace}.svc"),
            Self::Url { host, .. } => host.clone(),
        }
    }
}
