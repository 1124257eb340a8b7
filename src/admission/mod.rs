//! Admission webhook as a part of the manager.
//!
//! The server itself is in the crate `nats-manager-webhook`, and the certificates are in `nats-manager-certs`: values
//! in, values out. This module connects them to the cluster:
//!
//! | part | runs in | does |
//! |---|---|---|
//! | [`watch`] | every replica | caches the CA Secret, the configurations, StorageClasses |
//! | [`facts`] | every replica | supplies cluster facts to the rules, from caches |
//! | [`certificate`] | every replica | keeps a serving certificate, and reports whether it is trusted |
//! | `client_ca` | every replica | loads the CA of the apiserver's client certificate |
//! | `announcement` | every replica | announces its CA while the apiserver does not trust it |
//! | [`authority`] | the leader | makes and renews the CA, publishes its bundle |
//! | [`configuration`] | the leader | builds the two webhook configurations |
//! | [`serve`] | every replica | runs the TLS server |

mod announcement;
pub(crate) mod authority;
mod ca_secret;
pub(crate) mod certificate;
mod client_ca;
pub mod configuration;
pub(crate) mod facts;
mod mounted;
mod propagated;
mod publish;
pub(crate) mod serve;
pub(crate) mod watch;
mod write_throttle;

use std::{net::IpAddr, path::PathBuf};

use nats_manager_api::ClusterDomain;
use nats_manager_certs::DnsNames;

use crate::telemetry::BindAddress;

/// Service in front of the replicas.
pub const SERVICE: &str = "nats-manager-webhook";
/// Secret with the CA, which the manifest ships without data.
pub const CA_SECRET: &str = "nats-manager-webhook-ca";

/// Settings of the webhook, from the command line.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Address that the server listens on. The webhook is off if it is disabled.
    pub bind: BindAddress,
    /// Address at which the apiserver reaches the webhook.
    pub reached: WebhookAddress,
    /// True if the manager owns the webhook configurations.
    pub managed: bool,
    /// Source of the serving certificate.
    pub certificates: Certificates,
    /// File with the CAs of clients; `None` if clients need no certificate.
    pub client_ca: Option<PathBuf>,
}

/// Address at which the apiserver reaches the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookAddress {
    /// Service in the manager's own namespace.
    Service {
        namespace: String,
        /// DNS domain of the Kubernetes cluster.
        domain: ClusterDomain,
    },
    /// URL such as `https://127.0.0.1:9443`, for a manager outside the cluster.
    Url {
        /// URL without a path, as given on the command line.
        base: String,
        /// Host of the URL, without brackets.
        host: String,
    },
}

/// Source of the serving certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// CA that the manager generates and renews.
    Own,
    /// Directory into which others mount `tls.crt` and `tls.key`.
    Mounted(PathBuf),
}

impl WebhookAddress {
    /// Returns the names and addresses that a serving certificate must be valid for.
    pub fn names(&self) -> DnsNames {
        match self {
            Self::Service { namespace, domain } => {
                let host = format!("{SERVICE}.{namespace}.svc");
                DnsNames { dns: vec![format!("{host}.{domain}"), host], addresses: Vec::new() }
            }
            Self::Url { host, .. } => match host.parse::<IpAddr>() {
                Ok(address) => DnsNames { dns: Vec::new(), addresses: vec![address] },
                Err(_) => DnsNames { dns: vec![host.clone()], addresses: Vec::new() },
            },
        }
    }

    /// Returns the name that the apiserver expects in the certificate.
    pub fn server_name(&self) -> String {
        match self {
            Self::Service { namespace, .. } => format!("{SERVICE}.{namespace}.svc"),
            Self::Url { host, .. } => host.clone(),
        }
    }
}
