//! Settings from the environment, parsed once at the start.

use nats_manager_api::ClusterDomain;
use thiserror::Error;
use tracing::Level;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `LOG_LEVEL`: level of the manager's own logs, default info.
    pub log_level: Level,
    /// `NATS_CR_NAME`: name of the one NATS resource that is served, and of its StatefulSet and Service.
    pub cr_name: String,
    /// `NATS_CR_NAMESPACE`: namespace of that resource, a DNS label.
    pub cr_namespace: String,
    pub images: Images,
    /// `KYMA_FIPS_MODE_ENABLED`: FIPS modules are required, default false.
    pub is_fips_required: bool,
    /// `POD_NAMESPACE`: namespace of the manager itself, default `cr_namespace`.
    pub pod_namespace: String,
    /// `POD_NAME`, else `HOSTNAME`: identity of this process among the replicas. Not unique across restarts.
    pub pod_name: Option<String>,
}

/// Container images of a NATS Pod, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// `NATS_IMAGE`: image of nats-server.
    pub nats: String,
    /// `NATS_SERVER_CONFIG_RELOADER_IMAGE`: image of the container that signals nats-server when its configuration
    /// changes.
    pub config_reloader: String,
    /// `PROMETHEUS_NATS_EXPORTER_IMAGE`: image of the container that exports metrics of nats-server.
    pub exporter: String,
}

/// Variable that is missing or unusable. The message is one line with the name and the expected value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// Variable without a default that is not set or empty.
    #[error("{variable} is not set: expected {expected}")]
    Missing { variable: &'static str, expected: &'static str },
    /// Variable with a value that is not the expected one.
    #[error("{variable} is {value:?}: expected {expected}")]
    Invalid { variable: &'static str, value: String, expected: &'static str },
}

const CLUSTER_DOMAIN: &str = "CLUSTER_DOMAIN";
const IMAGE: &str = "an image reference such as registry.example/nats:2.14.2";
const LABEL: &str = "a DNS label (at most 63 of a-z, 0-9 and '-', first and last a letter or digit)";
const CLUSTER_NAME: &str = "a name of at most 52 of a-z, 0-9 and '-', first a letter, last a letter or digit: it names a StatefulSet and a Service";
const SUBDOMAIN: &str = "a DNS subdomain (at most 253 of a-z, 0-9, '-' and '.', first and last a letter or digit)";
const DOMAIN: &str = "a DNS domain such as cluster.local (at most 253 of a-z, 0-9, '-' and '.')";
const LOG_LEVELS: &str = "debug, info, warn, error or trace";
const BOOLEAN: &str = "true or false";

impl Settings {
    /// Reads all variables through `lookup`. An empty value counts as not set.
    ///
    /// # Errors
    /// The first variable that is missing or unusable.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let log_level = match read(&lookup, "LOG_LEVEL") {
            None => Level::INFO,
            Some(text) => parse_level(&text).ok_or_else(|| invalid("LOG_LEVEL", text, LOG_LEVELS))?,
        };
        let cr_name = name(&lookup, "NATS_CR_NAME", is_cluster_name, CLUSTER_NAME)?.unwrap_or("eventing-nats".into());
        let cr_namespace = name(&lookup, "NATS_CR_NAMESPACE", is_label, LABEL)?.unwrap_or("kyma-system".into());
        let pod_namespace = name(&lookup, "POD_NAMESPACE", is_label, LABEL)?.unwrap_or_else(|| cr_namespace.clone());
        let pod_name = name(&lookup, "POD_NAME", is_subdomain, SUBDOMAIN)?
            .or_else(|| read(&lookup, "HOSTNAME").filter(|host| is_subdomain(host)));
        let images = Images::from_env(&lookup)?;
        let is_fips_required = fips_mode(&lookup)?;
        Ok(Self { log_level, cr_name, cr_namespace, images, is_fips_required, pod_namespace, pod_name })
    }
}

impl Images {
    /// Reads the image variables, those that end in `_FIPS` if `KYMA_FIPS_MODE_ENABLED` is true.
    ///
    /// # Errors
    /// A required variable that is missing, empty or no image reference, or a mode that is no boolean.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let fips = fips_mode(&lookup)?;
        let image = |plain: &'static str, with_fips: &'static str| {
            let variable = if fips { with_fips } else { plain };
            let value = read(&lookup, variable).ok_or(SettingsError::Missing { variable, expected: IMAGE })?;
            if value.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return Err(invalid(variable, value, IMAGE));
            }
            Ok(value)
        };
        Ok(Self {
            nats: image("NATS_IMAGE", "NATS_IMAGE_FIPS")?,
            config_reloader: image("NATS_SERVER_CONFIG_RELOADER_IMAGE", "NATS_SERVER_CONFIG_RELOADER_IMAGE_FIPS")?,
            exporter: image("PROMETHEUS_NATS_EXPORTER_IMAGE", "PROMETHEUS_NATS_EXPORTER_IMAGE_FIPS")?,
        })
    }
}

fn fips_mode(lookup: &impl Fn(&str) -> Option<String>) -> Result<bool, SettingsError> {
    const FIPS_MODE: &str = "KYMA_FIPS_MODE_ENABLED";
    match read(lookup, FIPS_MODE) {
        None => Ok(false),
        Some(text) => parse_bool(&text).map_err(|_| invalid(FIPS_MODE, text, BOOLEAN)),
    }
}

/// Parses a boolean in the spellings of Go's `strconv.ParseBool`.
///
/// # Errors
/// The expected spelling, for a message.
pub fn parse_bool(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("expected true or false"),
    }
}

/// Returns the DNS domain of the cluster from `CLUSTER_DOMAIN`, for commands without the flag `--cluster-domain`.
///
/// # Errors
/// If the value is no domain.
pub fn cluster_domain(lookup: impl Fn(&str) -> Option<String>) -> Result<ClusterDomain, SettingsError> {
    read(&lookup, CLUSTER_DOMAIN).map_or_else(
        || Ok(ClusterDomain::default()),
        |text| text.parse().map_err(|_| invalid(CLUSTER_DOMAIN, text, DOMAIN)),
    )
}

fn read(lookup: &impl Fn(&str) -> Option<String>, variable: &str) -> Option<String> {
    let value = lookup(variable)?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

fn name(
    lookup: &impl Fn(&str) -> Option<String>,
    variable: &'static str,
    is_valid: fn(&str) -> bool,
    expected: &'static str,
) -> Result<Option<String>, SettingsError> {
    match read(lookup, variable) {
        Some(value) if !is_valid(&value) => Err(invalid(variable, value, expected)),
        value => Ok(value),
    }
}

fn invalid(variable: &'static str, value: String, expected: &'static str) -> SettingsError {
    SettingsError::Invalid { variable, value, expected }
}

fn parse_level(text: &str) -> Option<Level> {
    match text.to_ascii_lowercase().as_str() {
        "trace" => Some(Level::TRACE),
        "debug" => Some(Level::DEBUG),
        "info" => Some(Level::INFO),
        "warn" | "warning" => Some(Level::WARN),
        "error" => Some(Level::ERROR),
        _ => None,
    }
}

fn is_label(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.len() <= 63
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Returns whether a StatefulSet and a Service can have this name. The StatefulSet controller appends 11 characters in a
/// label (`controller-revision-hash`), and the name of a Service starts with a letter (RFC 1035).
fn is_cluster_name(text: &str) -> bool {
    is_label(text) && text.len() <= 52 && text.starts_with(|first: char| first.is_ascii_lowercase())
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests;
