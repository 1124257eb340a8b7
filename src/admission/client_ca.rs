//! CAs of clients: the file of `--webhook-client-ca`, which is read again and again.

use std::{path::PathBuf, sync::Arc};

use nats_manager_certs::{ClientVerifier, TrustBundle, files::read_authorities};

use super::mounted::FILE_POLL_INTERVAL;
use crate::telemetry::{Check, Metrics};

/// Controller of the CAs that clients of the webhook need a certificate of.
pub(crate) struct ClientCa {
    /// File with the CA certificates, as PEM.
    pub file: PathBuf,
    /// Verifier that the server uses.
    pub verifier: Arc<ClientVerifier>,
    /// Readiness check that passes once a file was loaded.
    pub loaded: Check,
    pub metrics: Metrics,
}

impl ClientCa {
    /// Keeps the CAs of the file in use for as long as it is polled. An unusable file changes nothing.
    pub(crate) async fn run(self) {
        let (mut current, mut last_fault) = (TrustBundle::default(), None);
        loop {
            match self.load(&mut current) {
                Ok(()) => last_fault = None,
                Err(fault) => {
                    self.loaded.still_waiting(fault.clone());
                    if last_fault.as_ref() != Some(&fault) {
                        tracing::warn!(fault, "failed to load the CA of clients, keeping the last good one");
                        self.metrics.certificate_failed();
                        last_fault = Some(fault);
                    }
                }
            }
            tokio::time::sleep(FILE_POLL_INTERVAL).await;
        }
    }

    /// Uses the CAs of the file if they have changed.
    fn load(&self, current: &mut TrustBundle) -> Result<(), String> {
        let new = read_authorities(&self.file).map_err(|error| error.to_string())?;
        if new != *current {
            self.verifier.trust(&new).map_err(|error| format!("{}: {error}", self.file.display()))?;
            tracing::info!(file = %self.file.display(), "loaded the CA of clients");
            *current = new;
        }
        self.loaded.pass();
        Ok(())
    }
}
