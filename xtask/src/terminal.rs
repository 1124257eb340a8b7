//! Output for people: headings, notes, durations. `console` uses colours only on a terminal.

use std::{fmt::Display, process::Command, time::Duration};

use console::style;

/// Prints a heading.
pub(crate) fn heading(text: impl Display) {
    println!("\n{}", style(format!("== {text}")).bold().cyan());
}

/// Prints a note.
pub(crate) fn note(text: impl Display) {
    for line in text.to_string().lines() {
        println!("   {}", style(line).dim());
    }
}

/// Prints a success.
pub(crate) fn done(text: impl Display) {
    println!("   {} {text}", style("ok").green());
}

/// Prints a command line.
pub(crate) fn typed(text: impl Display) {
    println!("   {} {}", style("$").dim(), style(text).bold());
}

/// Prints the output of a command.
pub(crate) fn output(text: &str) {
    for line in text.trim_end().lines() {
        println!("     {line}");
    }
}

/// Formats a command as a command line.
pub(crate) fn words(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    // The path of the toolchain's cargo is of no interest.
    let mut text = program.rsplit('/').next().unwrap_or_default().to_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Formats a duration: `0.4 s`, `12 s`, `4 min 05 s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..100 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_formatted_by_length() {
        let cases = [(420, "0.4 s"), (12_700, "12 s"), (99_000, "99 s"), (245_000, "4 min 05 s")];
        for (millis, text) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
