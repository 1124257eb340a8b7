//! Check of our `nats.conf` by the NATS server.

use std::{fs, path::Path, process::Command};

use nats_manager_harness::{NatsVersion, Tool};
use serde_json::json;

use super::{FILES, children, read};

#[test]
fn server_accepts_our_configuration() {
    let server = Tool::NatsServer(NatsVersion::selected().unwrap()).path_blocking().unwrap();
    for (file, text) in FILES {
        check(&server, file, &read(text).0);
    }
    let mut nats = read(FILES[0].1).0;
    for (case, stores) in [
        ("memory only", json!({"fileStorage": {"enabled": false}})),
        ("files only", json!({"memStorage": {"enabled": false}})),
    ] {
        nats.spec.jet_stream = serde_json::from_value(stores).unwrap();
        check(&server, case, &nats);
    }
}

fn check(server: &Path, case: &str, nats: &nats_manager_api::Nats) {
    let folder = tempfile::tempdir().unwrap();
    let children = children(nats);
    let config = folder.path().join("nats.conf");
    fs::write(&config, &children.config_map.data.unwrap()["nats.conf"]).unwrap();
    fs::create_dir(folder.path().join("accounts")).unwrap();
    fs::write(folder.path().join("accounts/resolver.conf"), &children.secret.data.unwrap()["resolver.conf"].0).unwrap();
    let output = Command::new(server)
        .arg("-t")
        .arg("-c")
        .arg(&config)
        .env("SERVER_NAME", "eventing-nats-0")
        .env("CLUSTER_ADVERTISE", "eventing-nats-0.eventing-nats.kyma-system.svc.cluster.local")
        .output()
        .unwrap();
    assert!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stderr));
}
