//! Steps of the tour, each with a time limit.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Service;
use kube::{Api, ResourceExt};
use nats_manager_api::{NamespacedName, resource::message};
use nats_manager_harness::{KubectlOutput, ManagerProcess};

use super::{
    DemoError,
    live::Live,
    samples::Sample,
    snapshot::{Snapshot, SnapshotSource},
    storage::{self, StorageClassState},
};
use crate::{
    local::{Local, LocalError, NAME, NAMESPACE},
    terminal::{self, done, heading, note, output, typed},
};

/// State of the tour.
pub(super) struct Walk<'a> {
    pub(super) local: &'a Local,
    pub(super) manager: &'a mut ManagerProcess,
    source: SnapshotSource,
}

/// Limit of a start. All limits are generous, since the machine may be busy.
const START_LIMIT: Duration = Duration::from_secs(30);
const READY_LIMIT: Duration = Duration::from_mins(2);
const GONE_LIMIT: Duration = Duration::from_secs(90);
const BACK_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(250);

const KINDS: &str =
    "statefulsets,services,configmaps,secrets,networkpolicies,poddisruptionbudgets,persistentvolumeclaims,pods";
const COLUMNS: &str = "custom-columns=KIND:.kind,NAME:.metadata.name,OWNER:.metadata.ownerReferences[0].name";

impl<'a> Walk<'a> {
    /// Installs and starts the manager. `slot` contains the process from its start, so that the caller can stop it
    /// after a failure.
    pub(super) async fn begin(
        local: &'a mut Local,
        program: &Path,
        slot: &'a mut Option<ManagerProcess>,
    ) -> Result<Self, DemoError> {
        heading("installing the shipped manifests");
        local.install(show).await?;
        heading("starting the manager");
        note(format!("A local process, with its ServiceAccount {NAMESPACE}/nats-manager and its shipped roles."));
        match local.nats_url() {
            Some(url) => {
                note("The nodes are simulated: Pods are scheduled and become ready, but run no containers.");
                note(format!("For streams, the manager uses a real NATS server: {url}"));
            }
            None => note("The nodes are real, and so is NATS; its two sidecars are stand-ins."),
        }
        let manager = slot.insert(local.start_manager(program).await?);
        let time = manager.wait_until_ready(START_LIMIT).await.map_err(LocalError::from)?;
        done(format!("ready {} ms after its start", time.as_millis()));
        Ok(Self { source: SnapshotSource::open(local.client()).await?, local, manager })
    }

    /// Shows each sample, and the features of the manager with the first one.
    pub(super) async fn show(&mut self, samples: &[Sample]) -> Result<(), DemoError> {
        for (index, sample) in samples.iter().enumerate() {
            heading(format!("sample {}/{}: {}", index + 1, samples.len(), sample.name));
            if !self.has_storage_for(sample).await? {
                continue;
            }
            self.apply(sample).await?;
            if index == 0 {
                self.show_features().await?;
                self.show_messages().await?;
            }
        }
        Ok(())
    }

    /// Provides the StorageClass of a sample. Returns false on an existing cluster without it: its parameters are
    /// unknown.
    async fn has_storage_for(&self, sample: &Sample) -> Result<bool, DemoError> {
        let Some(class) = &sample.storage_class else { return Ok(true) };
        let provided = storage::provide(self.local.client(), class, !self.local.is_existing()).await?;
        match provided {
            StorageClassState::Exists => {}
            StorageClassState::Created => {
                note(format!("created StorageClass {class}, which the sample requests"));
            }
            StorageClassState::Missing => note(format!("skipped: this cluster has no StorageClass {class}")),
        }
        Ok(provided != StorageClassState::Missing)
    }

