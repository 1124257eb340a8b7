//! The examples in `tests/situations`: what kubectl prints of the NATS resource, and the stored resource.
//!
//! Values that differ between runs (times, ids) are replaced. `UPDATE_SITUATIONS=1` writes the examples.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "what tests share is a test too")]

use std::{env, fs, path::Path};

use crate::{documented::ROOT, installation::NAMESPACE};

/// Compares what kubectl prints of a NATS resource with the example of a situation. `kubectl` returns the output of a
/// command.
pub async fn matches_example(situation: &str, name: &str, kubectl: impl AsyncFn(&[&str]) -> String) {
    let run = async |command: &[&str], more: &[&str]| {
        let args = [command, &["nats", name, "-n", NAMESPACE], more].concat();
        normalized(&kubectl(&args).await)
    };
    let shown = [
        ("kubectl get", run(&["get"], &[]).await),
        ("kubectl get -o wide", run(&["get"], &["-o", "wide"]).await),
        ("kubectl describe", run(&["describe"], &["--show-events=false"]).await),
    ];
    let text: Vec<String> = shown.iter().map(|(command, output)| format!("{command}\n\n{output}")).collect();
    compare(&format!("{situation}.txt"), &text.join("\n"));
    compare(&format!("{situation}.yaml"), &run(&["get"], &["-o", "yaml"]).await);
}

/// Replaces times, ages and ids, which differ between runs.
fn normalized(output: &str) -> String {
    let mut text: Vec<String> = output.lines().map(line).collect();
    // The column of ages is as wide as its content.
    if let Some(header) = text.first().filter(|header| header.starts_with("NAME ")).cloned() {
        let columns: Vec<usize> = column_starts(&header);
        let age = columns.iter().position(|start| header[*start..].starts_with("AGE")).unwrap();
        text = text.iter().map(|row| with_age(row, &columns, age)).collect();
    }
    text.join("\n") + "\n"
}

/// Returns where the columns of a table begin.
fn column_starts(header: &str) -> Vec<usize> {
    let bytes = header.as_bytes();
    (0..bytes.len()).filter(|at| bytes[*at] != b' ' && (*at == 0 || bytes[at - 1] == b' ')).collect()
}

/// Replaces the age in a row of a table.
fn with_age(row: &str, columns: &[usize], age: usize) -> String {
    let start = columns[age];
    let end = columns.get(age + 1).copied().unwrap_or(row.len());
    let value = if row[start..].starts_with("AGE") { "AGE" } else { "1m" };
    format!("{}{value:<6}{}", &row[..start], &row[end..]).trim_end().to_owned()
}

fn line(line: &str) -> String {
    let Some((key, value)) = line.split_once(':') else { return line.to_owned() };
    let indentation: String = value.chars().take_while(|letter| *letter == ' ').collect();
    let value = value.trim();
    let replaced = match key.trim().trim_start_matches("- ") {
        "uid" | "UID" => "00000000-0000-0000-0000-000000000000",
        "resourceVersion" => "\"1\"",
        "Resource Version" => "1",
        _ if is_time(value.trim_matches('"')) => {
            return format!(
                "{key}:{indentation}{}",
                if value.starts_with('"') { "\"2026-11-01T00:00:00Z\"" } else { "2026-11-01T00:00:00Z" }
            );
        }
        _ => return line.trim_end().to_owned(),
    };
    format!("{key}:{indentation}{replaced}")
}

/// Returns whether a value is a time such as `2026-11-01T00:00:00Z`.
fn is_time(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    value.len() >= 20 && value.ends_with('Z') && value.as_bytes()[10] == b'T' && digits >= 14
}

fn compare(file: &str, actual: &str) {
    let path = Path::new(ROOT).join("tests/situations").join(file);
    if env::var_os("UPDATE_SITUATIONS").is_some() {
        fs::write(&path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == actual, "{file} differs, write it with UPDATE_SITUATIONS=1:\n{actual}");
}
