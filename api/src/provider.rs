//! The cloud provider of the cluster, as Gardener tells it in ConfigMap `kube-system/shoot-info`.

use crate::quantity::Bytes;

/// What of the provider matters to NATS: the volumes it offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// Alibaba Cloud, whose smallest volume is 20Gi.
    AliCloud,
    /// Any other, or none known.
    #[default]
    Other,
}

impl Provider {
    /// The provider by the value of the key `provider`.
    pub fn parse(name: &str) -> Self {
        match name {
            "alicloud" => Self::AliCloud,
            _ => Self::Other,
        }
    }

    /// The size of a volume where the user gives none.
    pub fn default_file_size(self) -> Bytes {
        match self {
            Self::AliCloud => Bytes::gibi(20),
            Self::Other => Bytes::gibi(1),
        }
    }

    /// The smallest volume that can be had.
    pub fn minimum_file_size(self) -> Option<Bytes> {
        match self {
            Self::AliCloud => Some(Bytes::gibi(20)),
            Self::Other => None,
        }
    }
}
