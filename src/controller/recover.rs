//! Servers that are told to read their configuration again: those whose JetStream a full volume
//! switched off, which starts it anew once there is room (in a cluster; a single server is
//! restarted by its liveness probe), and those that are late with a changed configuration.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_nats::ServerAddr;

use crate::jetstream::{
    Look,
    system::{Client, Credentials, SystemError},
};

/// When each server was last told.
#[derive(Debug, Default)]
pub(super) struct Recovery(Mutex<HashMap<String, Instant>>);

/// A volume that is still full switches JetStream off again.
const EVERY: Duration = Duration::from_mins(1);

impl Recovery {
    /// The servers whose JetStream is to be started again now.
    pub(super) fn due(&self, look: &Look, now: Instant) -> Vec<String> {
        if look.servers.len() < 2 {
            return Vec::new();
        }
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = look.servers.iter().filter_map(|(name, answer)| Some((name, answer.as_ref().ok()?)));
        let disabled = answers.filter(|(_, server)| server.disabled).map(|(name, _)| name.clone());
        let due: Vec<String> =
            disabled.filter(|name| told.get(name).is_none_or(|at| now.duration_since(*at) >= EVERY)).collect();
        told.extend(due.iter().map(|name| (name.clone(), now)));
        due
    }
}

/// Tells servers of the look to reload.
pub(super) async fn reload(
    address: &ServerAddr,
    credentials: Option<&Credentials>,
    look: &Look,
    servers: &[String],
) -> Result<(), SystemError> {
    let client = Client::connect(address, credentials).await?;
    let mut outcome = Ok(());
    for name in servers {
        let Some(Ok(server)) = look.servers.get(name) else { continue };
        tracing::info!(server = name, "telling the server to reload");
        // One that does not answer does not keep the others from it.
        outcome = client.reload(&server.id).await.and(outcome);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::Server;

    #[test]
    fn a_server_that_switched_jetstream_off_is_told_once_a_minute() {
        let server = |disabled| Ok(Server { disabled, ..Server::default() });
        let look = |size: u32| Look { servers: (0..size).map(|i| (format!("n-{i}"), server(i == 0))).collect() };
        let (recovery, start) = (Recovery::default(), Instant::now());
        let due = |size, seconds| recovery.due(&look(size), start + Duration::from_secs(seconds));
        assert_eq!(due(1, 0), Vec::<String>::new(), "a single one is restarted");
        assert_eq!(due(3, 0), ["n-0"]);
        assert_eq!(due(3, 59), Vec::<String>::new());
        assert_eq!(due(3, 60), ["n-0"]);
    }
}
