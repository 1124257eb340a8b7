//! Cloud provider of the cluster, from the ConfigMap `kube-system/shoot-info` of Gardener.

use crate::quantity::Bytes;

/// Cloud provider, as far as it determines the sizes of volumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// Alibaba Cloud, whose smallest volume is 20Gi.
    AliCloud,
    /// Any other provider, or an unknown one.
    #[default]
    Other,
}

impl Provider {
    /// Parses the value of the key `provider`. Any value other than `alicloud` means [`Other`](Self::Other).
    pub fn parse(name: &str) -> Self {
        match name {
            "alicloud" => Self::AliCloud,
            _ => Self::Other,
        }
    }
    /// Returns the smallest size of a volume that the provider offers; `None` if there is no minimum.
    pub fn minimum_file_size(self) -> Option<Bytes> {
        match self {
            Self::AliCloud => Some(Bytes::gibi(20)),
            Self::Other => None,
        }
    }
}
