//! The default NATS resource together with the stream that Eventing creates by default.

use std::{
    error::Error,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use async_nats::jetstream::{
    self, ErrorCode,
    consumer::pull,
    context::{Context, PublishError},
    stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
};
use futures::{StreamExt, TryStreamExt, stream};
use nats_manager_harness::{eventually, http_get, promtool};
use serde_json::{Value, json};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{interval, sleep},
};

use crate::{
    storage::storage_becomes,
    streams::STREAM,
    typed::User,
    world::{SOON, real},
};

const MEBIBYTE: usize = 1 << 20;
const LIMIT: usize = 700 * MEBIBYTE;
/// Default of `max_payload`.
const MESSAGE: usize = MEBIBYTE;
/// Subject of an event.
pub const EVENT: &str = "kyma.sap.kyma.custom.commerce.order.created.v1";
/// Pause between two messages while the stream fills up: the last 20 % take about two minutes.
const PAUSE: Duration = Duration::from_millis(800);
const SCRAPE_INTERVAL: Duration = Duration::from_secs(5);
const SCRAPED: [&str; 2] = [
    r#"nats_manager_jetstream_stream_used_bytes{stream="sap"}"#,
    r#"nats_manager_jetstream_stream_limit_bytes{stream="sap"}"#,
];
const FIRING: &str = r#"ALERTS{alertname="NATSStreamNearlyFull", alertstate="firing", stream="sap"}"#;

/// Returns the configuration of the stream of Eventing with the defaults of its module. They are in the repository
/// kyma-project/eventing-manager:
/// - `api/operator/v1alpha1/eventing_types.go`: `natsStreamStorageType: File`, `natsStreamReplicas: 3`,
///   `natsStreamMaxSize: 700Mi`, `natsMaxMsgsPerTopic: 1000000`
/// - `pkg/env/nats_config.go`: `JS_STREAM_NAME: sap`, `JS_STREAM_RETENTION_POLICY: interest`,
///   `JS_STREAM_DISCARD_POLICY: new`, `JS_STREAM_MAX_MSGS: -1`
/// - `pkg/backend/jetstream/utils.go`, `getStreamConfig`: the subject `kyma.>`
pub fn stream_of_eventing() -> Config {
    Config {
        name: STREAM.to_owned(),
        subjects: vec!["kyma.>".to_owned()],
        storage: StorageType::File,
        num_replicas: 3,
        retention: RetentionPolicy::Interest,
        discard: DiscardPolicy::New,
        max_messages: -1,
        max_bytes: i64::try_from(LIMIT).unwrap(),
        max_messages_per_subject: 1_000_000,
        ..Config::default()
    }
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn default_modules_raise_the_alert_before_the_first_event_is_rejected() {
    real(async |world| {
        let manager = world.manager().await;
        world.create_sample("default").await;
        world.state_becomes("Ready").await;
        let mut context = world.nats().await;
        context.set_timeout(SOON);
        eventually("the stream is created", SOON, || async {
            context.create_stream(stream_of_eventing()).await.map(|_| true)
        })
        .await;
        make_stuck_consumer(&context).await;
        let sizes = User::new(world).await.follows("docs/user/sizing.md", "run").await;
        // 80 % of 1Gi.
        assert!(sizes.contains("858993459B") && sizes.contains("sap"), "{sizes}");

        let begun = Instant::now();
        fill(&context, LIMIT / MESSAGE * 79 / 100).await;
        println!("79 % filled in {:?}", begun.elapsed());
        let scrapes = Scrapes::start(manager.metrics);
        let publishing = tokio::spawn(publish_until_rejected(context));
        let message = storage_becomes(world, "StreamNearlyFull", "Warning").await;
        assert!(message.contains("sap is 8") && message.contains("of 700Mi"), "{message}");
        assert!(message.contains("spec.backend.config.natsStreamMaxSize"), "{message}");
        assert!(!publishing.is_finished(), "the condition came after the first rejection");

        // Eventing answers this error with 507: `JSStoreFailedCode` in pkg/sender/jetstream/jetstream.go of
        // kyma-project/eventing-publisher-proxy.
        let error = publishing.await.unwrap();
        let source = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
        assert_eq!(source.map(jetstream::Error::error_code), Some(ErrorCode::STREAM_STORE_FAILED), "{error:?}");
        let usage = scrapes.stop().await;
        assert!(usage.values.len() > 10, "{usage:?}");
        if promtool(&["--version"], Path::new(".")).is_none() {
            return;
        }
        let firing = usage.first_firing().unwrap_or_else(|| panic!("the alert does not fire: {usage:?}"));
        println!("the alert fires {:?} before the first rejection", usage.duration.saturating_sub(firing));
        assert!(Duration::ZERO < firing && firing < usage.duration, "{firing:?}: {usage:?}");
    });
}

/// Creates a consumer that never acknowledges, as that of a subscription whose sink fails.
async fn make_stuck_consumer(context: &Context) {
    let config = pull::Config {
        durable_name: Some("stuck".to_owned()),
        filter_subject: EVENT.to_owned(),
        ..pull::Config::default()
    };
    eventually("the consumer is created", SOON, || async {
        context.create_consumer_on_stream(config.clone(), STREAM).await.map(|_| true)
    })
    .await;
}

/// Publishes this number of events, several at a time, each of which must be acknowledged.
async fn fill(context: &Context, count: usize) {
    let published: Result<Vec<()>, PublishError> = stream::iter(0..count)
        .map(|_| async { context.publish(EVENT, vec![b'x'; MESSAGE].into()).await?.await.map(|_| ()) })
        .buffered(8)
        .try_collect()
        .await;
    published.unwrap();
}

/// Publishes one event after the other, and returns the error of the first that is not acknowledged.
async fn publish_until_rejected(context: Context) -> PublishError {
    loop {
        let published = match context.publish(EVENT, vec![b'x'; MESSAGE].into()).await {
            Ok(acknowledgement) => acknowledgement.await.map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = published {
            return error;
        }
        sleep(PAUSE).await;
    }
}

/// Background task that scrapes the manager, as Prometheus does.
struct Scrapes {
    begun: Instant,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<[Option<f64>; SCRAPED.len()]>>,
}

/// Values of [`SCRAPED`] at multiples of [`SCRAPE_INTERVAL`].
#[derive(Debug)]
struct Usage {
    values: Vec<[Option<f64>; SCRAPED.len()]>,
    /// Time from the first scrape to the end.
    duration: Duration,
}

impl Scrapes {
    /// Starts the task.
    fn start(address: SocketAddr) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut ticks, mut values) = (interval(SCRAPE_INTERVAL), Vec::new());
            loop {
                tokio::select! {
                    _ = &mut stopped => return values,
                    _ = ticks.tick() => values.push(scrape(address).await),
                }
            }
        });
        Self { begun: Instant::now(), stop, task }
    }

    /// Stops the task.
    async fn stop(self) -> Usage {
        let duration = self.begun.elapsed();
        self.stop.send(()).unwrap();
        Usage { values: self.task.await.unwrap(), duration }
    }
}

