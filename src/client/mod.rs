//! Client of the apiserver: one connection for all requests, which are counted and limited in time.

mod metered;
mod transport;

use axum::http::{HeaderValue, header};
use kube::{
    Client, Config,
    client::{ClientBuilder, ConfigExt},
};
use tower::ServiceBuilder;

use self::{metered::Metered, transport::Transport};
use crate::telemetry::Metrics;

/// Builds a client for `config` with the user agent `nats-manager/<version>`. It counts every request in `metrics`, and
/// limits all but watches to 30 s. Nothing is retried unseen: the manager counts, logs and backs off itself.
///
/// # Errors
/// When `config` has credentials or certificates that cannot be used, or a proxy.
pub(crate) fn client(mut config: Config, metrics: &Metrics) -> kube::Result<Client> {
    let agent = HeaderValue::from_static(concat!("nats-manager/", env!("CARGO_PKG_VERSION")));
    config.headers.push((header::USER_AGENT, agent));
    if config.proxy_url.is_some() {
        // The error of kube names the proxy, and the feature for it, which is not enabled.
        return Ok(ClientBuilder::try_from(config)?.build());
    }
    let service = ServiceBuilder::new()
        .layer(Metered::new(metrics))
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .service(Transport::new(&config)?);
    Ok(Client::new(service, config.default_namespace))
}

#[cfg(test)]
mod tests;
