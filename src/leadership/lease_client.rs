//! The client that the lease library is given: it notes when a renewal succeeded, which the
//! library does not tell, and lets no request outlast the lease.

use std::time::Duration;

use axum::BoxError;
use axum::http::{Method, Request};
use kube::Client;
use kube::client::Body;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// Renewal begins 7 s before leadership ends: time for one that hangs and one more.
const REQUEST_LIMIT: Duration = Duration::from_secs(3);

/// A client on top of another, and the time at which the last write that succeeded was sent (at
/// first: now). Counted from there, the lease runs out for others not before it does for us.
pub(super) fn lease_client(client: Client, namespace: &str) -> (Client, watch::Receiver<Instant>) {
    let (renewed, renewals) = watch::channel(Instant::now());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, renewed) = (client.clone(), renewed.clone());
        async move {
            let sent = Instant::now();
            let writes = *request.method() == Method::PATCH;
            let response = timeout(REQUEST_LIMIT, client.send(request)).await??;
            if writes && response.status().is_success() {
                renewed.send_replace(sent);
            }
            Ok::<_, BoxError>(response)
        }
    });
    (Client::new(service, namespace), renewals)
}
