//! Has streams choose another leader.

use std::time::Duration;

use async_nats::{
    ServerAddr,
    jetstream::{self, response::Response},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::contents::{Unreachable, connect};

/// How long all of it may take, connecting included.
const LIMIT: Duration = Duration::from_secs(10);

/// Has streams of the account of clients without credentials choose another leader, among the copies that
/// are current.
pub async fn step_down(address: &ServerAddr, streams: &[String]) -> Result<(), Unreachable> {
    timeout(LIMIT, ask_all(address, streams)).await.unwrap_or(Err(Unreachable::Timeout))
}

async fn ask_all(address: &ServerAddr, streams: &[String]) -> Result<(), Unreachable> {
    let context = jetstream::new(connect(address).await?);
    for stream in streams {
        let failed = |cause: &dyn std::fmt::Display| Unreachable::Request(format!("step-down of {stream}: {cause}"));
        let answer = context.request(format!("STREAM.LEADER.STEPDOWN.{stream}"), &json!({})).await;
        match answer.map_err(|error| failed(&error))? {
            Response::Ok::<Value>(_) => {}
            Response::Err { error } => return Err(failed(&error)),
        }
    }
    Ok(())
}
