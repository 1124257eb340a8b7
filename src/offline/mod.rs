//! Commands that need no cluster: `crd`, `validate` and `render`.
//!
//! [`crd`], [`validate()`] and [`render()`] are functions of values. [`run`] reads the input, prints the result, and
//! reports success by the exit code.

mod documents;
mod print;
mod render;
mod report;
mod resource;
mod schema;
#[cfg(test)]
mod tests;
mod validate;

use std::{
    fs::File,
    io::{self, Read, Write},
    process::ExitCode,
};

use nats_manager_api::{ClusterDomain, NamespacedName};

use crate::{
    cli::{Command, Source, usage_error},
    settings::{Images, SettingsError, cluster_domain},
};

pub use render::{Rendered, render};
pub use report::{Finding, Severity, ValidationReport};
pub use validate::validate;

/// Upper bound for the input, in bytes.
pub const LONGEST_INPUT: u64 = 8 << 20;

/// Namespace of a resource that names none, and of the default resource that is served.
pub const DEFAULT_NAMESPACE: &str = "kyma-system";
const DEFAULT_NAME: &str = "eventing-nats";

/// Images for variables that are not set, because offline commands do not require the images of an installation.
const UPSTREAM_IMAGES: [(&str, &str); 3] = [
    ("NATS_IMAGE", "nats:2.14.2-scratch"),
    ("NATS_SERVER_CONFIG_RELOADER_IMAGE", "natsio/nats-server-config-reloader:0.23.0"),
    ("PROMETHEUS_NATS_EXPORTER_IMAGE", "natsio/prometheus-nats-exporter:0.20.1"),
];

/// Failure of an offline command.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// Input that is unreadable or not UTF-8.
    #[error("cannot read {input}: {cause}")]
    Read { input: String, cause: io::Error },
    /// Input longer than [`LONGEST_INPUT`].
    #[error("{input} is longer than {} MiB", LONGEST_INPUT >> 20)]
    TooLong { input: String },
    /// CRD that cannot be written as YAML.
    #[error("cannot write the CustomResourceDefinition as YAML: {0}")]
    Yaml(#[from] serde_saphyr::SerializeError),
    /// Output that cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// Returns the CRD as YAML.
pub fn crd() -> Result<String, OfflineError> {
    Ok(serde_saphyr::to_string(&nats_manager_api::crd::definition())?)
}

/// Runs a command. `lookup` reads the environment. The exit code is 0 for success, 1 for a failure or a finding that is
/// an error, and 2 for a wrong environment.
pub fn run(command: &Command, lookup: impl Fn(&str) -> Option<String>) -> ExitCode {
    let done = match command {
        Command::Crd => crd().and_then(|text| write(&text)).map(|()| true),
        Command::Validate { file } => run_validate(file, &lookup),
        Command::Render { file } => match render_settings(&lookup) {
            Ok((images, domain)) => run_render(file, &images, &domain),
            Err(error) => return usage_error(&error),
        },
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // The reader closed the pipe, as in `nats-manager crd | head`.
        Err(OfflineError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            print::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run_validate(file: &Source, lookup: impl Fn(&str) -> Option<String>) -> Result<bool, OfflineError> {
    let variable =
        |name, default: &str| lookup(name).filter(|value| !value.trim().is_empty()).unwrap_or(default.to_owned());
    let served = NamespacedName::new(
        variable("NATS_CR_NAMESPACE", DEFAULT_NAMESPACE).trim(),
        variable("NATS_CR_NAME", DEFAULT_NAME).trim(),
    );
    let report = validate(&read(file)?, &served);
    print::report(&report)?;
    Ok(!report.has_errors())
}

fn image_or_upstream(variable: &str, lookup: impl Fn(&str) -> Option<String>) -> Option<String> {
    let upstream = || UPSTREAM_IMAGES.iter().find(|(name, _)| *name == variable).map(|(_, image)| (*image).to_owned());
    lookup(variable).filter(|value| !value.trim().is_empty()).or_else(upstream)
}

fn render_settings(lookup: impl Fn(&str) -> Option<String>) -> Result<(Images, ClusterDomain), SettingsError> {
    let images = Images::from_env(|variable| image_or_upstream(variable, &lookup))?;
    Ok((images, cluster_domain(lookup)?))
}

fn run_render(file: &Source, images: &Images, domain: &ClusterDomain) -> Result<bool, OfflineError> {
    let Rendered { yaml, report } = render(&read(file)?, images, domain);
    print::findings_to_stderr(&report);
    if report.has_errors() {
        return Ok(false);
    }
    write(&yaml)?;
    Ok(true)
}

fn read(source: &Source) -> Result<String, OfflineError> {
    let failed = |cause| OfflineError::Read { input: source.to_string(), cause };
    let input: Box<dyn Read> = match source {
        Source::Stdin => Box::new(io::stdin().lock()),
        Source::File(path) => Box::new(File::open(path).map_err(failed)?),
    };
    let mut bytes = Vec::new();
    input.take(LONGEST_INPUT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST_INPUT) {
        return Err(OfflineError::TooLong { input: source.to_string() });
    }
    String::from_utf8(bytes).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())))
}

fn write(text: &str) -> Result<(), OfflineError> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}
