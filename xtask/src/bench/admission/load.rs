//! Runs of the load generator.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{AdmissionError, reviews::Workload, servers::Server};

/// Load generator with its files: certificates and reviews.
#[derive(Debug)]
pub(super) struct Generator {
    pub(super) program: PathBuf,
    pub(super) folder: PathBuf,
}

/// How a review is sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pattern {
    /// By 16 connections, each as fast as it gets responses.
    Closed { seconds: f64 },
    /// At 1,000 fixed times per second.
    Open { seconds: f64 },
    /// Each over a new connection.
    Connections { seconds: f64 },
    /// By one connection, a number of times.
    Count(u32),
}

/// Reviews per second of an open loop.
pub(in crate::bench) const RATE: &str = "1000";

/// Measurement of a load.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::bench) struct Measured {
    reviews: u32,
    seconds: f64,
    server: Option<f64>,
    /// Share of the server's CPU time that it spent in the kernel.
    server_system: Option<f64>,
    own: f64,
    /// Latencies in microseconds, sorted.
    pub(super) latencies: Vec<u32>,
}

/// Response to a review: its HTTP status, and its body where it is JSON.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Generator {
    /// Returns the folder of the certificates.
    pub(super) fn certificates(&self) -> PathBuf {
        self.folder.join("certificates")
    }

    /// Writes the certificates of the servers.
    pub(super) fn write_certificates(&self) -> Result<(), AdmissionError> {
        let folder = self.certificates();
        std::fs::create_dir_all(&folder).map_err(AdmissionError::io(folder.display()))?;
        self.run(Command::new(&self.program).arg("certificate").arg(&folder)).map(|_| ())
    }

    /// Sends each review of a folder once.
    pub(super) fn ask(
        &self,
        server: &Server,
        path: &str,
        reviews: &Path,
    ) -> Result<BTreeMap<String, Answer>, AdmissionError> {
        self.read(self.command("ask", server, path).arg(reviews))
    }

    /// Sends a workload over and over.
    pub(super) fn send(
        &self,
        server: &Server,
        workload: &Workload,
        pattern: Pattern,
    ) -> Result<Measured, AdmissionError> {
        self.read(&mut self.send_command(server, workload, pattern))
    }

    /// Returns the instructions of a server, in user mode, while one connection sends a number of reviews; `None` where
    /// perf is not installed or the processor has no counter for it.
    pub(super) fn instructions(
        &self,
        server: &Server,
        workload: &Workload,
        reviews: u32,
    ) -> Result<Option<f64>, AdmissionError> {
        let log = self.folder.join("perf.csv");
        let send = self.send_command(server, workload, Pattern::Count(reviews));
        let mut perf = Command::new("perf");
        perf.args(["stat", "-x", ",", "-e", "instructions:u", "-p", &server.id().to_string(), "-o"]).arg(&log);
        perf.arg(send.get_program()).args(send.get_args()).stdin(Stdio::null());
        let is_counted = perf.output().is_ok_and(|output| output.status.success());
        if !is_counted {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&log).map_err(AdmissionError::io(log.display()))?;
        let count = text.lines().find(|line| line.contains("instructions")).and_then(|line| line.split(',').next());
        Ok(count.and_then(|count| count.parse().ok()))
    }

    fn send_command(&self, server: &Server, workload: &Workload, pattern: Pattern) -> Command {
        let mut command = self.command("send", server, workload.path);
        command.arg("--review").arg(self.folder.join("workloads").join(workload.file));
        command.arg("--server").arg(server.id().to_string());
        let seconds = |command: &mut Command, seconds: f64| {
            command.arg("--seconds").arg(seconds.to_string());
        };
        match pattern {
            Pattern::Closed { seconds: time } => seconds(&mut command, time),
            Pattern::Open { seconds: time } => {
                seconds(&mut command, time);
                command.args(["--rate", RATE]);
            }
            Pattern::Connections { seconds: time } => {
                seconds(&mut command, time);
                command.arg("--reconnect");
            }
            Pattern::Count(count) => {
                command.args(["--connections", "1", "--reviews", &count.to_string()]);
            }
        }
        command
    }

    fn command(&self, task: &str, server: &Server, path: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(task).arg("--address").arg(server.address.to_string());
        command.arg("--ca").arg(self.certificates().join("ca.crt")).args(["--path", path]);
        command
    }

    fn read<T: DeserializeOwned>(&self, command: &mut Command) -> Result<T, AdmissionError> {
        serde_json::from_slice(&self.run(command)?).map_err(|error| AdmissionError::Load(error.to_string()))
    }

    fn run(&self, command: &mut Command) -> Result<Vec<u8>, AdmissionError> {
        command.stdin(Stdio::null());
        let output = command.output().map_err(AdmissionError::io(self.program.display()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(AdmissionError::Load(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

impl Measured {
    /// Returns the reviews per second.
    pub(in crate::bench) fn rate(&self) -> f64 {
        f64::from(self.reviews) / self.seconds
    }

    /// Returns the CPU time of the server per review, in microseconds.
    pub(in crate::bench) fn cpu(&self) -> f64 {
        1e6 * self.server.unwrap_or_default() / f64::from(self.reviews)
    }

    /// Returns the share of the server's CPU time that it spent in the kernel.
    pub(super) fn system_share(&self) -> f64 {
        self.server_system.unwrap_or_default()
    }

    /// Returns the CPU time of the load generator per review, in microseconds.
    pub(super) fn own_cpu(&self) -> f64 {
        1e6 * self.own / f64::from(self.reviews)
    }

    /// Returns the latency below which this share of reviews is, in milliseconds.
    pub(in crate::bench) fn latency(&self, share: f64) -> f64 {
        quantile(&self.latencies, share)
    }
}

/// Returns the quantile of sorted latencies in microseconds, in milliseconds.
pub(super) fn quantile(latencies: &[u32], share: f64) -> f64 {
    // Rounded to an index, far below the limit up to which an f64 is exact.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let index = ((latencies.len() as f64 * share).ceil() as usize).saturating_sub(1);
    latencies.get(index).or(latencies.last()).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantile_is_the_latency_that_the_share_does_not_exceed() {
        let latencies: Vec<u32> = (1..=1000).map(|millis| millis * 1000).collect();
        let at = |share| format!("{:.0}", quantile(&latencies, share));
        assert_eq!([at(0.5), at(0.99), at(0.999), at(1.0), at(0.0)], ["500", "990", "999", "1000", "1"]);
        assert!(quantile(&[], 0.5).abs() < f64::EPSILON);
    }
    #[test]
    fn output_of_the_load_generator_is_read() {
        let latencies: Vec<u32> = (1..=200).map(|millis| millis * 1000).collect();
        let output = json!({"reviews": 200, "seconds": 0.5, "server": 0.02, "server_system": 0.25, "own": 0.1, "latencies": latencies});
        let measured: Measured = serde_json::from_value(output).unwrap();
        let found = [measured.rate(), measured.latency(0.5), measured.latency(0.99), measured.cpu()];
        assert_eq!(found.map(|value| format!("{value:.3}")), ["400.000", "100.000", "198.000", "100.000"]);
        assert!(serde_json::from_value::<Measured>(json!({"reviews": 1})).is_err());
    }
}