    /// Shows the objects, rejections, warnings, defaults and recreation of an object.
    async fn show_features(&mut self) -> Result<(), DemoError> {
        heading("objects of the NATS resource");
        self.list_objects().await?;
        heading("invalid changes are rejected");
        self.rejected(r#"{"spec":{"cluster":{"size":4}}}"#, message::ODD_SIZE).await?;
        let other_class = r#"{"spec":{"jetStream":{"fileStorage":{"storageClassName":"fast"}}}}"#;
        self.rejected(other_class, message::IMMUTABLE).await?;
        heading("warnings and defaults of the webhook (dry run: nothing is stored)");
        self.previewed(r#"{"spec":{"logging":{"trace":true}}}"#, "Warning: spec.logging.trace").await?;
        let without_size = r#"{"spec":{"jetStream":{"fileStorage":{"size":null}}}}"#;
        self.previewed(without_size, r#""size":"1Gi""#).await?;
        heading("a deleted object is recreated");
        self.service_is_recreated().await
    }

    /// Applies a sample and waits until it is ready. Recreates the resource if an immutable field differs.
    async fn apply(&mut self, sample: &Sample) -> Result<(), DemoError> {
        let path = sample.path();
        let kubectl = self.local.kubectl();
        let answer = kubectl.run(&["apply", "-f", &path]).await?;
        show(&format!("apply -f {path}"), &answer);
        if !answer.is_success {
            if !self.source.take().await?.exists() {
                return Err(LocalError::Kubectl { command: format!("apply -f {path}"), output: answer.text() }.into());
            }
            note("An immutable field differs: the NATS resource is deleted first, with its data.");
            self.delete().await?;
            let command = ["apply", "-f", &path];
            show(&command.join(" "), &kubectl.must(&command).await?);
        }
        let or_warning = self.local.is_existing();
        self.until(&format!("sample {} is ready", sample.name), READY_LIMIT, |seen| seen.is_ready(or_warning)).await
    }

    /// Deletes the NATS resource, and waits until its children are deleted too.
    async fn delete(&mut self) -> Result<(), DemoError> {
        let command = ["delete", "nats", NAME, "-n", NAMESPACE, "--wait=false"];
        show(&command.join(" "), &self.local.kubectl().must(&command).await?);
        self.until("the NATS resource is deleted", GONE_LIMIT, |seen| !seen.exists()).await?;
        // The garbage collector discovers a new kind within half a minute after the installation.
        let secret = format!("secret/{NAME}-secret");
        let command = ["wait", "--for=delete", &secret, "-n", NAMESPACE, "--timeout=90s"];
        show(
            &format!("{}   # the garbage collector deletes the children", command.join(" ")),
            &self.local.kubectl().must(&command).await?,
        );
        Ok(())
    }

    /// Lists the objects of the NATS resource.
    async fn list_objects(&self) -> Result<(), DemoError> {
        let labels = NamespacedName::new(NAMESPACE, NAME).label_query();
        let command = ["get", KINDS, "-n", NAMESPACE, "-l", &labels, "-o", COLUMNS];
        show(&command.join(" "), &self.local.kubectl().must(&command).await?);
        Ok(())
    }

    /// Sends an invalid change, and checks that it is rejected with `expected`.
    async fn rejected(&self, patch: &str, expected: &'static str) -> Result<(), DemoError> {
        let answer =
            self.local.kubectl().run(&["patch", "nats", NAME, "-n", NAMESPACE, "--type=merge", "-p", patch]).await?;
        show(&format!("patch nats {NAME} -n {NAMESPACE} --type=merge -p '{patch}'"), &answer);
        if answer.is_success || !answer.text().contains(expected) {
            return Err(DemoError::NotRejected { patch: patch.to_owned(), expected, answer: answer.text() });
        }
        Ok(())
    }

    /// Sends a change as a dry run, and checks that the output contains `expected`.
    async fn previewed(&self, patch: &str, expected: &'static str) -> Result<(), DemoError> {
        let output = "jsonpath={.spec.jetStream.fileStorage}";
        let command =
            ["patch", "nats", NAME, "-n", NAMESPACE, "--type=merge", "--dry-run=server", "-p", patch, "-o", output];
        let answer = self.local.kubectl().run(&command).await?;
        show(
            &format!("patch nats {NAME} -n {NAMESPACE} --type=merge --dry-run=server -p '{patch}' -o {output}"),
            &answer,
        );
        if answer.is_success && answer.text().contains(expected) {
            return Ok(());
        }
        Err(DemoError::NotPreviewed { patch: patch.to_owned(), expected, answer: answer.text() })
    }

    /// Deletes the Service, and waits for a new one.
    async fn service_is_recreated(&mut self) -> Result<(), DemoError> {
        let services: Api<Service> = Api::namespaced(self.local.client(), NAMESPACE);
        let before = services.get(NAME).await?.uid();
        // With `--wait`, kubectl may mistake the new Service for the old one.
        let command = ["delete", "service", NAME, "-n", NAMESPACE, "--wait=false"];
        show(&command.join(" "), &self.local.kubectl().must(&command).await?);
        let deleted = Instant::now();
        loop {
            let found = services.get_opt(NAME).await?.and_then(|service| service.uid());
            if found.is_some() && found != before {
                done(format!("recreated Service {NAME} after {}", terminal::duration(deleted.elapsed())));
                return Ok(());
            }
            self.check_running()?;
            if deleted.elapsed() > BACK_LIMIT {
                let seen = found.map_or("no Service", |_| "the deleted Service").to_owned();
                return Err(not_in_time("the deleted Service is recreated", BACK_LIMIT, seen));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Shows snapshots until one meets the predicate. Fails after `limit`.
    async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        is_done: impl Fn(&Snapshot) -> bool,
    ) -> Result<(), DemoError> {
        let started = Instant::now();
        let mut live = Live::new();
        let mut last = Snapshot::default();
        loop {
            // A failed request is no reason to end, since the apiserver may be busy.
            if let Ok(seen) = self.source.take().await {
                live.show(&seen);
                last = seen;
                if is_done(&last) {
                    live.end(&last);
                    return Ok(());
                }
            }
            self.check_running()?;
            if started.elapsed() > limit {
                live.end(&last);
                let seen = format!("{}; the end of the manager's log:\n{}", last.summary(), self.manager.log_tail());
                return Err(not_in_time(what, limit, seen));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Shows snapshots until the manager or the control plane ends.
    pub(super) async fn watch(&mut self) -> Result<(), DemoError> {
        let mut live = Live::new();
        loop {
            if let Ok(seen) = self.source.take().await {
                live.show(&seen);
            }
            self.check_running()?;
            tokio::time::sleep(POLL).await;
        }
    }

    /// Fails if the manager or the control plane has ended.
    fn check_running(&mut self) -> Result<(), DemoError> {
        self.manager.check_is_running().map_err(LocalError::from)?;
        if self.local.cluster().is_up() { Ok(()) } else { Err(DemoError::ClusterEnded) }
    }
}

fn not_in_time(what: &str, limit: Duration, seen: String) -> DemoError {
    DemoError::NotInTime { what: what.to_owned(), within: limit.as_secs(), seen }
}

fn show(command: &str, answer: &KubectlOutput) {
    typed(format!("kubectl {command}"));
    output(&answer.text());
}
