use std::{
    path::Path,
    process::{Command, Stdio},
};

/// A shell that becomes the program, and beside it one that waits for the end of the standard input. That is a pipe
/// which nobody but us holds, so the kernel closes it when this process ends in whatever way.
const HOLD: &str = r#"exec 3<&0; (cat <&3; kill -9 $$) >/dev/null 2>&1 & exec 3<&-; exec "$0" "$@" </dev/null"#;

/// A command for a program that must not outlive us. It ends with its `Child`, too: keep that, and its `stdin`.
pub fn held(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(HOLD).arg(program).stdin(Stdio::piped());
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn it_ends_when_nobody_holds_its_standard_input() {
        let mut child = held(Path::new("sleep")).arg("60").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        assert!(child.try_wait().unwrap().is_none(), "it runs while it is held");
        drop(child.stdin.take());
        let dropped = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(dropped.elapsed() < Duration::from_secs(20), "it still runs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
