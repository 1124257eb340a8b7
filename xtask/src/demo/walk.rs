//! The steps of the demo, each shown, each with a limit.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Service;
use kube::{Api, ResourceExt};
use nats_manager_api::{NamespacedName, resource::message};

use super::{
    DemoError,
    live::Live,
    samples::Sample,
    snapshot::{Snapshot, SnapshotSource},
    storage::{self, StorageClassState},
};
use crate::{
    local::{Answer, Local, LocalError, Manager, NAME, NAMESPACE},
    terminal::{self, done, heading, note, output, typed},
};

/// The manager on its way through the demo.
pub(super) struct Walk<'a> {
    pub(super) local: &'a Local,
    pub(super) manager: &'a mut Manager,
    eyes: SnapshotSource,
}

/// Generous: a machine may be busy.
const START_LIMIT: Duration = Duration::from_secs(30);
const READY_LIMIT: Duration = Duration::from_mins(2);
const GONE_LIMIT: Duration = Duration::from_secs(90);
const BACK_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(250);

const KINDS: &str = "statefulsets,services,configmaps,secrets,poddisruptionbudgets,persistentvolumeclaims,pods";
const COLUMNS: &str = "custom-columns=KIND:.kind,NAME:.metadata.name,OWNER:.metadata.ownerReferences[0].name";

impl<'a> Walk<'a> {
    /// Installs, and starts the manager. It is in `slot` as soon as it runs, so that it can be stopped whatever happens.
    pub(super) async fn begin(
        local: &'a mut Local,
        program: &Path,
        slot: &'a mut Option<Manager>,
    ) -> Result<Self, DemoError> {
        heading("installing what users install");
        local.install(show).await?;
        heading("starting the manager");
        note(format!("A local process, under its ServiceAccount {NAMESPACE}/nats-manager and its shipped rules."));
        match local.nats_url() {
            Some(url) => {
                note("The nodes are simulated, so pods are placed and become ready, but run nothing.");
                note(format!("Where streams matter the manager asks a real NATS server: {url}"));
            }
            None => note("The nodes are real, and so is NATS; its two sidecars are stand-ins."),
        }
        let manager = slot.insert(local.start_manager(program).await?);
        let time = manager.ready(START_LIMIT).await.map_err(LocalError::from)?;
        done(format!("ready {} ms after its start", time.as_millis()));
        Ok(Self { eyes: SnapshotSource::open(local.client()).await?, local, manager })
    }

    /// The whole walk.
    pub(super) async fn show(&mut self, samples: &[Sample]) -> Result<(), DemoError> {
        for (index, sample) in samples.iter().enumerate() {
            heading(format!("sample {}/{}: {}", index + 1, samples.len(), sample.name));
            if !self.has_storage_for(sample).await? {
                continue;
            }
            self.apply(sample).await?;
            if index == 0 {
                self.look_around().await?;
            }
        }
        Ok(())
    }

    /// A local cluster gets the class; of an existing one it is not known what the class should be.
    async fn has_storage_for(&self, sample: &Sample) -> Result<bool, DemoError> {
        let Some(class) = &sample.storage_class else { return Ok(true) };
        let provided = storage::provide(self.local.client(), class, !self.local.is_existing()).await?;
        match provided {
            StorageClassState::There => {}
            StorageClassState::Made => {
                note(format!("It asks for the StorageClass {class}, which this cluster now has too."));
            }
            StorageClassState::Missing => note(format!("Left out: this cluster has no StorageClass {class}.")),
        }
        Ok(provided != StorageClassState::Missing)
    }

