//! Malformed and hostile requests, each of which gets a response.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod world;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use nats_manager_webhook::{LARGEST_BODY, RequestTimeouts, WebhookKind, router};
use serde_json::{Value, json};
use tower::ServiceExt;
use world::{Counts, FixedFacts, UID, create, spec, update, with};

fn server() -> Router {
    router(Arc::new(FixedFacts::default()), Counts::new(), RequestTimeouts::default())
}

async fn send(server: &Router, webhook: WebhookKind, content_type: &str, body: Vec<u8>) -> (StatusCode, String) {
    let request = Request::post(webhook.path()).header("content-type", content_type).body(Body::from(body)).unwrap();
    let response = server.clone().oneshot(request).await.unwrap();
    let status = response.status();
    (status, String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap())
}

/// Builds a review with this text as its object.
fn around(object: &str) -> String {
    let mut review = create(&spec());
    review["request"]["object"] = json!("OBJECT");
    review.to_string().replace("\"OBJECT\"", object)
}

/// Nests `count` objects or arrays.
fn nested(open: &str, close: &str, count: usize) -> String {
    format!("{}null{}", open.repeat(count), close.repeat(count))
}

#[tokio::test]
async fn body_without_review_is_client_error() {
    let server = server();
    let good = create(&spec()).to_string();
    let body = good.as_bytes();
    let mut not_utf8 = body.to_vec();
    not_utf8[good.find("kubernetes-admin").unwrap()] = 0xff;
    let no_uid = with(&create(&spec()), "/request/uid", json!(null)).to_string();
    let twice = good.replace(&format!("\"uid\":\"{UID}\""), "\"uid\":\"a\",\"uid\":\"b\"");
    for (content_type, body, expected) in [
        ("text/plain", body.to_vec(), 415),
        ("application/json+x", body.to_vec(), 415),
        ("", body.to_vec(), 415),
        ("application/json", Vec::new(), 400),
        ("application/json", b"null".to_vec(), 400),
        ("application/json", b"\xef\xbb\xbf{}".to_vec(), 400),
        ("application/json", body[..body.len() / 2].to_vec(), 400),
        ("application/json", not_utf8, 400),
        ("application/json", no_uid.into_bytes(), 400),
        ("application/json", twice.into_bytes(), 400),
        ("application/json", good.replace("admission.k8s.io/v1", "admission.k8s.io/v2").into_bytes(), 400),
        ("application/json", good.replace("AdmissionReview", "TokenReview").into_bytes(), 400),
        ("application/json", nested("[", "]", 100_000).into_bytes(), 400),
        ("application/json", nested("{\"a\":", "}", 100_000).into_bytes(), 400),
        ("application/json", vec![b' '; LARGEST_BODY], 400),
        ("application/json", vec![b' '; LARGEST_BODY + 1], 413),
        ("application/json", vec![b'['; 5 * LARGEST_BODY], 413),
    ] {
        for webhook in WebhookKind::ALL {
            let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            let (status, text) = send(&server, webhook, content_type, body.clone()).await;
            assert_eq!(status, expected, "{start}: {text}");
            assert!(text.lines().count() == 1 && text.len() < 400, "{start}: {text}");
        }
    }
}

#[tokio::test]
async fn content_type_may_have_parameters() {
    let server = server();
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        let body = create(&spec()).to_string().into_bytes();
        assert_eq!(send(&server, WebhookKind::Validate, content_type, body).await.0, 200);
    }
}

/// Expected state of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Fine,
    /// Object with fields of wrong types.
    Unreadable,
    /// Readable object that breaks rules.
    Broken,
}

