//! The three servers, each a process of its own.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nats_manager_harness::{Tool, free_address};
use rustix::process::{Pid, Signal, kill_process};

use super::AdmissionError;
use crate::{
    bench::measure::megabytes,
    local::{self, BenchProgram},
};

const START_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// Kind of a measured server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ServerKind {
    /// Webhook of the manager.
    Ours,
    /// Server of the webhook, with a constant answer.
    Floor,
    /// Webhook on controller-runtime.
    Go,
    /// Webhook of the manager without a deployed cluster, for the cases of the rules. It is not measured.
    Rules,
}

/// Programs of the benchmark.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    /// Webhook and floor.
    pub(super) webhook: PathBuf,
    /// Load generator.
    pub(super) load: PathBuf,
    /// Go webhook; absent where it is not measured.
    pub(super) go: Option<PathBuf>,
}

/// Running server. It is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) kind: ServerKind,
    pub(super) address: SocketAddr,
    process: Child,
}

impl ServerKind {
    /// Servers that are measured.
    pub(super) const ALL: [Self; 3] = [Self::Ours, Self::Floor, Self::Go];

    /// Returns the name for the reader.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Floor => "floor",
            Self::Go => "Go webhook",
            Self::Rules => "ours, without a deployed cluster",
        }
    }
}

impl Programs {
    /// Builds the programs.
    pub(super) fn build(with_go: bool) -> Result<Self, AdmissionError> {
        let go = with_go.then(|| Tool::GoWebhook.path_blocking()).transpose()?;
        let webhook = local::build_bench(BenchProgram::Webhook)?;
        Ok(Self { webhook, load: local::build_bench(BenchProgram::Load)?, go })
    }

    /// Returns the command of a server; `None` if it is not measured.
    fn command(&self, kind: ServerKind, port: u16, certificates: &Path) -> Option<Command> {
        let own = |argument: &str| {
            let mut command = Command::new(&self.webhook);
            command.arg(argument).arg(port.to_string()).arg(certificates);
            command
        };
        let mut command = match kind {
            ServerKind::Ours => own("webhook"),
            ServerKind::Floor => own("floor"),
            ServerKind::Rules => own("rules"),
            ServerKind::Go => {
                let mut command = Command::new(self.go.as_ref()?);
                command.arg("--port").arg(port.to_string()).arg("--cert-dir").arg(certificates);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Some(command)
    }
}

impl Server {
    /// Starts a server; `None` if it is not measured. `wrap` may run the program in another one, or redirect its output.
    pub(super) fn start(
        programs: &Programs,
        kind: ServerKind,
        certificates: &Path,
        wrap: impl FnOnce(Command) -> Command,
    ) -> Result<Option<Self>, AdmissionError> {
        let address = free_address().map_err(AdmissionError::io("a free port"))?;
        let Some(command) = programs.command(kind, address.port(), certificates) else { return Ok(None) };
        let process = wrap(command).spawn().map_err(AdmissionError::io(kind.name()))?;
        let mut server = Self { kind, address, process };
        server.wait_until_listening()?;
        Ok(Some(server))
    }

    fn wait_until_listening(&mut self) -> Result<(), AdmissionError> {
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let has_ended = self.process.try_wait().map_err(AdmissionError::io(self.kind.name()))?.is_some();
            if has_ended || begun.elapsed() > START_LIMIT {
                return Err(AdmissionError::NotReady(self.kind.name()));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Returns the process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the peak of the resident memory, in MB.
    pub(super) fn peak_memory(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u32 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(megabytes(kibibytes))
    }

    /// Sends SIGTERM, and waits for the end.
    pub(super) fn terminate(mut self) -> Result<(), AdmissionError> {
        let failed = AdmissionError::io(self.kind.name());
        if let Some(id) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::TERM);
        }
        self.process.wait().map(|_| ()).map_err(failed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