    async fn look_around(&mut self) -> Result<(), DemoError> {
        heading("its objects");
        self.objects().await?;
        heading("bad edits are refused");
        self.refused(r#"{"spec":{"cluster":{"size":4}}}"#, message::ODD_SIZE).await?;
        let other_class = r#"{"spec":{"jetStream":{"fileStorage":{"storageClassName":"fast"}}}}"#;
        self.refused(other_class, message::IMMUTABLE).await?;
        heading("what is unwise is warned of, what is missing is filled in (nothing is stored here)");
        self.answered(r#"{"spec":{"logging":{"trace":true}}}"#, "Warning: spec.logging.trace").await?;
        let in_part = r#"{"spec":{"resources":{"limits":null,"requests":{"cpu":"2"}}}}"#;
        self.answered(in_part, r#""limits":{"cpu":"2","memory":"1Gi"}"#).await?;
        heading("a child that is deleted comes back");
        self.comes_back().await
    }

    /// Applies a sample until it is ready; what cannot be changed in place is made anew.
    async fn apply(&mut self, sample: &Sample) -> Result<(), DemoError> {
        let path = sample.path();
        let kubectl = self.local.kubectl();
        let answer = kubectl.run(["apply", "-f", &path]).await?;
        show(&format!("apply -f {path}"), &answer);
        if !answer.success {
            if !self.eyes.look().await?.exists() {
                return Err(LocalError::Kubectl { command: format!("apply -f {path}"), answer: answer.text }.into());
            }
            note("It differs in what cannot change in place: the resource goes first, with its data.");
            self.delete().await?;
            let command = ["apply", "-f", &path];
            show(&command.join(" "), &kubectl.must(command).await?);
        }
        let or_warning = self.local.is_existing();
        self.until(&format!("sample {} is ready", sample.name), READY_LIMIT, |seen| seen.is_ready(or_warning)).await
    }

    async fn delete(&mut self) -> Result<(), DemoError> {
        let command = ["delete", "nats", NAME, "-n", NAMESPACE, "--wait=false"];
        show(&command.join(" "), &self.local.kubectl().must(command).await?);
        self.until("the NATS resource is gone", GONE_LIMIT, |seen| !seen.exists()).await?;
        // Right after the installation the garbage collector does not know the new kind yet, for half a minute.
        let secret = format!("secret/{NAME}-secret");
        let command = ["wait", "--for=delete", &secret, "-n", NAMESPACE, "--timeout=90s"];
        show(
            &format!("{}   # Kubernetes collects the children", command.join(" ")),
            &self.local.kubectl().must(command).await?,
        );
        Ok(())
    }

    async fn objects(&self) -> Result<(), DemoError> {
        let labels = NamespacedName::new(NAMESPACE, NAME).label_query();
        let command = ["get", KINDS, "-n", NAMESPACE, "-l", &labels, "-o", COLUMNS];
        show(&command.join(" "), &self.local.kubectl().must(command).await?);
        Ok(())
    }

    async fn refused(&self, patch: &str, expected: &'static str) -> Result<(), DemoError> {
        let answer =
            self.local.kubectl().run(["patch", "nats", NAME, "-n", NAMESPACE, "--type=merge", "-p", patch]).await?;
        show(&format!("patch nats {NAME} -n {NAMESPACE} --type=merge -p '{patch}'"), &answer);
        if answer.success || !answer.text.contains(expected) {
            return Err(DemoError::NotRefused { patch: patch.to_owned(), expected, answer: answer.text });
        }
        Ok(())
    }

    /// Tries an edit as a dry run, and shows the resources that it leads to.
    async fn answered(&self, patch: &str, expected: &'static str) -> Result<(), DemoError> {
        let output = "jsonpath={.spec.resources}";
        let command =
            ["patch", "nats", NAME, "-n", NAMESPACE, "--type=merge", "--dry-run=server", "-p", patch, "-o", output];
        let answer = self.local.kubectl().run(command).await?;
        show(
            &format!("patch nats {NAME} -n {NAMESPACE} --type=merge --dry-run=server -p '{patch}' -o {output}"),
            &answer,
        );
        if answer.success && answer.text.contains(expected) {
            return Ok(());
        }
        Err(DemoError::NotAnswered { patch: patch.to_owned(), expected, answer: answer.text })
    }

    async fn comes_back(&mut self) -> Result<(), DemoError> {
        let services: Api<Service> = Api::namespaced(self.local.client(), NAMESPACE);
        let before = services.get(NAME).await?.uid();
        // Waiting, kubectl may take the new one for the old one.
        let command = ["delete", "service", NAME, "-n", NAMESPACE, "--wait=false"];
        show(&command.join(" "), &self.local.kubectl().must(command).await?);
        let deleted = Instant::now();
        loop {
            let found = services.get_opt(NAME).await?.and_then(|service| service.uid());
            if found.is_some() && found != before {
                done(format!("a new Service {NAME} is there after {}", terminal::duration(deleted.elapsed())));
                return Ok(());
            }
            self.is_alive()?;
            if deleted.elapsed() > BACK_LIMIT {
                let seen = found.map_or("no Service", |_| "the deleted Service").to_owned();
                return Err(not_in_time("the deleted Service comes back", BACK_LIMIT, seen));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Shows what happens until what is waited for is there.
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
            // An apiserver that is busy for a moment is no reason to end.
            if let Ok(seen) = self.eyes.look().await {
                live.show(&seen);
                last = seen;
                if is_done(&last) {
                    live.end(&last);
                    return Ok(());
                }
            }
            self.is_alive()?;
            if started.elapsed() > limit {
                live.end(&last);
                let seen = format!("{}; the end of the manager's log:\n{}", last.summary(), self.manager.log_tail());
                return Err(not_in_time(what, limit, seen));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Shows what happens for as long as everything runs.
    pub(super) async fn watch(&mut self) -> Result<(), DemoError> {
        let mut live = Live::new();
        loop {
            if let Ok(seen) = self.eyes.look().await {
                live.show(&seen);
            }
            self.is_alive()?;
            tokio::time::sleep(POLL).await;
        }
    }

    fn is_alive(&mut self) -> Result<(), DemoError> {
        self.manager.is_running().map_err(LocalError::from)?;
        if self.local.cluster().is_up() { Ok(()) } else { Err(DemoError::ClusterEnded) }
    }
}

fn not_in_time(what: &str, limit: Duration, seen: String) -> DemoError {
    DemoError::NotInTime { what: what.to_owned(), within: limit.as_secs(), seen }
}

fn show(command: &str, answer: &Answer) {
    typed(format!("kubectl {command}"));
    output(&answer.text);
}
