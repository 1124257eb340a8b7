//! The ports of the servers that their NetworkPolicy closes.

use std::collections::BTreeMap;

use crate::rules::Warning;

/// Annotation on a NATS resource: the ports that the servers' NetworkPolicy closes. See [`NetworkPolicyMode`].
pub const ANNOTATION: &str = "nats.operator.kyma-project.io/network-policy";
/// Label of Pods that may connect to the client port where the policy closes it. Its value is [`ALLOWED`].
pub const CLIENT_LABEL: &str = "networking.nats.kyma-project.io/to-nats";
/// Kyma's label of Pods that may scrape metrics of modules. Its value is [`ALLOWED`].
pub const SCRAPER_LABEL: &str = "networking.kyma-project.io/metrics-scraping";
/// Value of the labels that allow a connection.
pub const ALLOWED: &str = "allowed";

/// Maximum length, in characters, of a value that the warning repeats.
const MAX_SHOWN: usize = 80;

/// Effect of the servers' NetworkPolicy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkPolicyMode {
    /// Routes, monitoring and metrics are closed; the client port is open to every Pod. This is the default.
    #[default]
    Internal,
    /// The client port is closed as well, except for Eventing and Pods with [`CLIENT_LABEL`].
    Restricted,
    /// There is no policy.
    Disabled,
}

impl NetworkPolicyMode {
    /// Returns the mode that the annotations of a resource select. An unknown value selects the default.
    pub fn of(annotations: Option<&BTreeMap<String, String>>) -> Self {
        annotations.and_then(|all| all.get(ANNOTATION)).and_then(|value| Self::parse(value)).unwrap_or_default()
    }

    /// Parses a value of [`ANNOTATION`].
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "internal" => Some(Self::Internal),
            "restricted" => Some(Self::Restricted),
            "disabled" => Some(Self::Disabled),
            _ => None,
        }
    }

    /// Returns the warning about a value of the annotation that [`NetworkPolicyMode::parse`] does not know.
    pub fn warning(annotations: Option<&BTreeMap<String, String>>) -> Option<Warning> {
        let value = annotations?.get(ANNOTATION).filter(|value| Self::parse(value).is_none())?;
        let shown: String = value.chars().take(MAX_SHOWN).collect();
        Some(Warning {
            field: format!("metadata.annotations[{ANNOTATION}]").into(),
            message: format!(
                "{shown:?} is not supported, so \"internal\" applies: use \"internal\", \"restricted\" or \"disabled\""
            )
            .into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotation_selects_the_mode_and_an_unknown_value_the_default() {
        use NetworkPolicyMode::{Disabled, Internal, Restricted};
        for (value, mode, is_known) in [
            ("internal", Internal, true),
            ("restricted", Restricted, true),
            ("disabled", Disabled, true),
            ("Restricted", Internal, false),
            ("false", Internal, false),
            ("", Internal, false),
        ] {
            let annotations = BTreeMap::from([(ANNOTATION.to_owned(), value.to_owned())]);
            assert_eq!(NetworkPolicyMode::of(Some(&annotations)), mode, "{value}");
            assert_eq!(NetworkPolicyMode::warning(Some(&annotations)).is_none(), is_known, "{value}");
        }
        assert_eq!((NetworkPolicyMode::of(None), NetworkPolicyMode::warning(None)), (Internal, None));
    }
}
