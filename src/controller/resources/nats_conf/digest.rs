//! Which digest a server tells of the configuration (`config_digest` in `/varz`): how to see that a
//! reload took it.
//!
//! NATS takes the SHA-256 of what it parsed, written as JSON with sorted keys: included files are
//! part of it, variables have their values, sizes are bytes (`conf/parse.go`, 2.14.2).

use std::{collections::BTreeMap, fmt::Write};

use aws_lc_rs::digest::{SHA256, digest};
use nats_manager_api::{Amount, NamespacedName, ResolvedCluster};
use nats_manager_jetstream::Credentials;
use serde::Serialize;

use super::{Layout, NatsConf, Setting};

/// A value of the configuration.
#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Flag(bool),
    Number(u64),
    Text(String),
    List(Vec<Self>),
    Block(BTreeMap<String, Self>),
}

/// The digest of the configuration that a server of `cluster` is to have, where the system account's
/// user is the only one.
pub(crate) fn of(cluster: &ResolvedCluster, layout: Layout, credentials: &Credentials, server: &str) -> String {
    let config = NatsConf::of(cluster, layout);
    let block = |settings: &[Setting]| -> BTreeMap<String, Value> {
        settings.iter().map(|setting| (setting.key.to_owned(), value(&setting.value, &cluster.id, server))).collect()
    };
    let mut all = block(&config.top);
    all.insert("jetstream".to_owned(), Value::Block(block(&config.jet_stream)));
    all.extend(config.cluster.map(|settings| ("cluster".to_owned(), Value::Block(block(&settings)))));
    all.insert("resolver".to_owned(), text("MEMORY"));
    all.extend(accounts(credentials));
    // Types with text keys only always have a JSON; NATS ends it with a line break.
    let mut json = serde_json::to_vec(&all).unwrap_or_default();
    json.push(b'\n');
    let mut hex = "sha256:".to_owned();
    for byte in digest(&SHA256, &json).as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// What the included file says, however it is laid out.
fn accounts(credentials: &Credentials) -> [(String, Value); 2] {
    let map = |pairs: Vec<(&str, Value)>| {
        Value::Block(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let user = map(vec![("user", text(credentials.user())), ("password", text(credentials.password()))]);
    let system = map(vec![("users", Value::List(vec![user]))]);
    [("accounts".to_owned(), map(vec![("$SYS", system)])), ("system_account".to_owned(), text("$SYS"))]
}

/// Reads a value as it is written.
fn value(written: &str, id: &NamespacedName, server: &str) -> Value {
    let unquoted = |quoted: &str| quoted.strip_prefix('"')?.strip_suffix('"').map(str::to_owned);
    match written {
        "$SERVER_NAME" => text(server),
        "$CLUSTER_ADVERTISE" => Value::Text(format!("{server}.{}", id.host())),
        "true" => Value::Flag(true),
        "false" => Value::Flag(false),
        list if list.starts_with('[') => {
            let items = list.trim_matches(['[', ']']).split_whitespace();
            Value::List(items.map(|item| value(item, id, server)).collect())
        }
        other => match (unquoted(other), Amount::parse(other).ok().and_then(Amount::bytes)) {
            (Some(unquoted), _) => Value::Text(unquoted),
            (None, Some(bytes)) => Value::Number(bytes.get()),
            (None, None) => text(other),
        },
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}