async fn scrape(address: SocketAddr) -> [Option<f64>; SCRAPED.len()] {
    let (_, text) = http_get(address, "/metrics").await.unwrap();
    SCRAPED.map(|series| text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()))
}

impl Usage {
    /// Returns the time of the first evaluation of the rules in which [`FIRING`] has a sample.
    fn first_firing(&self) -> Option<Duration> {
        let folder = tempfile::tempdir().unwrap();
        let rules = format!("{}/config/monitoring/rules.yaml", env!("CARGO_MANIFEST_DIR"));
        let rules: Value = serde_saphyr::from_str(&std::fs::read_to_string(rules).unwrap()).unwrap();
        // JSON is YAML.
        std::fs::write(folder.path().join("rules.yaml"), rules["spec"].to_string()).unwrap();
        let mut times = (0..u32::try_from(self.values.len()).unwrap()).map(|index| SCRAPE_INTERVAL * index);
        times.find(|time| {
            std::fs::write(folder.path().join("test.yaml"), self.fires_at(*time).to_string()).unwrap();
            promtool(&["test", "rules", "test.yaml"], folder.path()).is_some_and(|result| result.is_ok())
        })
    }

    /// Returns a test of rules that succeeds if [`FIRING`] has one sample at this time.
    fn fires_at(&self, time: Duration) -> Value {
        let values = |series: usize| {
            let text = |values: &[Option<f64>; SCRAPED.len()]| values[series].map_or("_".to_owned(), |v| v.to_string());
            self.values.iter().map(text).collect::<Vec<_>>().join(" ")
        };
        let series = (0..SCRAPED.len()).map(|index| json!({"series": SCRAPED[index], "values": values(index)}));
        let interval = format!("{}s", SCRAPE_INTERVAL.as_secs());
        json!({
            "rule_files": ["rules.yaml"],
            "evaluation_interval": interval,
            "tests": [{
                "interval": interval,
                "input_series": series.collect::<Vec<_>>(),
                "promql_expr_test": [{
                    "expr": format!("count({FIRING})"),
                    "eval_time": format!("{}s", time.as_secs()),
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }],
            }],
        })
    }
}
