//! The digest that a server reports of its configuration (`config_digest` in `/varz`), which shows that it has loaded
//! it.
//!
//! NATS computes the SHA-256 of the parsed configuration as JSON with sorted keys. Included files are part of it,
//! variables have their values, and sizes are bytes (`conf/parse.go`, 2.14.2).

use std::{collections::BTreeMap, fmt::Write};

use aws_lc_rs::digest::{SHA256, digest};
use nats_manager_api::{Amount, ResolvedCluster};
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

/// Returns the digest of the configuration that a server of `cluster` has to load, where the user of the system account
/// is the only user.
pub(crate) fn of(cluster: &ResolvedCluster, layout: Layout, credentials: &Credentials, server: &str) -> String {
    let config = NatsConf::of(cluster, layout);
    let block = |settings: &[Setting]| -> BTreeMap<String, Value> {
        settings
            .iter()
            .map(|setting| (setting.key.to_owned(), value(&setting.value, &cluster.host(), server)))
            .collect()
    };
    let mut all = block(&config.top_level);
    all.insert("jetstream".to_owned(), Value::Block(block(&config.jet_stream)));
    all.extend(config.cluster.map(|settings| ("cluster".to_owned(), Value::Block(block(&settings)))));
    all.insert("resolver".to_owned(), text_value("MEMORY"));
    all.extend(accounts(credentials));
    // Types whose keys are texts are always serializable. NATS appends a line break.
    let mut json = serde_json::to_vec(&all).unwrap_or_default();
    json.push(b'\n');
    let mut hex = "sha256:".to_owned();
    for byte in digest(&SHA256, &json).as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Returns the settings in the included file, regardless of its layout.
fn accounts(credentials: &Credentials) -> [(String, Value); 2] {
    let map = |pairs: Vec<(&str, Value)>| {
        Value::Block(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let user = map(vec![("user", text_value(credentials.user())), ("password", text_value(credentials.password()))]);
    let system = map(vec![("users", Value::List(vec![user]))]);
    [("accounts".to_owned(), map(vec![("$SYS", system)])), ("system_account".to_owned(), text_value("$SYS"))]
}

/// Parses a value as NATS does.
fn value(text: &str, host: &str, server: &str) -> Value {
    let without_quotes = |quoted: &str| quoted.strip_prefix('"')?.strip_suffix('"').map(str::to_owned);
    match text {
        "$SERVER_NAME" => text_value(server),
        "$CLUSTER_ADVERTISE" => Value::Text(format!("{server}.{host}")),
        "true" => Value::Flag(true),
        "false" => Value::Flag(false),
        list if list.starts_with('[') => {
            let items = list.trim_matches(['[', ']']).split_whitespace();
            Value::List(items.map(|item| value(item, host, server)).collect())
        }
        other => match (without_quotes(other), Amount::parse(other).ok().and_then(Amount::bytes)) {
            (Some(unquoted), _) => Value::Text(unquoted),
            (None, Some(bytes)) => Value::Number(bytes.get()),
            (None, None) => text_value(other),
        },
    }
}

fn text_value(text: &str) -> Value {
    Value::Text(text.to_owned())
}
