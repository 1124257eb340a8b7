//! Flags of the predecessor (`cmd/main.go` of `kyma-project/nats-manager`, and the flags of zap in controller-runtime).
//!
//! They have no effect. They are accepted, so that a Deployment that sets them starts.

use std::ffi::OsString;

use clap::{ArgAction, Args, CommandFactory};

use super::Cli;
use crate::settings::parse_bool;

/// Values of the flags that have no effect.
#[derive(Debug, Clone, Default, Args)]
pub struct PredecessorFlags {
    #[arg(long = "leaderElectionID", hide = true)]
    leader_election_id: Option<String>,
    #[arg(long = "metricsPort", hide = true)]
    metrics_port: Option<String>,
    #[arg(
        long,
        hide = true,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = parse_bool
    )]
    zap_devel: Option<bool>,
    #[arg(long, hide = true)]
    zap_encoder: Option<String>,
    #[arg(long, hide = true)]
    zap_log_level: Option<String>,
    #[arg(long, hide = true)]
    zap_stacktrace_level: Option<String>,
    #[arg(long, hide = true)]
    zap_time_encoding: Option<String>,
}

/// Flag that is set and has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IgnoredFlag {
    /// Name with its dashes.
    pub name: &'static str,
    /// Setting or fact that replaces the flag.
    pub instead: &'static str,
}

const LOG_FORMAT: &str = "logs are always JSON lines with RFC 3339 timestamps";

impl PredecessorFlags {
    /// Returns the flags that are set.
    pub fn set(&self) -> impl Iterator<Item = IgnoredFlag> {
        [
            (self.leader_election_id.is_some(), "--leaderElectionID", "the Lease is always named nats-manager"),
            (
                self.metrics_port.is_some(),
                "--metricsPort",
                "set --metrics-bind-address for metrics, --webhook-bind-address for the webhook",
            ),
            (self.zap_devel.is_some(), "--zap-devel", LOG_FORMAT),
            (self.zap_encoder.is_some(), "--zap-encoder", LOG_FORMAT),
            (self.zap_log_level.is_some(), "--zap-log-level", "set the environment variable LOG_LEVEL"),
            (self.zap_stacktrace_level.is_some(), "--zap-stacktrace-level", LOG_FORMAT),
            (self.zap_time_encoding.is_some(), "--zap-time-encoding", LOG_FORMAT),
        ]
        .into_iter()
        .filter(|(is_set, _, _)| *is_set)
        .map(|(_, name, instead)| IgnoredFlag { name, instead })
    }
}

/// Adds a dash to flags with one dash, which Go accepts for flags of any length. Other arguments stay as they are.
pub(super) fn with_two_dashes(argument: OsString) -> OsString {
    let name = argument.to_str().and_then(|text| text.strip_prefix('-')?.split('=').next());
    let is_flag = |name: &str| Cli::command().get_arguments().any(|flag| flag.get_long() == Some(name));
    match name {
        Some(name) if is_flag(name) => {
            let mut dashed = OsString::from("-");
            dashed.push(&argument);
            dashed
        }
        _ => argument,
    }
}
