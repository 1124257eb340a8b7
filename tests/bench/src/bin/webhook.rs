//! Server of `cargo xtask bench admission`: the webhook of the manager without a cluster, or its floor.
//!
//! The webhook has the router, the server, the TLS configuration, the limits and the runtime of the manager. It counts
//! reviews, and builds cluster facts for each of them, from constants instead of caches. The floor has the same server,
//! and answers every review with a constant after it has read the body.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    error::Error,
    fs,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use http_body_util::{BodyExt, Limited};
use nats_manager_api::{
    Bytes, DeployedCluster, FileStore, NamespacedName, Spread,
    rules::{ClusterFacts, StorageClasses},
};
use nats_manager_webhook::{
    FactSource, LARGEST_BODY, Observer, Rejection, RequestTimeouts, ReviewOutcome, ServerOptions, TlsIdentity,
    WebhookKind, router, serve,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

const USAGE: &str = "usage: bench-webhook webhook|rules|floor PORT CERTIFICATES";
/// Response of the floor, as large as that of the webhook to the first workload.
const CONSTANT: &str = concat!(
    r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"#,
    r#""uid":"705ab4f5-6393-11e8-b7cc-42010a800002","allowed":true}}"#
);
/// Bounds of the buckets in seconds, as many as the manager has.
const BUCKETS: [f64; 8] = [0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1, 1.0];

/// Facts about the resource of the reviews: it may be created.
#[derive(Clone, Copy)]
enum Facts {
    /// Those of a cluster with three zones and three StorageClasses, in which a stored resource is deployed.
    Deployed,
    /// None but three zones, as the cases of the rules have them.
    Zones,
}

impl FactSource for Facts {
    fn cluster_facts(&self, _: &NamespacedName, uid: Option<&str>) -> ClusterFacts {
        let zones = ClusterFacts { zones: Some(3), ..ClusterFacts::default() };
        match self {
            Self::Zones => zones,
            Self::Deployed => ClusterFacts {
                deployed: uid.map(|_| deployed()),
                storage_classes: Some(storage_classes()),
                volume_classes: BTreeSet::from([CLASS.to_owned()]),
                ..zones
            },
        }
    }

    fn allowed(&self) -> Option<NamespacedName> {
        Some(NamespacedName::new("kyma-system", "eventing-nats"))
    }
}

/// StorageClass of the sample with all fields.
const CLASS: &str = "gce-sc-hdd";

fn deployed() -> DeployedCluster {
    DeployedCluster {
        size: 3,
        file_store: FileStore::Volume { size: Bytes::gibi(2), class: Some(CLASS.to_owned()) },
        spread: Spread::Hard,
        memory_store: Some(Bytes::mebi(256)),
        restarted_for_memory_store: None,
    }
}

fn storage_classes() -> StorageClasses {
    let all = BTreeMap::from(["default", CLASS, "premium"].map(|name| (name.to_owned(), true)));
    StorageClasses { all, default: Some("default".to_owned()) }
}

/// Counts reviews as the manager does.
struct Metrics {
    reviews: Family<ReviewLabels, Counter>,
    duration: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    webhook: &'static str,
    outcome: &'static str,
}

impl Observer for Metrics {
    fn reviewed(&self, webhook: WebhookKind, outcome: ReviewOutcome, took: Duration) {
        let labels = ReviewLabels { webhook: webhook.as_str(), outcome: outcome.as_str() };
        self.reviews.get_or_create(&labels).inc();
        self.duration.observe(took.as_secs_f64());
    }

    fn handshake_rejected(&self, _: Rejection) {}
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [kind, port, certificates] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(kind, port, certificates) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-webhook: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until SIGTERM, on the runtime of the manager.
fn run(kind: &str, port: &str, certificates: &str) -> Result<(), Box<dyn Error>> {
    let port: u16 = port.parse()?;
    let metrics = Arc::new(Metrics { reviews: Family::default(), duration: Histogram::new(BUCKETS) });
    let router = match kind {
        "webhook" => router(Arc::new(Facts::Deployed), metrics.clone(), RequestTimeouts::default()),
        "rules" => router(Arc::new(Facts::Zones), metrics.clone(), RequestTimeouts::default()),
        "floor" => floor(),
        _ => return Err(USAGE.into()),
    };
    let identity = identity(certificates)?;
    let options = ServerOptions { lame_duck: Duration::ZERO, ..ServerOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let mut terminated = signal(SignalKind::terminate())?;
        let stop = async move {
            terminated.recv().await;
        };
        Ok(serve(listener, identity, router, metrics, options, stop).await?)
    })
}

/// Reads `tls.crt` and `tls.key` of a folder.
fn identity(folder: &str) -> Result<TlsIdentity, Box<dyn Error>> {
    let chain =
        CertificateDer::pem_slice_iter(&fs::read(format!("{folder}/tls.crt"))?).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(format!("{folder}/tls.key"))?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
    Ok(TlsIdentity { resolver: Arc::new(SingleCertAndKey::from(certified)), client_verifier: None })
}

/// Builds the router that answers with a constant.
fn floor() -> Router {
    WebhookKind::ALL.iter().fold(Router::new(), |routes, webhook| routes.route(webhook.path(), post(answer)))
}

/// Reads the body within the limit of the webhook.
async fn answer(body: Body) -> Response {
    match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(_) => ([(CONTENT_TYPE, "application/json")], CONSTANT).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}
