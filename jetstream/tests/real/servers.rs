//! Cluster of three servers, n-0 to n-2, on loopback.

use std::net::SocketAddr;

use async_nats::ServerAddr;
use futures::future::join_all;
use nats_manager_harness::{NatsOptions, NatsServer, free_address};
use nats_manager_jetstream::{Credentials, MonitoringEndpoint};

pub(crate) const COUNT: usize = 3;

/// Configuration of the system account, as servers include it.
const ACCOUNTS: &str = r#"accounts: { "$SYS": { users: [ { user: "admin", password: "pw" } ] } }"#;

pub(crate) struct Cluster {
    pub(crate) servers: Vec<NatsServer>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let ports: Vec<u16> = (0..COUNT).map(|_| free_address().unwrap().port()).collect();
        let routes: Vec<String> = ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let servers = ports.iter().enumerate().map(|(index, port)| {
            let config = format!(
                "server_name: {}\ncluster {{ name: c, listen: \"127.0.0.1:{port}\", routes: [{}] }}\n{ACCOUNTS}\n",
                name(index),
                routes.join(", "),
            );
            NatsServer::start(NatsOptions { config, ..NatsOptions::default() })
        });
        Self { servers: join_all(servers).await.into_iter().collect::<Result<_, _>>().unwrap() }
    }

    pub(crate) fn targets(&self) -> Vec<MonitoringEndpoint> {
        let targets = self.servers.iter().enumerate().map(|(index, server)| MonitoringEndpoint {
            name: name(index),
            address: monitoring_port(server),
            stopping: false,
        });
        targets.collect()
    }

    pub(crate) fn url(&self, index: usize) -> ServerAddr {
        self.servers[index].url().parse().unwrap()
    }
}

pub(crate) fn name(index: usize) -> String {
    format!("n-{index}")
}

pub(crate) fn credentials() -> Credentials {
    Credentials::from_resolver_conf(ACCOUNTS.as_bytes()).unwrap()
}

fn monitoring_port(server: &NatsServer) -> SocketAddr {
    server.monitor_url().trim_start_matches("http://").parse().unwrap()
}
