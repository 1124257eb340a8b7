//! CPU time of processes.

use std::fs;

use crate::connection::LoadError;

/// Returns the CPU time of a process in nanoseconds: user and system time of all its threads.
pub(crate) fn of_process(id: u32) -> Result<u64, LoadError> {
    let tasks = fs::read_dir(format!("/proc/{id}/task"))?;
    let time = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    let times: Vec<u64> = tasks.filter_map(|task| time(task.ok()?.path())).collect();
    if times.is_empty() { Err(LoadError::NoProcess(id)) } else { Ok(times.iter().sum()) }
}
