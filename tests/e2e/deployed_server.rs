//! NATS server with the deployed configuration.

use std::{path::Path, process::Child};

use nats_manager_harness::{NatsServer, NatsVersion, Tool, eventually, held};

use crate::{
    objects::{CONFIG_MAP, SECRET, system_account},
    world::{TIMEOUT, World},
};

/// NATS server as the Pod with ordinal 0 would start it now. It replaces a stopped server: same store, same port.
/// Killed when dropped.
pub struct DeployedServer {
    child: Child,
    /// Temporary folder for configuration, PID file and log, deleted with the server.
    folder: tempfile::TempDir,
}

impl DeployedServer {
    /// Starts the server from the deployed ConfigMap and Secret, and waits until it is ready.
    pub async fn start(world: &World, stopped: &NatsServer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let quoted = |path: &Path| serde_json::Value::from(path.to_str().unwrap()).to_string();
        let config = CONFIG_MAP.get(world).await["data"]["nats.conf"].as_str().unwrap().to_owned();
        let port = stopped.url().rsplit(':').next().unwrap().to_owned();
        let mut local = config.clone();
        for (deployed, replacement) in [
            ("\"/data\"", quoted(&stopped.store())),
            ("\"/var/run/nats/nats.pid\"", quoted(&folder.path().join("nats.pid"))),
            ("\nport: 4222", format!("\nport: {port}")),
            ("\nhttp_port: 8222", "\nhttp_port: -1".to_owned()),
        ] {
            assert!(local.contains(deployed), "no {deployed} in {config}");
            local = local.replace(deployed, &replacement);
        }
        std::fs::create_dir(folder.path().join("accounts")).unwrap();
        std::fs::write(folder.path().join("accounts/resolver.conf"), system_account(&SECRET.get(world).await)).unwrap();
        let file = folder.path().join("nats.conf");
        std::fs::write(&file, local).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = held(&Tool::NatsServer(NatsVersion::selected().unwrap()).path().await.unwrap())
            .arg("--config")
            .arg(&file)
            .envs([
                ("SERVER_NAME", "eventing-nats-0"),
                ("CLUSTER_ADVERTISE", "localhost"),
                ("POD_NAME", "eventing-nats-0"),
            ])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { child, folder };
        let log = server.folder.path().join("log");
        eventually("the server is ready", TIMEOUT, || async {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            if log.contains("Server is ready") { Ok(true) } else { Err(log) }
        })
        .await;
        server
    }
}

impl Drop for DeployedServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
