//! Versions of NATS and Kubernetes that tests choose between.

use std::{env, fmt, str::FromStr};

use crate::error::{Error, Result};

/// Environment variable with the NATS server version of a test run.
const NATS_VARIABLE: &str = "NATS_MANAGER_NATS_VERSION";
/// Environment variable with the Kubernetes version of a test run.
const KUBERNETES_VARIABLE: &str = "NATS_MANAGER_KUBERNETES_VERSION";

/// NATS server version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatsVersion {
    /// 2.14.2, the version that the manager ships with.
    #[default]
    V2_14_2,
    /// 2.14.10, from which an upgrade to 2.15 is allowed.
    V2_14_10,
    /// 2.15.3.
    V2_15_3,
}

/// Kubernetes version of a control plane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KubernetesVersion {
    /// 1.34.4, with kubelet and kube-proxy.
    #[default]
    V1_34_4,
    /// 1.37.2, whose StatefulSet controller honours `maxUnavailable`. Real nodes keep the kubelet of 1.34.4.
    V1_37_2,
}

/// Error: a value that names no known version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown version {value}; use one of {known}")]
pub struct UnknownVersion {
    value: String,
    known: String,
}

impl NatsVersion {
    /// All versions, the oldest first.
    pub const ALL: [Self; 3] = [Self::V2_14_2, Self::V2_14_10, Self::V2_15_3];

    /// Returns the version number, such as `2.14.2`.
    pub fn number(self) -> &'static str {
        match self {
            Self::V2_14_2 => "2.14.2",
            Self::V2_14_10 => "2.14.10",
            Self::V2_15_3 => "2.15.3",
        }
    }

    /// Returns the name of the image on real nodes.
    pub fn image(self) -> &'static str {
        match self {
            Self::V2_14_2 => "nats:2.14.2-scratch",
            Self::V2_14_10 => "nats:2.14.10-scratch",
            Self::V2_15_3 => "nats:2.15.3-scratch",
        }
    }

    /// Returns the version of this test run: the one in `NATS_MANAGER_NATS_VERSION`, or the default. Fails if the
    /// variable names no known version.
    pub fn selected() -> Result<Self> {
        selected(NATS_VARIABLE)
    }
}

impl KubernetesVersion {
    /// All versions, the oldest first.
    pub const ALL: [Self; 2] = [Self::V1_34_4, Self::V1_37_2];

    /// Returns the version number, such as `1.34.4`.
    pub fn number(self) -> &'static str {
        match self {
            Self::V1_34_4 => "1.34.4",
            Self::V1_37_2 => "1.37.2",
        }
    }

    /// Returns the version of this test run: the one in `NATS_MANAGER_KUBERNETES_VERSION`, or the default. Fails if
    /// the variable names no known version.
    pub fn selected() -> Result<Self> {
        selected(KUBERNETES_VARIABLE)
    }

    /// Returns the name of the variable that [`KubernetesVersion::selected`] reads, for processes that run tests.
    pub fn variable() -> &'static str {
        KUBERNETES_VARIABLE
    }
}

fn selected<V: Default + FromStr<Err = UnknownVersion>>(variable: &'static str) -> Result<V> {
    match env::var(variable) {
        Ok(value) if !value.is_empty() => value.parse().map_err(|source| Error::Version { variable, source }),
        _ => Ok(V::default()),
    }
}

fn parse<V: Copy + fmt::Display>(value: &str, known: &[V]) -> Result<V, UnknownVersion> {
    let found = known.iter().find(|version| version.to_string() == value);
    found.copied().ok_or_else(|| UnknownVersion {
        value: value.to_owned(),
        known: known.iter().map(V::to_string).collect::<Vec<_>>().join(", "),
    })
}

impl fmt::Display for NatsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

impl FromStr for NatsVersion {
    type Err = UnknownVersion;

    fn from_str(value: &str) -> Result<Self, UnknownVersion> {
        parse(value, &Self::ALL)
    }
}

impl FromStr for KubernetesVersion {
    type Err = UnknownVersion;

    fn from_str(value: &str) -> Result<Self, UnknownVersion> {
        parse(value, &Self::ALL)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn version_number_parses_back() {
        for version in NatsVersion::ALL {
            assert_eq!(version.number().parse(), Ok(version));
            assert_eq!(version.image(), format!("nats:{version}-scratch"));
        }
        for version in KubernetesVersion::ALL {
            assert_eq!(version.number().parse(), Ok(version));
        }
    }

    #[test]
    fn unknown_version_lists_the_known_ones() {
        let error = "2.13.0".parse::<NatsVersion>().unwrap_err();
        assert_eq!(error.to_string(), "unknown version 2.13.0; use one of 2.14.2, 2.14.10, 2.15.3");
    }
}
