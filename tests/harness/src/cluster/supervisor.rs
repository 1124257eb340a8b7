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

/// Longer than the supervisor itself waits, so that its own message is the one that is read.
const START_TIMEOUT: Duration = Duration::from_secs(150);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// The supervisor's message with the end of a component's log.
const MESSAGE_LINES: usize = 40;

/// The line that `cluster up` prints when it is ready.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ready {
    pub(super) kubeconfig: PathBuf,
    pub(super) audit_log: PathBuf,
    pub(super) dir: PathBuf,
    /// With real nodes only.
    #[serde(flatten)]
    pub(super) network: Option<Network>,
}

/// A running `cluster up`.
///
/// It lives until its standard input is closed, which the kernel does as well when this process ends in whatever way.
/// It is kept by std's means, not tokio's, since a leased cluster outlives the runtime of the test that started it.
#[derive(Debug)]
pub(super) struct Supervisor {
    child: Mutex<Child>,
    ready: Ready,
}

impl Supervisor {
    /// Starts a control plane; `nodes` are the flags that say what plays the nodes.
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
        let message = child.stderr.take().map(|stderr| thread::spawn(move || pass_on(stderr)));
        let line = child.stdout.take().and_then(|stdout| first_line(stdout, START_TIMEOUT));
        match line.map(|line| serde_json::from_str(&line)) {
            Some(Ok(ready)) => Ok(Self { child: Mutex::new(child), ready }),
            unusable => {
                end(&mut child);
                let message = message.and_then(|thread| JoinHandle::join(thread).ok()).unwrap_or_default();
                Err(Error::Cluster(match unusable {
                    Some(Err(error)) => format!("its announcement is not JSON: {error}\n{message}"),
                    _ if message.is_empty() => format!("no answer within {START_TIMEOUT:?}"),
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

/// Asks the supervisor to clean up, and kills one that does not.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    let asked = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if asked.elapsed() > STOP_TIMEOUT {
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

/// Shows what the supervisor has to say as it comes, and returns the end of it.
fn pass_on(stderr: impl Read) -> String {
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