#[tokio::test]
async fn response_to_malformed_object_has_uid() {
    let server = server();
    let many = |field: &str| format!("{{\"spec\": {{\"{field}\": {{\"x\": [{}0]}}}}}}", "0,".repeat(2_000_000));
    let maps = format!("{{\"spec\": [{}{{}}]}}", "{\"\":0},".repeat(900_000));
    for (object, is) in [
        ("null".to_owned(), Is::Unreadable),
        ("5".to_owned(), Is::Unreadable),
        ("[]".to_owned(), Is::Unreadable),
        (nested("[", "]", 100_000), Is::Unreadable),
        (nested("{\"a\":", "}", 100_000), Is::Fine),
        (format!("{{\"spec\": {}}}", nested("{\"a\":", "}", 100_000)), Is::Fine),
        (format!("{{\"spec\": {{\"cluster\": {}}}}}", nested("{\"a\":", "}", 100_000)), Is::Unreadable),
        (format!("{{\"metadata\": {}}}", nested("[", "]", 100_000)), Is::Unreadable),
        (format!("{{\"status\": {}}}", nested("[", "]", 1_000_000)), Is::Fine),
        (r#"{"spec": {"cluster": {"size": 1e999}}}"#.to_owned(), Is::Unreadable),
        (r#"{"spec": {"cluster": {"size": 99999999999999999999999}}}"#.to_owned(), Is::Unreadable),
        (r#"{"spec": {"cluster": {"size": -0}}}"#.to_owned(), Is::Unreadable),
        (r#"{"spec": {"cluster": {"size": 3.0}}}"#.to_owned(), Is::Unreadable),
        (r#"{"spec": {"jetStream": {"fileStorage": {"size": 1e400}}}}"#.to_owned(), Is::Unreadable),
        (r#"{"spec": {"jetStream": {"fileStorage": {"size": "1e999999999999"}}}}"#.to_owned(), Is::Broken),
        (r#"{"spec": {}, "spec": {}}"#.to_owned(), Is::Unreadable),
        (r#"{"spec": {"cluster": {"size": 2, "size": 3}}}"#.to_owned(), Is::Fine),
        (r#"{"spec": {"labels": {"a\u0000": "\ud83d\ude00"}}}"#.to_owned(), Is::Broken),
        (r#"{"spec": {"labels": {"a": "\ud83d"}}}"#.to_owned(), Is::Unreadable),
        (many("unknown"), Is::Fine),
        (many("cluster"), Is::Unreadable),
        (maps, Is::Unreadable),
    ] {
        let body = around(&object);
        let start: String = object.chars().take(60).collect();
        for webhook in [WebhookKind::Mutate, WebhookKind::Validate] {
            let (status, text) = send(&server, webhook, "application/json", body.clone().into_bytes()).await;
            assert_eq!(status, 200, "{start}: {text}");
            let answer: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(answer["response"]["uid"], UID, "{start}");
            // The schema and the validating webhook reject what the mutating one cannot read.
            let left_to_others = webhook == WebhookKind::Mutate && is == Is::Unreadable && object != "null";
            let expected = is == Is::Fine || left_to_others;
            assert_eq!(answer["response"]["allowed"], expected, "{start}: {text}");
            assert!(text.len() < 4000, "{text}");
        }
    }
}

#[tokio::test]
async fn response_with_many_findings_is_bounded() {
    let server = server();
    let labels: serde_json::Map<_, _> = (0..1000).map(|n| (format!("-{n}"), json!("x".repeat(2000)))).collect();
    let bad = with(&spec(), "/labels", labels.into());
    let worse = with(&bad, "/logging/debug", json!(true));
    for (review, is_valid) in [(create(&bad), false), (update(&bad, &worse), true)] {
        let (status, text) =
            send(&server, WebhookKind::Validate, "application/json", review.to_string().into_bytes()).await;
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["response"]["allowed"], is_valid);
        assert!(text.len() < 256 << 10, "{}", text.len());
    }
}

/// Generator of pseudo-random numbers, reproducible so that a failure repeats.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Tokens with a meaning in JSON or in the resource.
const TOKENS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "true",
    "-",
    "1e999",
    "0",
    "\"0\"",
    "\"uid\"",
    "\"spec\"",
    "\"size\"",
    "\"1Gi\"",
    "-1",
    "99999999999999999999",
    "\u{0}",
    "\\ud800",
    "ä",
    "\"metadata\":{}",
];

#[tokio::test]
async fn mutated_reviews_are_answered() {
    let server = server();
    let changed = with(&spec(), "/jetStream/fileStorage/size", json!("2Gi"));
    let change = update(&spec(), &changed);
    let deletion = with(&with(&change, "/request/operation", json!("DELETE")), "/request/object", Value::Null);
    let seeds = [create(&spec()), change, deletion].map(|review| review.to_string());
    let mut numbers = Numbers(0x5eed_5eed_5eed_5eed);
    let mut answered = 0;
    for round in 0..6000 {
        let mut body = seeds[round % 3].clone().into_bytes();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(body.len());
            let end = (at + numbers.below(40)).min(body.len());
            match numbers.below(5) {
                0 => body[at] = u8::try_from(numbers.below(256)).unwrap(),
                1 => drop(body.drain(at..end)),
                2 => drop(body.splice(at..at, TOKENS[numbers.below(TOKENS.len())].bytes())),
                3 => drop(body.splice(at..end, TOKENS[numbers.below(TOKENS.len())].bytes())),
                _ => {
                    let copy = body[at..end].to_vec();
                    let to = numbers.below(body.len());
                    drop(body.splice(to..to, copy));
                }
            }
        }
        let webhook = WebhookKind::ALL[round / 3 % 3];
        let (status, text) = send(&server, webhook, "application/json", body.clone()).await;
        match status.as_u16() {
            200 => {
                answered += 1;
                let answer: Value = serde_json::from_str(&text).unwrap();
                assert!(answer["response"]["uid"].is_string(), "{text}");
            }
            400 => assert_eq!(text.lines().count(), 1, "{text}"),
            _ => panic!("{status} {text}: {}", String::from_utf8_lossy(&body)),
        }
    }
    assert!(answered > 500, "only {answered} of the mutations are still reviews");
}
