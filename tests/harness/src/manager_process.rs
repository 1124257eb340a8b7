//! The manager as a process on this machine.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, ChildStdin, Command},
    time::{sleep, timeout},
};

use crate::{free_address, http_get};

/// A running manager. It is killed when it is dropped; in a test that fails, the end of its log is printed then.
#[derive(Debug)]
pub struct ManagerProcess {
    child: Child,
    /// A process under [`held`](crate::held) ends when this is closed.
    _stdin: Option<ChildStdin>,
    log: PathBuf,
    started: Instant,
    /// Address of the metrics.
    pub metrics: SocketAddr,
    /// Address of the probes.
    pub probes: SocketAddr,
}

/// Resident memory of a process, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResidentMemory {
    /// All resident pages (`VmRSS`).
    pub total: u32,
    /// Heap and stacks (`RssAnon`).
    pub anonymous: u32,
    /// Pages of the program and its libraries, which the kernel can reclaim (`RssFile`).
    pub files: u32,
    /// Maximum of all resident pages since the start (`VmHWM`).
    pub peak: u32,
}

/// A manager that does not run as expected.
#[derive(Debug, thiserror::Error)]
pub enum ManagerProcessError {
    /// The state of the process is unknown.
    #[error("cannot read the state of the manager's process: {0}")]
    Process(#[from] io::Error),
    /// The process ended by itself.
    #[error("the manager ended ({status}); the end of its log:\n{log}")]
    Ended {
        /// Its exit status.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// `/readyz` does not answer with 200.
    #[error("the manager was not ready within {} s; /readyz: {readyz}; the end of its log:\n{log}", within.as_secs())]
    NotReady {
        /// The limit.
        within: Duration,
        /// The last response of the probe.
        readyz: String,
        /// The end of its log.
        log: String,
    },
}

const READY_POLL: Duration = Duration::from_millis(2);
const READY_LIMIT: Duration = Duration::from_secs(30);
const END_LIMIT: Duration = Duration::from_secs(30);
const LOG_LINES: usize = 40;

impl ManagerProcess {
    /// Starts the manager with free ports for metrics and probes. `command` has its program, further arguments and
    /// environment; its output is appended to a log file in `folder`.
    pub fn spawn(mut command: Command, folder: &Path) -> io::Result<Self> {
        let (metrics, probes) = (free_address()?, free_address()?);
        let log = folder.join(format!("manager-{}.log", probes.port()));
        let output = fs::OpenOptions::new().create(true).append(true).open(&log)?;
        command
            .arg(format!("--metrics-bind-address={metrics}"))
            .arg(format!("--health-probe-bind-address={probes}"))
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true);
        let started = Instant::now();
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        Ok(Self { child, _stdin: stdin, log, started, metrics, probes })
    }

    /// Waits up to 30 s until `/readyz` answers with 200: for tests, which fail otherwise.
    #[allow(clippy::panic, clippy::missing_panics_doc, reason = "a test whose manager does not start has failed")]
    pub async fn ready(mut self) -> Self {
        if let Err(error) = self.wait_until_ready(READY_LIMIT).await {
            panic!("{error}");
        }
        self
    }

    /// Waits until `/readyz` answers with 200. Returns the time since the start.
    pub async fn wait_until_ready(&mut self, within: Duration) -> Result<Duration, ManagerProcessError> {
        loop {
            let readyz = match http_get(self.probes, "/readyz").await {
                Ok((200, _)) => return Ok(self.started.elapsed()),
                Ok((status, body)) => format!("{status} {}", body.trim()),
                Err(error) => error.to_string(),
            };
            self.check_is_running()?;
            if self.started.elapsed() > within {
                return Err(ManagerProcessError::NotReady { within, readyz, log: self.log_tail() });
            }
            sleep(READY_POLL).await;
        }
    }

    /// Fails if the process has ended.
    pub fn check_is_running(&mut self) -> Result<(), ManagerProcessError> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(ManagerProcessError::Ended { status, log: self.log_tail() }),
        }
    }

    /// Returns the response of `/readyz?verbose`; `None` without a response.
    pub async fn readyz(&self) -> Option<(u16, String)> {
        http_get(self.probes, "/readyz?verbose").await.ok()
    }

    /// Returns the value of a metric by its name with labels, as in `up{job="a"}`.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = http_get(self.metrics, "/metrics").await.ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Returns the id of the process; `None` after its end.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Returns the time at which the process was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Returns the CPU time that the threads of the process have used, from `/proc`, in nanoseconds; `None` where there is
    /// none. Threads that have ended are left out.
    pub fn cpu_time(&self) -> Option<Duration> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id()?)).ok()?;
        let used = |thread: fs::DirEntry| -> Option<u64> {
            let schedstat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            schedstat.split_whitespace().next()?.parse().ok()
        };
        Some(Duration::from_nanos(threads.filter_map(|thread| used(thread.ok()?)).sum()))
    }

    /// Returns the resident memory; `None` where there is no `/proc`.
    pub fn memory(&self) -> Option<ResidentMemory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let kibibytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some(ResidentMemory {
            total: kibibytes("VmRSS:")?,
            anonymous: kibibytes("RssAnon:")?,
            files: kibibytes("RssFile:")?,
            peak: kibibytes("VmHWM:")?,
        })
    }

    /// Returns the path of the log.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Returns the log.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns the last 40 lines of the log.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// Sends SIGTERM and waits up to 30 s for the end. Returns the exit code; `None` after another signal. A process that
    /// does not end is killed, which is an error of kind `TimedOut`.
    pub async fn terminate(mut self) -> io::Result<Option<i32>> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Fails only where the process has just ended.
            let _ = kill_process(pid, Signal::TERM);
        }
        if let Ok(status) = timeout(END_LIMIT, self.child.wait()).await {
            let status = status?;
            if !status.success() {
                eprintln!("--- the end of the manager's log ({status})\n{}", self.log_tail());
            }
            Ok(status.code())
        } else {
            self.child.kill().await?;
            Err(io::ErrorKind::TimedOut.into())
        }
    }

    /// Waits up to 30 s until the process ends by itself. Returns the exit code and the log.
    pub async fn ended(mut self) -> io::Result<(Option<i32>, String)> {
        let status = timeout(END_LIMIT, self.child.wait()).await.map_err(io::Error::from)??;
        Ok((status.code(), self.log()))
    }

    /// Kills the process with SIGKILL.
    pub async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }
}

impl Drop for ManagerProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of the manager's log\n{}", self.log_tail());
        }
    }
}
