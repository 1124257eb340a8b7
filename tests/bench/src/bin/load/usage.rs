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

/// User and system time of a process in clock ticks (10 ms), also of threads that have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    user: u32,
    system: u32,
}

/// Returns both times; `None` where there is no such process.
pub(crate) fn parts(id: u32) -> Option<Parts> {
    parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// Parses `/proc/PID/stat` (proc(5)): the fields 14 and 15, after the name in parentheses, which may contain spaces.
fn parse(stat: &str) -> Option<Parts> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse().ok();
    Some(Parts { user: ticks()?, system: ticks()? })
}

/// Returns the share of the system time between two readings; `None` if no time has passed.
pub(crate) fn system_share((before, after): (Parts, Parts)) -> Option<f64> {
    let (user, system) = (after.user.saturating_sub(before.user), after.system.saturating_sub(before.system));
    (user + system > 0).then(|| f64::from(system) / f64::from(user + system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_share_is_that_between_two_readings() {
        let stat = |user, system| format!("7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 {user} {system} 0 0 20");
        let [before, after] = [stat(10, 20), stat(40, 30)].map(|text| parse(&text).unwrap());
        assert_eq!(system_share((before, after)), Some(0.25));
        assert_eq!(system_share((before, before)), None);
        assert!(parse("7 (a").is_none());
    }
}
