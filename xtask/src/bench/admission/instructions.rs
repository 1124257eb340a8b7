//! Instructions per review, counted by callgrind: they do not depend on the load of the machine.
//!
//! The count is the difference between two runs with different numbers of reviews, so that start and handshakes do not
//! matter. Processors of virtual machines often have no counter that `perf stat` could read.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use super::{
    AdmissionError,
    load::{Generator, Pattern},
    reviews::Workload,
    servers::{Programs, Server, ServerKind},
};
use crate::{bench::callgrind, terminal::note};

/// Reviews of the two runs.
const FEW: u32 = 200;
const MANY: u32 = 700;

/// Limits for ours, in instructions: at most 10 % above the measured counts. The workloads that have one are counted.
const LIMITS: [(&str, f64); 2] = [("update-full", 248_000.0), ("create-default", 129_000.0)];

/// Instructions per review of the workloads that are counted.
#[derive(Debug, Default)]
pub(super) struct Instructions {
    /// Why there are none.
    pub(super) missing: Option<String>,
    /// By workload: its file name, and the counts of ours and of the floor.
    pub(super) counts: Vec<(&'static str, f64, f64)>,
}

/// Counts the instructions of ours and of the floor for the workloads with a limit. Go programs are left out: valgrind does
/// not support the runtime of Go.
pub(super) fn count(
    programs: &Programs,
    generator: &Generator,
    workloads: &[Workload],
) -> Result<Instructions, AdmissionError> {
    if !callgrind::is_installed() {
        return Ok(Instructions { missing: Some(callgrind::MISSING.to_owned()), ..Instructions::default() });
    }
    let mut instructions = Instructions::default();
    for workload in workloads.iter().filter(|workload| limit(workload.file).is_some()) {
        let one = |kind| -> Result<f64, AdmissionError> {
            let few = collected(programs, kind, generator, workload, FEW)?;
            let many = collected(programs, kind, generator, workload, MANY)?;
            Ok((many - few) / f64::from(MANY - FEW))
        };
        let (ours, floor) = (one(ServerKind::Ours)?, one(ServerKind::Floor)?);
        note(format!("{}: ours {ours:.0}, floor {floor:.0}", workload.title));
        instructions.counts.push((workload.file, ours, floor));
    }
    Ok(instructions)
}

/// Returns the instructions of a server from its start to its end, with a number of reviews.
fn collected(
    programs: &Programs,
    kind: ServerKind,
    generator: &Generator,
    workload: &Workload,
    reviews: u32,
) -> Result<f64, AdmissionError> {
    let log = generator.folder.join("callgrind.log");
    let file = File::create(&log).map_err(AdmissionError::io(log.display()))?;
    let wrap = |command: Command| {
        let mut valgrind = Command::new(callgrind::PROGRAM);
        valgrind.args(callgrind::ARGUMENTS).arg(command.get_program());
        valgrind.args(command.get_args()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        valgrind
    };
    let Some(server) = Server::start(programs, kind, &generator.certificates(), wrap)? else {
        return Err(AdmissionError::NotReady(kind.name()));
    };
    generator.send(&server, workload, Pattern::Count(reviews))?;
    server.terminate()?;
    parse(&log)
}

fn limit(file: &str) -> Option<f64> {
    LIMITS.iter().find(|(limited, _)| *limited == file).map(|(_, limit)| *limit)
}

/// Reads the total from the log of callgrind.
fn parse(log: &Path) -> Result<f64, AdmissionError> {
    let text = fs::read_to_string(log).map_err(AdmissionError::io(log.display()))?;
    callgrind::collected(&text).ok_or_else(|| AdmissionError::Load("callgrind printed no total".to_owned()))
}

impl Instructions {
    /// Fails if a count of ours is beyond its limit.
    pub(super) fn check(&self) -> Result<(), AdmissionError> {
        let beyond: Vec<String> = self
            .counts
            .iter()
            .filter(|(file, ours, _)| limit(file).is_some_and(|limit| *ours > limit))
            .map(|(file, ours, _)| format!("{ours:.0} instructions per review of {file}"))
            .collect();
        if beyond.is_empty() { Ok(()) } else { Err(AdmissionError::Beyond(beyond)) }
    }
}
