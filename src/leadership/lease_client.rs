//! Client for the lease library. It records when a renewal succeeded, which the library does not expose, and lets no
//! request outlast the lease.

use std::time::Duration;

use axum::{
    BoxError,
    http::{Method, Request},
};
use kube::{Client, client::Body};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// Limit for one request. Renewal begins 7 s before leadership ends, which leaves time for a request that hangs and for
/// one more.
const REQUEST_LIMIT: Duration = Duration::from_secs(3);

/// Wraps a client and records when the last successful write was sent, at first the current time. Measuring from the
/// send time is conservative: other replicas see a later deadline.
pub(super) fn lease_client(client: Client, namespace: &str) -> (Client, watch::Receiver<Instant>) {
    let (renewed, renewals) = watch::channel(Instant::now());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, renewed) = (client.clone(), renewed.clone());
        async move {
            let sent = Instant::now();
            let is_write = *request.method() == Method::PATCH;
            let response = timeout(REQUEST_LIMIT, client.send(request)).await??;
            if is_write && response.status().is_success() {
                renewed.send_replace(sent);
            }
            Ok::<_, BoxError>(response)
        }
    });
    (Client::new(service, namespace), renewals)
}
