//! Command line: `nats-manager` runs the manager; `crd`, `validate` and `render` work offline.

mod predecessor;

use std::{convert::Infallible, ffi::OsString, fmt, path::PathBuf, process::ExitCode, str::FromStr};

use async_nats::ServerAddr;
use clap::{ArgAction, Args, Parser, Subcommand, error::ErrorKind};
use nats_manager_api::ClusterDomain;

pub use self::predecessor::{IgnoredFlag, PredecessorFlags};
use crate::{fips, settings::parse_bool, telemetry::BindAddress};

const EXAMPLES_AND_ENVIRONMENT: &str = "\
Examples:
  nats-manager --leader-elect                    run in a cluster, several replicas
  nats-manager validate -f eventing-nats.yaml    check a NATS resource without a cluster
  nats-manager render -f - < eventing-nats.yaml  show the objects that it leads to
  nats-manager crd | kubectl apply -f -          install the CustomResourceDefinition

Environment:
  LOG_LEVEL                           debug, info, warn, error or trace [default: info]
  NATS_CR_NAME                        the one NATS resource that is served [default: eventing-nats]
  NATS_CR_NAMESPACE                   its namespace [default: kyma-system]
  NATS_IMAGE                          image of nats-server (required)
  NATS_SERVER_CONFIG_RELOADER_IMAGE   image of the config reloader (required)
  PROMETHEUS_NATS_EXPORTER_IMAGE      image of the metrics exporter (required)
  KYMA_FIPS_MODE_ENABLED              true: the three images come from NATS_IMAGE_FIPS,
                                      NATS_SERVER_CONFIG_RELOADER_IMAGE_FIPS and
                                      PROMETHEUS_NATS_EXPORTER_IMAGE_FIPS [default: false]
                                      The manager itself needs a FIPS build for it: see --version.
  POD_NAMESPACE                       the manager's own namespace [default: NATS_CR_NAMESPACE]
  POD_NAME                            name under which the lease is held [default: HOSTNAME]
  NATS_URL                            as --nats-url
  CLUSTER_DOMAIN                      as --cluster-domain
  KUBECONFIG                          the cluster, when not running inside one

Exit codes: 0 done, 1 failed (validate: an error was found), 2 wrong usage or environment.";

/// Parsed command line.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "nats-manager",
    version = fips::VERSION,
    about = "Runs NATS JetStream on Kubernetes: turns a NATS resource into a running cluster and keeps it that way.",
    after_help = EXAMPLES_AND_ENVIRONMENT,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// Flags of the manager itself, at their defaults with a subcommand.
    #[command(flatten)]
    pub options: RunOptions,
    /// Offline command, or `None` to run the manager.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags of the manager itself, without a subcommand.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// Address of /metrics: `:8080` is all interfaces, `0` turns it off
    #[arg(long, value_name = "ADDRESS", default_value = ":8080")]
    pub metrics_bind_address: BindAddress,
    /// Address of /healthz and /readyz: `:8081` is all interfaces, `0` turns them off
    #[arg(long, value_name = "ADDRESS", default_value = ":8081")]
    pub health_probe_bind_address: BindAddress,
    /// Reconcile only while holding the lease, so that several replicas can run
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_parser = parse_bool
    )]
    pub leader_elect: bool,
    /// Ask JetStream at this address instead of the resource's own Service: for tests, and for
    /// running outside the cluster (with `kubectl port-forward`)
    #[arg(long, value_name = "URL", env = "NATS_URL", hide_env_values = true, value_parser = parse_nats_url)]
    pub nats_url: Option<ServerAddr>,
    /// DNS domain of the cluster, which the names of Services end with
    #[arg(long, value_name = "DOMAIN", env = "CLUSTER_DOMAIN", default_value = ClusterDomain::DEFAULT)]
    pub cluster_domain: ClusterDomain,
    /// Kubeconfig of the cluster, instead of the environment's KUBECONFIG
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Admission webhook")]
    pub webhook: WebhookOptions,
    #[command(flatten)]
    pub predecessor: PredecessorFlags,
}

