//! Tests of the NATS server that the tests of the manager use.
#![allow(clippy::unwrap_used)]

use nats_manager_harness::{NatsOptions, NatsServer, Tool};
use tokio::net::TcpStream;

#[tokio::test]
async fn restarted_server_keeps_its_ports_and_data() {
    let mut server =
        NatsServer::start(NatsOptions { config: "max_payload: 4096".to_owned(), ..NatsOptions::default() })
            .await
            .unwrap();
    let (url, monitor) = (server.url(), server.monitor_url());
    let address = url.trim_start_matches("nats://").to_owned();
    TcpStream::connect(&address).await.unwrap();
    std::fs::write(server.store().join("kept"), "").unwrap();

    server.stop().await.unwrap();
    TcpStream::connect(&address).await.unwrap_err();

    server.start_again().await.unwrap();
    assert_eq!((server.url(), server.monitor_url()), (url, monitor));
    assert!(server.store().join("kept").exists());
    TcpStream::connect(&address).await.unwrap();
}

#[tokio::test]
async fn server_that_cannot_start_reports_the_reason() {
    let options = NatsOptions { config: "no_such_setting: 1".to_owned(), ..NatsOptions::default() };
    let error = NatsServer::start(options).await.unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[tokio::test]
#[ignore = "builds for a minute"]
async fn nats_cli_is_built_on_request() {
    let output =
        tokio::process::Command::new(Tool::NatsCli.path().await.unwrap()).arg("--version").output().await.unwrap();
    assert!(output.status.success());
}
