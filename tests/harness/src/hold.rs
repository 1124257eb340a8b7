use std::{
    path::Path,
    process::{Command, Stdio},
};

/// Script of a shell that becomes the program, beside a second shell that waits for the end of the standard input. This
/// process has the only write end of that pipe, so the kernel closes it however this process ends.
const HOLD: &str = r#"exec 3<&0; (cat <&3; kill -9 $$) >/dev/null 2>&1 & exec 3<&-; exec "$0" "$@" </dev/null"#;

/// Returns a command for a program that must not outlive this process. The program also ends when its `Child` or the
/// `stdin` of it is dropped: keep both.
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
    fn child_ends_when_its_standard_input_is_closed() {
        let mut child = held(Path::new("sleep")).arg("60").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        assert!(child.try_wait().unwrap().is_none(), "it runs while its standard input is open");
        drop(child.stdin.take());
        let dropped = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(dropped.elapsed() < Duration::from_secs(20), "it still runs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