/// Flags of the admission webhook.
#[derive(Debug, Clone, Args)]
pub struct WebhookOptions {
    /// Address of the admission webhook: `:9443` is all interfaces, `0` turns it off
    #[arg(long, value_name = "ADDRESS", default_value = ":9443")]
    pub webhook_bind_address: BindAddress,
    /// Make the two webhook configurations and keep them; `false` leaves them to others, such as
    /// the static ones in config/webhook
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        value_parser = parse_bool
    )]
    pub manage_webhook_configuration: bool,
    /// Serve tls.crt and tls.key from this directory, as cert-manager mounts them, instead of
    /// certificates from a CA of our own
    #[arg(long, value_name = "DIRECTORY")]
    pub webhook_cert_dir: Option<PathBuf>,
    /// Accept only clients of the webhook with a certificate of a CA in this file: the apiserver
    /// has to be configured to present one
    #[arg(long, value_name = "FILE")]
    pub webhook_client_ca: Option<PathBuf>,
    /// Have the apiserver reach the webhook at this address instead of the Service: for tests, and
    /// for running outside the cluster
    #[arg(long, value_name = "URL", value_parser = parse_webhook_url)]
    pub webhook_url: Option<WebhookUrl>,
}

/// URL such as `https://127.0.0.1:9443`, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    /// URL exactly as it was given.
    pub base: String,
    /// Host of the URL, without brackets.
    pub host: String,
}

/// Commands that need no cluster.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Print the CustomResourceDefinition as YAML
    Crd,
    /// Check NATS resources; one line per finding, exit code 1 when any is an error
    Validate {
        /// A YAML file with NATS resources; `-` reads the standard input
        #[arg(short, long = "file", value_name = "FILE")]
        file: Source,
    },
    /// Print the objects that a NATS resource leads to, as YAML (without the image variables: with
    /// upstream's images)
    Render {
        /// A YAML file with a NATS resource; `-` reads the standard input
        #[arg(short, long = "file", value_name = "FILE")]
        file: Source,
    },
}

/// Input of an offline command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Standard input, given as `-`.
    Stdin,
    File(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "-" => Self::Stdin,
            path => Self::File(path.into()),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Parses a command line whose first item is the program's name. Flags may have one dash, as in Go.
///
/// # Errors
/// The exit code of the process. Help and version (code 0) are printed on stdout, a mistake (code 2) as one line on
/// stderr.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    let arguments = arguments.into_iter().map(predecessor::with_two_dashes);
    Cli::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe is no failure: `nats-manager --help | head -1`.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        _ => usage_error(&one_line(&error)),
    })
}

/// Prints an error of the command line or the environment as one line on stderr. Returns the exit code of the process.
pub fn usage_error(error: &dyn fmt::Display) -> ExitCode {
    eprintln!("nats-manager: {error} (see --help)");
    ExitCode::from(2)
}

/// Returns the message of a usage error without the usage text that clap appends.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let message = text.split("\n\nUsage:").next().unwrap_or_default();
    let message = message.split("\n\nFor more information").next().unwrap_or_default();
    let parts: Vec<&str> = message.split_whitespace().collect();
    let message = parts.join(" ");
    message.strip_prefix("error: ").unwrap_or(&message).to_owned()
}

fn parse_nats_url(text: &str) -> Result<ServerAddr, &'static str> {
    const EXPECTED: &str =
        "expected an address such as nats://127.0.0.1:4222, from --nats-url or the environment's NATS_URL";
    let address: ServerAddr = text.parse().map_err(|_| EXPECTED)?;
    if address.host().is_empty() { Err(EXPECTED) } else { Ok(address) }
}

fn parse_webhook_url(text: &str) -> Result<WebhookUrl, &'static str> {
    const EXPECTED: &str = "expected an address without a path, such as https://127.0.0.1:9443";
    let authority = text.strip_prefix("https://").filter(|rest| !rest.contains('/')).ok_or(EXPECTED)?;
    let authority: axum::http::uri::Authority = authority.parse().map_err(|_| EXPECTED)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() { Err(EXPECTED) } else { Ok(WebhookUrl { base: text.to_owned(), host }) }
}

#[cfg(test)]
mod tests;
