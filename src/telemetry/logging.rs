//! Logs on stderr as JSON lines, one object per line.
//!
//! Logging never blocks: a thread writes the lines, and lines are dropped while more than [`BUFFERED_LINES`] wait for it.
//! The metric `nats_manager_log_lines_dropped_total` counts them.

use std::{io::Write, panic, sync::OnceLock};

use thiserror::Error;
use tracing::{Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
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
const OURS: [&str; 6] = [
    "nats_manager",
    "nats_manager_api",
    "nats_manager_certs",
    "nats_manager_jetstream",
    "nats_manager_planner",
    "nats_manager_webhook",
];
/// Capacity of the queue of the thread that writes the lines. A place takes 32 bytes of resident memory from the start, and
/// a line some hundred bytes more.
const BUFFERED_LINES: usize = 1024;
/// Counter of the lines that were dropped.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Starts to log events of the project's own code at `level` and above to stderr, as JSON lines with an RFC 3339
/// timestamp and the fields of the current span under `span`. Panics are logged in the same way. Dependencies are
/// limited to warnings, unless `level` is debug or trace. The guard writes the last lines when it is dropped.
///
/// # Errors
/// When called twice in a process.
pub fn init(level: Level) -> Result<WorkerGuard, LoggingError> {
    let (writer, guard) = lossy(std::io::stderr());
    let dropped = writer.error_counter();
    subscriber(level, writer).try_init()?;
    let _ = DROPPED.set(dropped);
    panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "panic: {message}");
    }));
    Ok(guard)
}

/// Returns the number of lines that were dropped so far.
pub(super) fn dropped_lines() -> u64 {
    DROPPED.get().map_or(0, |counter| counter.dropped_lines().try_into().unwrap_or(u64::MAX))
}

fn lossy(sink: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().lossy(true).buffered_lines_limit(BUFFERED_LINES).thread_name("logs").finish(sink)
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
        // Never trace: the client of NATS then writes the password with which it connects.
        return Targets::new().with_default(Level::DEBUG).with_targets(ours);
    }
    Targets::new().with_default(Level::min(level, Level::WARN)).with_targets(ours)
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
            (Level::DEBUG, vec!["own debug", "own info", "own error", "kube warn", "kube info"]),
            (Level::TRACE, vec!["own trace", "own debug", "own info", "own error", "kube warn", "kube info"]),
        ];
        for (level, expected) in cases {
            let lines = logged(level, || {
                tracing::trace!(target: "nats_manager::controller", "own trace");
                tracing::trace!(target: "async_nats::connection", "password");
                tracing::debug!(target: "nats_manager::controller", "own debug");
                tracing::info!(target: "nats_manager::controller", "own info");
                tracing::error!(target: "nats_manager_webhook", "own error");
                tracing::warn!(target: "kube_runtime::watcher", "kube warn");
                tracing::info!(target: "kube_runtime::watcher", "kube info");
            });
            let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
            assert_eq!(messages, expected, "{level}");
        }
    }

    #[test]
    fn sink_that_blocks_delays_no_line_and_drops_what_it_cannot_take() {
        struct Blocked(std::sync::mpsc::Receiver<()>);
        impl std::io::Write for Blocked {
            fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
                let _ = self.0.recv();
                Ok(line.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (unblock, blocked) = std::sync::mpsc::channel();
        let (writer, guard) = lossy(Blocked(blocked));
        let dropped = writer.error_counter();
        let begun = std::time::Instant::now();
        tracing::subscriber::with_default(subscriber(Level::INFO, writer), || {
            for line in 0..2 * BUFFERED_LINES {
                tracing::info!(target: "nats_manager", line, "a line");
            }
        });
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(
            (BUFFERED_LINES - 2..=BUFFERED_LINES).contains(&dropped.dropped_lines()),
            "{}",
            dropped.dropped_lines()
        );
        drop(unblock);
        drop(guard);
    }
}
