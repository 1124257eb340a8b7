//! In-process latency of reviews, from the request to the response, on one thread as in the manager. Beside each, the
//! time of one pass over the same body by which `serde_json` checks it and nothing else: the handler needs one as well.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../tests/world/mod.rs"]
mod world;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::Request};
use nats_manager_webhook::{LARGEST_BODY, RequestTimeouts, WebhookKind, router};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use tokio::runtime::Builder;
use tower::ServiceExt;
use world::{FixedFacts, Uncounted, create, full_sample, spec, update, with};

/// Upper bound for the 99th percentile of reviews of ordinary size.
const MAX_P99: Duration = Duration::from_millis(1);
/// Number of times that each review of ordinary size is sent, and the rounds in which they take turns.
const TIMES: usize = 20_000;
const ROUNDS: usize = 20;

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

/// Measures every kind of review. Panics if the 99th percentile of an ordinary one reaches [`MAX_P99`].
async fn measure() {
    let router = router(Arc::new(FixedFacts::default()), Arc::new(Uncounted), RequestTimeouts::default());
    let full = full_spec(50, 100);
    let changed = with(&full, "/logging/debug", json!(true));
    let sample = full_sample();
    let scaled = with(&sample, "/cluster/size", json!(5));
    let reviews = [
        ("default, create", create(&spec())),
        ("sample, create", create(&sample)),
        ("sample, unchanged", update(&sample, &sample)),
        ("sample, scaled", update(&sample, &scaled)),
        ("full, create", create(&full)),
        ("full, update", update(&full, &changed)),
    ]
    .map(|(what, review)| (what, Vec::from(review.to_string())));
    let mut kinds: Vec<Kind<'_>> = [WebhookKind::Mutate, WebhookKind::Validate]
        .into_iter()
        .flat_map(|webhook| reviews.iter().map(move |(what, body)| Kind::new(webhook, what, body)))
        .collect();
    // In turns: the speed of a machine changes within seconds.
    for _ in 0..ROUNDS {
        for kind in &mut kinds {
            kind.repeat(&router, TIMES / ROUNDS).await;
        }
    }
    let slowest = kinds.iter_mut().map(Kind::print).max().unwrap();
    let largest = update(&full_spec(1000, 220), &full_spec(1000, 219));
    repeat(&router, "largest that keeps the rules, update", WebhookKind::Validate, largest.to_string().into(), 200)
        .await;
    repeat(&router, "8 MiB of braces", WebhookKind::Validate, braces(LARGEST_BODY), 20).await;
    repeat(&router, "64 KiB of braces", WebhookKind::Validate, braces(64 << 10), 1000).await;
    measure_beside_large_bodies(&router, create(&full).to_string().into()).await;
    assert!(slowest < MAX_P99, "p99 of {slowest:?} is not below {MAX_P99:?}");
}

/// Measures reviews of ordinary size while large ones arrive without a pause.
async fn measure_beside_large_bodies(router: &Router, small: Vec<u8>) {
    let large = braces(LARGEST_BODY);
    let background = tokio::spawn({
        let router = router.clone();
        async move {
            loop {
                post(&router, WebhookKind::Validate, large.clone()).await;
            }
        }
    });
    repeat(router, "full, create, beside 8 MiB ones", WebhookKind::Validate, small, 2000).await;
    background.abort();
}

/// Sends a review `times` times, and prints the percentiles.
async fn repeat(router: &Router, what: &str, webhook: WebhookKind, body: Vec<u8>, times: usize) {
    let mut kind = Kind::new(webhook, what, &body);
    kind.repeat(router, times).await;
    kind.print();
}

/// Review of one kind, with the times of its reviews and of the passes over its body.
struct Kind<'a> {
    webhook: WebhookKind,
    what: &'a str,
    body: &'a [u8],
    took: Vec<Duration>,
    passes: Vec<Duration>,
}

impl<'a> Kind<'a> {
    fn new(webhook: WebhookKind, what: &'a str, body: &'a [u8]) -> Self {
        Self { webhook, what, body, took: Vec::new(), passes: Vec::new() }
    }

    /// Sends the review and passes over its body, `times` times.
    async fn repeat(&mut self, router: &Router, times: usize) {
        for _ in 0..times {
            let body = self.body.to_vec();
            let begun = Instant::now();
            post(router, self.webhook, body).await;
            self.took.push(begun.elapsed());
            let begun = Instant::now();
            black_box(serde_json::from_slice::<IgnoredAny>(self.body).unwrap());
            self.passes.push(begun.elapsed());
            tokio::task::yield_now().await;
        }
    }

    /// Prints the percentiles, and returns the 99th.
    fn print(&mut self) -> Duration {
        let [p50, p99, max] = percentiles(&mut self.took, [50, 99, 100]);
        let [pass] = percentiles(&mut self.passes, [50]);
        println!(
            "{:<9} {:<38} {:>8} bytes  p50 {p50:>9.1?}  p99 {p99:>9.1?}  max {max:>9.1?}  one pass {pass:>9.1?}",
            self.webhook.as_str(),
            self.what,
            self.body.len(),
        );
        p99
    }
}

/// Sorts the times, and returns the percentiles.
fn percentiles<const N: usize>(times: &mut [Duration], percents: [usize; N]) -> [Duration; N] {
    times.sort_unstable();
    percents.map(|percent| times[(times.len() - 1) * percent / 100])
}

/// Sends one review. Panics on a status of 500 or more.
async fn post(router: &Router, webhook: WebhookKind, body: Vec<u8>) {
    let request = Request::post(webhook.path()).header("content-type", "application/json").body(Body::from(body));
    let response = router.clone().oneshot(request.unwrap()).await.unwrap();
    assert!(response.status().as_u16() < 500);
}

/// Builds a spec with every field set, `entries` labels and annotations, and `length` characters in each annotation.
fn full_spec(entries: usize, length: usize) -> Value {
    let map = |kind: &str, value: &str| -> Value {
        (0..entries).map(|n| (format!("example.com/{kind}-{n}"), json!(value))).collect::<Map<_, _>>().into()
    };
    let mut full = with(&spec(), "/labels", map("label", "some-value"));
    full["annotations"] = map("annotation", &"x".repeat(length));
    full["jetStream"]["fileStorage"] = json!({"enabled": true, "size": "20Gi", "storageClassName": "fast"});
    full["resources"] = json!({
        "limits": {"cpu": "2", "memory": "8Gi", "ephemeral-storage": "1Gi", "example.com/disk": "1"},
        "requests": {"cpu": "500m", "memory": "2Gi", "ephemeral-storage": "1Gi", "example.com/disk": "1"},
    });
    full
}

/// Builds a review of at most `length` bytes. Its spec is the JSON that takes the most memory per byte.
fn braces(length: usize) -> Vec<u8> {
    let review = create(&json!("SPEC")).to_string();
    let room = length - review.len() - 100;
    let spec = format!("{{\"x\":[{}0]}}", "{\"\":0},".repeat(room / 7));
    review.replacen("\"SPEC\"", &spec, 1).into()
}
