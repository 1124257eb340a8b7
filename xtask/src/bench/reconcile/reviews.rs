//! Admission reviews at a fixed rate, sent to the webhook of a running manager while it does other work.

use std::{
    fs, io,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{Api, Client};
use nats_manager_harness::ManagerProcess;
use tempfile::TempDir;
use tokio::{process::Command, task::JoinHandle};

use super::{
    super::{
        BenchError,
        admission::{self, Measured},
        wait::{POLL, until},
    },
    managed::WEBHOOKS,
};
use crate::local::{self, BenchProgram};

/// Metric of accepted reviews of the validating webhook.
const ACCEPTED: &str = r#"nats_manager_admission_reviews_total{webhook="validate",outcome="allowed"}"#;

/// Load generator of `cargo xtask bench admission`, with a review.
pub(super) struct ReviewGenerator {
    program: PathBuf,
    folder: TempDir,
}

/// Reviews that are being sent.
pub(super) struct Sending(JoinHandle<io::Result<Output>>);

impl ReviewGenerator {
    /// Builds the program, and writes the review.
    pub(super) fn build() -> Result<Self, BenchError> {
        let program = local::build_bench(BenchProgram::Load)?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("review"), admission::update_review()?.to_string())?;
        Ok(Self { program, folder })
    }

    /// Sends 1,000 reviews per second, for a time. Returns when the first of them have been answered.
    pub(super) async fn send(
        &self,
        client: &Client,
        manager: &ManagerProcess,
        time: Duration,
    ) -> Result<Sending, BenchError> {
        let (address, path, ca) = webhook(client).await?;
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        let file = self.folder.path().join("ca.crt");
        fs::write(&file, ca)?;
        let mut command = Command::new(&self.program);
        command
            .args(["send", "--address", &address, "--name", host, "--path", &path, "--rate", admission::RATE])
            .arg("--ca")
            .arg(file);
        command.arg("--review").arg(self.folder.path().join("review"));
        command.args(["--seconds", &time.as_secs_f64().to_string()]);
        command.args(manager.id().map(|id| format!("--server={id}")));
        command.stdin(Stdio::null()).kill_on_drop(true);
        let before = reviews(manager).await;
        let sending = Sending(tokio::spawn(async move { command.output().await }));
        until("reviews are answered", POLL, async || Ok(reviews(manager).await > before)).await?;
        Ok(sending)
    }
}

impl Sending {
    /// Waits for the end, and returns what was measured. The CPU time of the server is that of the manager, with all its
    /// other work.
    pub(super) async fn end(self) -> Result<Measured, BenchError> {
        let output = self.0.await.map_err(io::Error::other)??;
        let error = || BenchError::Counts(format!("bench-load: {}", String::from_utf8_lossy(&output.stderr).trim()));
        if !output.status.success() {
            return Err(error());
        }
        serde_json::from_slice(&output.stdout).map_err(|_| error())
    }
}

/// Returns the number of accepted reviews.
async fn reviews(manager: &ManagerProcess) -> f64 {
    manager.metric(ACCEPTED).await.unwrap_or_default()
}

/// Returns address and path of the validating webhook, and its CA.
async fn webhook(client: &Client) -> Result<(String, String, Vec<u8>), BenchError> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let configuration = api.get(WEBHOOKS).await?;
    let config = configuration.webhooks.into_iter().flatten().next().map(|webhook| webhook.client_config);
    let parsed = config.and_then(|config| {
        let (address, path) =
            config.url?.strip_prefix("https://")?.split_once('/').map(|(a, p)| (a.to_owned(), format!("/{p}")))?;
        Some((address, path, config.ca_bundle?.0))
    });
    parsed.ok_or_else(|| BenchError::Counts("the webhook configuration has no address or no CA".to_owned()))
}
