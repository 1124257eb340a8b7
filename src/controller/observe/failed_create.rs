//! Why Pods cannot be created: the apiserver's sentence, which is only in the StatefulSet's events.
//!
//! A quota, a `LimitRange`, a priority class that is gone, Pod security or a policy rejects the Pod; the StatefulSet's status
//! says no more than that it is missing.

use k8s_openapi::{api::core::v1::Event, jiff::Timestamp};
use kube::{Api, Client, api::ListParams};
use nats_manager_api::NamespacedName;

/// The most events that are read.
const MOST: u32 = 50;
/// The longest message, in bytes.
const LONGEST: usize = 600;

/// Returns the message of the newest `FailedCreate` event of the StatefulSet, if it is not older than `since`.
pub(crate) async fn failed_create(
    client: &Client,
    id: &NamespacedName,
    since: Timestamp,
) -> kube::Result<Option<String>> {
    let api: Api<Event> = Api::namespaced(client.clone(), &id.namespace);
    let fields = format!("involvedObject.kind=StatefulSet,involvedObject.name={},reason=FailedCreate", id.name);
    let events = api.list(&ListParams::default().fields(&fields).limit(MOST)).await?.items;
    let newest = events.into_iter().filter_map(|event| Some((last_seen(&event)?, event.message?)));
    let newest = newest.filter(|(seen, _)| *seen >= since).max_by_key(|(seen, _)| *seen);
    Ok(newest.map(|(_, message)| sentence(&message)))
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    series.max(last).max(first)
}

/// `create Pod n-0 in StatefulSet n failed error: pods "n-0" is forbidden: ...`: the part behind `error: `.
fn sentence(message: &str) -> String {
    let mut text = message.split_once("failed error: ").map_or(message, |(_, cause)| cause).to_owned();
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_is_the_apiservers() {
        for (message, expected) in [
            (
                "create Pod n-0 in StatefulSet n failed error: pods \"n-0\" is forbidden: exceeded quota: q",
                "pods \"n-0\" is forbidden: exceeded quota: q",
            ),
            ("something else", "something else"),
        ] {
            assert_eq!(sentence(message), expected);
        }
    }
}
