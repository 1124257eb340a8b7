//! Webhooks without a socket.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use k8s_openapi::ByteString;
use nats_manager_webhook::{RequestTimeouts, WebhookKind, router};
use serde_json::Value;
use tower::ServiceExt;

use super::{Counts, FixedFacts, UID};

pub struct Server {
    pub router: Router,
    pub counts: Arc<Counts>,
}

impl Server {
    pub fn new(cluster: FixedFacts) -> Self {
        let counts = Counts::new();
        Self { router: router(Arc::new(cluster), counts.clone(), RequestTimeouts::default()), counts }
    }

    pub async fn send(&self, request: Request<Body>) -> (StatusCode, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub async fn post(&self, webhook: WebhookKind, body: impl Into<Body>) -> (StatusCode, String) {
        let request = Request::post(webhook.path()).header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Sends a review, checks the envelope of the answer, and returns the response in it.
    pub async fn ask(&self, webhook: WebhookKind, review: &Value) -> Value {
        let (status, body) = self.post(webhook, review.to_string()).await;
        assert_eq!(status, 200, "{body}");
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        let response = answer["response"].take();
        assert_eq!(response["uid"], UID);
        assert_eq!(response["allowed"] == false, response.get("status").is_some(), "{response}");
        assert_eq!(response.get("patch").is_some(), response.get("patchType").is_some(), "{response}");
        response
    }

    pub async fn validate(&self, review: &Value) -> Value {
        self.ask(WebhookKind::Validate, review).await
    }

    /// Returns the patch as JSON, or `None` if there is no patch.
    pub async fn patch(&self, review: &Value) -> Option<Value> {
        let response = self.ask(WebhookKind::Mutate, review).await;
        assert_eq!(response["allowed"], true);
        let patch = response.get("patch").cloned()?;
        let ByteString(patch) = serde_json::from_value(patch).unwrap();
        Some(serde_json::from_slice(&patch).unwrap())
    }
}
