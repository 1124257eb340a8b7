//! TLS server of this replica, and the futures that supply it.

use std::{io, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use kube::Client;
use nats_manager_certs::{ClientVerifier, Resolver};
use nats_manager_webhook::{Observer, RequestTimeouts, ServeError, ServerOptions, TlsIdentity, router, serve};
use tokio::net::TcpListener;

use super::{
    WebhookSettings, authority::CaController, ca_secret::CaSecret, certificate::ServingCertificate,
    client_ca::ClientCa, facts::CachedFacts, watch::watch_all,
};
use crate::{
    telemetry::{Metrics, Readiness},
    watch::{Caches, Scope, WatchTasks},
};

/// Webhook of this replica, listening but not yet serving.
pub(crate) struct WebhookServer {
    listener: TcpListener,
    facts: CachedFacts,
    certificate: ServingCertificate,
    client_ca: Option<ClientCa>,
    watch_tasks: WatchTasks,
    ca_controller: CaController,
    metrics: Metrics,
}

/// Futures of the webhook, all of which must be polled.
pub(crate) struct WebhookTasks {
    /// Caches and the serving certificate, a future that never ends.
    pub supply: BoxFuture<'static, ()>,
    /// Server, a future that ends after the drain that follows `stop`.
    pub server: BoxFuture<'static, Result<(), ServeError>>,
    /// Controller that the leader runs for all replicas, and that never ends.
    pub ca_controller: CaController,
}

/// Failure to listen for the webhook.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for the webhook: {cause}")]
pub struct ListenError {
    address: String,
    cause: io::Error,
}

/// Time until the endpoints of the Service exclude this Pod on every node.
const LAME_DUCK: Duration = Duration::from_secs(5);

impl WebhookServer {
    /// Listens, and prepares the watches. Returns `None` if the webhook is disabled.
    pub(crate) async fn bind(
        client: &Client,
        scope: &Scope,
        caches: &Arc<Caches>,
        settings: WebhookSettings,
        metrics: &Metrics,
        readiness: &Readiness,
    ) -> Result<Option<Self>, ListenError> {
        let failed = |cause| ListenError { address: settings.bind.to_string(), cause };
        let Some(listener) = settings.bind.listen().await.map_err(failed)? else { return Ok(None) };
        let own_namespace = &scope.own_namespace;
        let (webhook_caches, watch_tasks) = watch_all(client, own_namespace, &settings, metrics, readiness);
        let secret = CaSecret {
            client: client.clone(),
            webhook_caches: webhook_caches.clone(),
            namespace: own_namespace.clone(),
        };
        let certificate = ServingCertificate {
            webhook_caches: webhook_caches.clone(),
            secret: secret.clone(),
            settings: settings.clone(),
            resolver: Arc::new(Resolver::new()),
            trusted: readiness.check("webhook-certificate", "waiting for the serving certificate"),
            metrics: metrics.clone(),
        };
        let client_ca = settings.client_ca.clone().map(|file| ClientCa {
            file,
            verifier: Arc::new(ClientVerifier::new()),
            loaded: readiness.check("webhook-client-ca", "waiting for the CA of clients"),
            metrics: metrics.clone(),
        });
        let ca_controller = CaController {
            client: client.clone(),
            webhook_caches: webhook_caches.clone(),
            secret,
            settings,
            own_namespace: own_namespace.clone(),
            trusted: certificate.trusted.clone(),
            metrics: metrics.clone(),
        };
        let facts = CachedFacts { scope: scope.clone(), caches: caches.clone(), webhook_caches };
        Ok(Some(Self { listener, facts, certificate, client_ca, watch_tasks, ca_controller, metrics: metrics.clone() }))
    }

    /// Serves until `stop`, then drains.
    pub(crate) fn start(self, stop: impl Future<Output = ()> + Send + 'static) -> WebhookTasks {
        let Self { listener, facts, certificate, client_ca, watch_tasks, ca_controller, metrics } = self;
        let identity = TlsIdentity {
            resolver: certificate.resolver.clone(),
            client_verifier: client_ca.as_ref().map(|client_ca| client_ca.verifier.clone() as _),
        };
        let observer: Arc<dyn Observer> = Arc::new(metrics);
        let router = router(Arc::new(facts), observer.clone(), RequestTimeouts::default());
        let options = ServerOptions { lame_duck: LAME_DUCK, ..ServerOptions::default() };
        let supply = async {
            tokio::join!(watch_tasks, certificate.run(), async {
                if let Some(client_ca) = client_ca {
                    client_ca.run().await;
                }
            });
        };
        WebhookTasks {
            supply: supply.boxed(),
            server: serve(listener, identity, router, observer, options, stop).boxed(),
            ca_controller,
        }
    }
}
