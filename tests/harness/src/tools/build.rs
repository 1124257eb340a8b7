use std::{
    fs::{self, File, TryLockError},
    io::{Read, Seek},
    path::Path,
    process::Stdio,
    thread,
    time::Duration,
};

use super::{Tool, progress::Progress};
use crate::error::{Error, Result};

const POLL: Duration = Duration::from_millis(100);
const TAIL: usize = 30;
const INSTALL_GO: &str = "snap install go --classic (or brew install go; 1.26 or newer)";

/// Builds a tool into `folder`, below `home`. Of several processes that need it, one builds and the others wait.
pub(super) fn build(tool: Tool, home: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(home).map_err(Error::io(home.display()))?;
    let _lock = lock(tool, home)?;
    if folder.join(tool.name()).exists() {
        return Ok(()); // another process built it during the wait for the lock
    }
    // Built in another folder and renamed when complete, so that an interrupted build never counts as one.
    let partial = home.join("partial");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir(&partial).map_err(Error::io(partial.display()))?;
    run(tool, &partial)?;
    fs::create_dir_all(folder).map_err(Error::io(folder.display()))?;
    let program = folder.join(tool.name());
    fs::rename(partial.join(tool.name()), &program).map_err(Error::io(program.display()))?;
    let _ = fs::remove_dir(&partial);
    Ok(())
}

/// Acquires the build lock. It is released when the file is closed, and so with the process.
fn lock(tool: Tool, home: &Path) -> Result<File> {
    let path = home.join("build.lock");
    let file = File::create(&path).map_err(Error::io(path.display()))?;
    let mut progress = None;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                progress.get_or_insert_with(|| Progress::new("another process builds", &tool.title())).tick();
                thread::sleep(POLL);
            }
            Err(TryLockError::Error(source)) => return Err(Error::io(path.display())(source)),
        }
    }
}

fn run(tool: Tool, target: &Path) -> Result<()> {
    // A file, since a full pipe without a reader would block the build.
    let mut log = tempfile::tempfile_in(target).map_err(Error::io(target.display()))?;
    let output = || log.try_clone().map(Stdio::from).map_err(Error::io("the build's output"));
    let mut child = tool
        .build_command(target)
        .stdin(Stdio::null())
        .stdout(output()?)
        .stderr(output()?)
        .spawn()
        .map_err(Error::spawn("go", INSTALL_GO))?;
    let mut progress = Progress::new("building", &tool.title());
    let status = loop {
        if let Some(status) = child.try_wait().map_err(Error::io("go"))? {
            break status;
        }
        progress.tick();
        thread::sleep(POLL);
    };
    if status.success() {
        return Ok(());
    }
    let mut output = String::new();
    log.rewind().and_then(|()| log.read_to_string(&mut output)).map_err(Error::io("the build's output"))?;
    let lines: Vec<_> = output.trim_end().lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
    Err(Error::Build { tool: tool.name(), status, output: tail })
}
