use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::Deserialize;

use super::ClusterOptions;
use crate::{
    error::{Error, Result},
    real::Network,
};

/// Start timeout, longer than that of the supervisor, so that the error contains the message of the supervisor.
const START_TIMEOUT: Duration = Duration::from_secs(150);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Length of an error message: the last lines of the supervisor's output, with the end of a component's log.
const MESSAGE_LINES: usize = 40;

/// Line that `cluster up` prints when it is ready.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ready {
    pub(super) kubeconfig: PathBuf,
    pub(super) audit_log: PathBuf,
    pub(super) dir: PathBuf,
    /// Network; only with real nodes.
    #[serde(flatten)]
    pub(super) network: Option<Network>,
}

/// Running `cluster up` process.
///
/// It runs until its standard input is closed, which the kernel does however this process ends. The child is one of
/// `std`, not of tokio, since a leased cluster outlives the runtime of the test that started it.
#[derive(Debug)]
pub(super) struct Supervisor {
    child: Mutex<Child>,
    ready: Ready,
}

impl Supervisor {
    /// Starts a control plane. `nodes` are the flags that select the implementation of the nodes.
    pub(super) fn start(cluster: &Path, nodes: &[OsString], folder: &Path, options: &ClusterOptions) -> Result<Self> {
        let mut child = Command::new(cluster)
            .arg("up")
            .arg("--dir")
            .arg(folder)
            .args(nodes)
            .arg(format!("--nodes={}", options.nodes))
            .arg(format!("--zones={}", options.zones))
            .args(options.keep.then_some("--keep"))
            .args(options.apiserver_args.iter().map(|flag| format!("--apiserver-arg={flag}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io(cluster.display()))?;
        let message = child.stderr.take().map(|stderr| thread::spawn(move || forward(stderr)));
        let line = child.stdout.take().and_then(|stdout| first_line(stdout, START_TIMEOUT));
        match line.map(|line| serde_json::from_str(&line)) {
            Some(Ok(ready)) => Ok(Self { child: Mutex::new(child), ready }),
            unusable => {
                end(&mut child);
                let message = message.and_then(|thread| JoinHandle::join(thread).ok()).unwrap_or_default();
                Err(Error::Cluster(match unusable {
                    Some(Err(error)) => format!("its announcement is not JSON: {error}\n{message}"),
                    _ if message.is_empty() => format!("no response within {START_TIMEOUT:?}"),
                    _ => message,
                }))
            }
        }
    }

    pub(super) fn ready(&self) -> &Ready {
        &self.ready
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait(), Ok(None))
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        end(self.child.get_mut().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Requests a clean end from the supervisor, and kills it if it still runs after 20 s.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    let requested = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if requested.elapsed() > STOP_TIMEOUT {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn first_line(stdout: impl Read + Send + 'static, timeout: Duration) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let line = BufReader::new(stdout).lines().next().and_then(Result::<_, std::io::Error>::ok);
        let _ = sender.send(line);
    });
    receiver.recv_timeout(timeout).ok().flatten()
}

/// Forwards the output of the supervisor to stderr, and returns its last lines.
fn forward(stderr: impl Read) -> String {
    let mut last = VecDeque::new();
    for line in BufReader::new(stderr).lines().map_while(Result::<_, std::io::Error>::ok) {
        let _ = writeln!(std::io::stderr(), "{line}");
        if last.len() == MESSAGE_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    Vec::from(last).join("\n")
}
