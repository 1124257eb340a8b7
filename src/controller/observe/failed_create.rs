//! The cause for which Pods cannot be created, which only the events of the StatefulSet contain.
//!
//! A quota, a `LimitRange`, a missing priority class, Pod security or a policy rejects the Pod. The status of the
//! StatefulSet only shows that it is missing.

use k8s_openapi::{api::core::v1::Event, jiff::Timestamp};
use kube::{Api, Client, api::ListParams};
use nats_manager_api::NamespacedName;

/// Limit of the event list. More events are not read.
const MAX_EVENTS: u32 = 50;
/// Longest message in bytes. The rest is cut off.
const MAX_MESSAGE_BYTES: usize = 600;

/// Returns the cause in the newest `FailedCreate` event of the StatefulSet, if that event is not older than `since`.
pub(crate) async fn failed_create(
    client: &Client,
    id: &NamespacedName,
    since: Timestamp,
) -> kube::Result<Option<String>> {
    let api: Api<Event> = Api::namespaced(client.clone(), &id.namespace);
    let fields = format!("involvedObject.kind=StatefulSet,involvedObject.name={},reason=FailedCreate", id.name);
    let events = api.list(&ListParams::default().fields(&fields).limit(MAX_EVENTS)).await?.items;
    let newest = events.into_iter().filter_map(|event| Some((last_observed(&event)?, event.message?)));
    let newest = newest.filter(|(observed, _)| *observed >= since).max_by_key(|(observed, _)| *observed);
    Ok(newest.map(|(_, message)| cause_in(&message)))
}

pub(super) fn last_observed(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    series.max(last).max(first)
}

/// Returns the part behind `failed error: ` of a message such as `create Pod n-0 in StatefulSet n failed error: pods
/// "n-0" is forbidden: ...`.
fn cause_in(message: &str) -> String {
    let mut text = message.split_once("failed error: ").map_or(message, |(_, cause)| cause).to_owned();
    text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_create_cause_is_the_apiserver_message() {
        for (message, expected) in [
            (
                "create Pod n-0 in StatefulSet n failed error: pods \"n-0\" is forbidden: exceeded quota: q",
                "pods \"n-0\" is forbidden: exceeded quota: q",
            ),
            ("something else", "something else"),
        ] {
            assert_eq!(cause_in(message), expected);
        }
    }
}
