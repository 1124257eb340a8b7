//! Interruption by the user or the system.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Returns a future that resolves at SIGINT (Ctrl-C), SIGTERM or SIGHUP (closed terminal). From the call on, these
/// signals do not end the process.
pub(crate) fn interrupted() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
