//! Logs on stderr as JSON lines, one object per line.

use std::panic;

use thiserror::Error;
use tracing::{Level, Subscriber};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::MakeWriter,
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

/// Second setup of logging in a process.
#[derive(Debug, Error)]
#[error("logging is set up already: {0}")]
pub struct LoggingError(#[from] TryInitError);

/// Log targets of this project. Every other target is a dependency.
const OURS: [&str; 4] = ["nats_manager", "nats_manager_api", "nats_manager_certs", "nats_manager_webhook"];

/// Starts to log events of the project's own code at `level` and above to stderr, as JSON lines with an RFC 3339
/// timestamp and the fields of the current span under `span`. Panics are logged in the same way. Dependencies are
/// limited to warnings, unless `level` is debug or trace.
///
/// # Errors
/// When called twice in a process.
pub fn init(level: Level) -> Result<(), LoggingError> {
    subscriber(level, std::io::stderr).try_init()?;
    panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "panic: {message}");
    }));
    Ok(())
}

fn subscriber<W>(level: Level, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(filter(level)).with(lines)
}

fn filter(level: Level) -> Targets {
    let ours = OURS.map(|target| (target, LevelFilter::from(level)));
    if level >= Level::DEBUG {
        return Targets::new().with_default(Level::DEBUG).with_targets(ours);
    }
    Targets::new()
        .with_default(Level::min(level, Level::WARN))
        // This target logs each failed request as an error. The caller gets the same error and decides.
        .with_target("kube_client::client::builder", LevelFilter::OFF)
        .with_targets(ours)
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use serde_json::Value;
    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: Level, work: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        with_default(subscriber(level, move || writer.clone()), work);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn line_contains_fields_of_event_and_span() {
        let lines = logged(Level::INFO, || {
            let span = tracing::info_span!(target: "nats_manager", "reconcile", nats = "kyma-system/eventing-nats", reconcile_id = 7);
            let _entered = span.enter();
            tracing::info!(target: "nats_manager::controller", writes = 3, "applied");
        });
        let line = &lines[0];
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "applied");
        assert_eq!(line["writes"], 3);
        assert_eq!(line["span"]["nats"], "kyma-system/eventing-nats");
        assert_eq!(line["span"]["reconcile_id"], 7);
        assert!(line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }

    #[test]
    fn dependencies_are_quiet_unless_debugging() {
        let cases = [
            (Level::ERROR, vec!["own error"]),
            (Level::INFO, vec!["own info", "own error", "kube warn"]),
            (Level::DEBUG, vec!["own debug", "own info", "own error", "kube warn", "kube info", "request failed"]),
        ];
        for (level, expected) in cases {
            let lines = logged(level, || {
                tracing::debug!(target: "nats_manager::controller", "own debug");
                tracing::info!(target: "nats_manager::controller", "own info");
                tracing::error!(target: "nats_manager_webhook", "own error");
                tracing::warn!(target: "kube_runtime::watcher", "kube warn");
                tracing::info!(target: "kube_runtime::watcher", "kube info");
                tracing::error!(target: "kube_client::client::builder", "request failed");
            });
            let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
            assert_eq!(messages, expected, "{level}");
        }
    }
}
