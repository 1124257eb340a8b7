//! The wish to stop, from a person or from the system.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Resolves at Ctrl-C, SIGTERM, or when the terminal goes. From the call on these do not end the process.
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
