//! The DNS domain of the Kubernetes cluster, which the names of Services end with.

use std::{borrow::Cow, fmt, str::FromStr};

/// DNS domain of the Kubernetes cluster (`--cluster-domain` of the kubelets), [`ClusterDomain::DEFAULT`] by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDomain(Cow<'static, str>);

/// Text that is no DNS domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a DNS domain such as cluster.local: at most 253 of a-z, 0-9, '-' and '.'")]
pub struct InvalidDomain;

impl ClusterDomain {
    /// Domain of most clusters.
    pub const DEFAULT: &str = "cluster.local";

    /// Returns the domain in the search path of a `resolv.conf`, as the kubelet writes it for Pods:
    /// `NAMESPACE.svc.DOMAIN svc.DOMAIN DOMAIN`. `None` outside of a cluster.
    pub fn from_resolv_conf(text: &str) -> Option<Self> {
        // The last line counts, as for the resolver.
        let search = text.lines().rev().find_map(|line| line.trim().strip_prefix("search"))?;
        search.split_whitespace().find_map(|entry| entry.strip_prefix("svc."))?.parse().ok()
    }
}

impl Default for ClusterDomain {
    fn default() -> Self {
        Self(Cow::Borrowed(Self::DEFAULT))
    }
}

impl FromStr for ClusterDomain {
    type Err = InvalidDomain;

    fn from_str(text: &str) -> Result<Self, InvalidDomain> {
        let domain = text.trim().trim_end_matches('.').to_ascii_lowercase();
        let is_label = |label: &str| {
            let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let is_edge = |c: char| is_inner(c) && c != '-';
            (1..=63).contains(&label.len())
                && label.starts_with(is_edge)
                && label.ends_with(is_edge)
                && label.chars().all(is_inner)
        };
        if domain == Self::DEFAULT {
            // Each review clones it.
            return Ok(Self::default());
        }
        let is_domain = domain.len() <= 253 && domain.split('.').all(is_label);
        if is_domain { Ok(Self(domain.into())) } else { Err(InvalidDomain) }
    }
}

impl fmt::Display for ClusterDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_is_parsed_or_rejected() {
        for (text, expected) in [
            ("cluster.local", Some("cluster.local")),
            (" K8s.Example.com. ", Some("k8s.example.com")),
            ("internal", Some("internal")),
            ("", None),
            (".", None),
            ("a..b", None),
            ("-a.b", None),
            ("a_b", None),
            ("a b", None),
        ] {
            assert_eq!(
                text.parse::<ClusterDomain>().ok().map(|domain| domain.to_string()).as_deref(),
                expected,
                "{text:?}"
            );
        }
        assert_eq!(ClusterDomain::default().to_string(), "cluster.local");
    }

    #[test]
    fn domain_of_a_pod_is_in_its_search_path() {
        let pod = |domain: &str| {
            format!(
                "search kyma-system.svc.{domain} svc.{domain} {domain} eu.compute.internal\nnameserver 10.96.0.10\noptions ndots:5\n"
            )
        };
        for (text, expected) in [
            (pod("cluster.local"), Some("cluster.local")),
            (pod("k8s.example.com"), Some("k8s.example.com")),
            ("nameserver 1.1.1.1\n".to_owned(), None),
            ("search example.com\nnameserver 1.1.1.1\n".to_owned(), None),
            (String::new(), None),
        ] {
            let found = ClusterDomain::from_resolv_conf(&text).map(|domain| domain.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
