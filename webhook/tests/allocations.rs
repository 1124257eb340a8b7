//! Allocations of a review, from the bytes of its request to those of its response, through the router.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::print_stdout)]

mod world;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{Request, Response},
};
use nats_manager_webhook::{RequestTimeouts, WebhookKind, router};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;
use world::{FixedFacts, create, full_sample, spec, update, with};

/// Counts the allocations of a review that the server has seen before, so that what is allocated once is not counted.
fn allocations(runtime: &Runtime, router: &Router, webhook: WebhookKind, review: &str) -> u64 {
    let mut count = 0;
    for _ in 0..2 {
        let request = Request::post(webhook.path()).header("content-type", "application/json");
        let (request, router) = (request.body(Body::from(review.to_owned())).unwrap(), router.clone());
        let mut response = Response::new(Body::empty());
        count =
            allocation_counter::measure(|| response = runtime.block_on(router.oneshot(request)).unwrap()).count_total;
        assert_eq!(response.status(), 200);
        assert!(response.body().size_hint().exact().is_some_and(|length| length > 0));
    }
    count
}

#[test]
fn allocations_of_a_review_stay_within_limits() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let router = router(Arc::new(FixedFacts::default()), Arc::new(world::Uncounted), RequestTimeouts::default());
    let full = full_sample();
    let scaled = with(&full, "/cluster/size", json!(5));
    let even = with(&full, "/cluster/size", json!(4));
    let rows = [
        ("create, defaults", create(&spec()), [35, 28]),
        ("create, full spec", create(&full), [56, 56]),
        ("create, full spec, rejected", create(&even), [79, 79]),
        ("update, full spec, unchanged", update(&full, &full), [56, 56]),
        ("update, full spec, scaled", update(&full, &scaled), [56, 56]),
        ("update, full spec, rejected", update(&full, &even), [123, 123]),
    ];
    let mut beyond = Vec::new();
    for (what, review, limits) in rows {
        for (webhook, limit) in [WebhookKind::Mutate, WebhookKind::Validate].into_iter().zip(limits) {
            let count = allocations(&runtime, &router, webhook, &review.to_string());
            println!("{:<9} {what:<30} {count:>5} allocations", webhook.as_str());
            if count > limit {
                beyond.push(format!("{} of {what}: {count} allocations, more than {limit}", webhook.as_str()));
            }
        }
    }
    assert!(beyond.is_empty(), "{beyond:#?}");
}
