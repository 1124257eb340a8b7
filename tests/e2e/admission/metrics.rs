//! Metrics of the webhook.

use jiff::Timestamp;
use nats_manager_certs::Authority;
use nats_manager_harness::eventually;
use serde_json::json;

use super::{
    certificates::store_becomes,
    configurations::configurations,
    tls::{answer, served},
    webhook_options,
};
use crate::world::{TIMEOUT, World};

#[tokio::test]
async fn metrics_cover_certificates_and_reviews() {
    let world = World::new().await;
    let manager = world.manager_with_webhook().await;
    let store = store_becomes(&world, "the CA is published", |store| store.current.published_at.is_some()).await;
    let expiry = |certificate: &str| {
        format!("nats_manager_webhook_certificate_expiry_timestamp_seconds{{certificate=\"{certificate}\"}}")
    };
    let renewals =
        |certificate: &str| format!("nats_manager_webhook_certificate_renewals_total{{certificate=\"{certificate}\"}}");
    let reviews = |webhook: &str, outcome: &str| {
        format!("nats_manager_admission_reviews_total{{webhook=\"{webhook}\",outcome=\"{outcome}\"}}")
    };
    let ca = manager.metric(&expiry("ca")).await.unwrap();
    let ends = store.current.authority.validity().not_after.as_second();
    assert!((ca - f64::from(u32::try_from(ends).unwrap())).abs() < 0.5);
    let in_days = (manager.metric(&expiry("leaf")).await.unwrap()
        - f64::from(u32::try_from(Timestamp::now().as_second()).unwrap()))
        / 86400.0;
    assert!((6.9..=7.0).contains(&in_days), "{in_days}");
    assert_eq!(manager.metric(&renewals("ca")).await, Some(1.0));
    assert_eq!(manager.metric(&renewals("leaf")).await, Some(1.0));
    assert_eq!(manager.metric("nats_manager_webhook_certificate_failures_total").await, Some(0.0));

    let rejected = manager.metric(&reviews("mutate", "rejected")).await.unwrap_or(0.0);
    assert!(world.dry_run(json!({"labels": {"nats_cluster": "mine"}})).await.is_err());
    world.dry_run(json!({})).await.unwrap();
    assert_eq!(manager.metric(&reviews("mutate", "rejected")).await, Some(rejected + 1.0));
    for (webhook, outcome) in [("mutate", "patched"), ("validate", "allowed")] {
        assert!(
            manager.metric(&reviews(webhook, outcome)).await.is_some_and(|count| count >= 1.0),
            "{webhook} {outcome}"
        );
    }
    assert!(
        manager.metric("nats_manager_admission_review_duration_seconds_count").await.is_some_and(|count| count >= 4.0)
    );

    // The following client does not trust the certificate.
    let port = port(&world).await;
    let other_ca = Authority::generate(Timestamp::now()).unwrap();
    served(port, other_ca.certificate().to_pem().as_bytes()).await.unwrap_err();
    eventually("it is counted", TIMEOUT, || async {
        manager.metric("nats_manager_webhook_rejected_handshakes_total{reason=\"untrusted\"}").await
    })
    .await;
}

/// Every Pod that reaches the port can post reviews, so they must not fill the log. The metric counts them.
#[tokio::test]
async fn rejected_and_unreadable_reviews_write_no_log_line() {
    const COUNT: u32 = 50;
    let world = World::new().await;
    let mut options = webhook_options();
    options.env.insert("LOG_LEVEL".to_owned(), "info".to_owned());
    let manager = world.manager_with(&options).await;
    world.webhook_is_active().await;
    let store = store_becomes(&world, "the CA is published", |store| store.current.published_at.is_some()).await;
    let (port, bundle) = (port(&world).await, store.current.authority.certificate().to_pem());
    for _ in 0..COUNT {
        assert!(world.dry_run(json!({"labels": {"nats_cluster": "mine"}})).await.is_err());
        let response = answer(port, bundle.as_bytes()).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 400"), "{response}");
    }
    for (webhook, outcome) in [("mutate", "rejected"), ("validate", "unreadable")] {
        let name = format!("nats_manager_admission_reviews_total{{webhook=\"{webhook}\",outcome=\"{outcome}\"}}");
        assert!(manager.metric(&name).await >= Some(f64::from(COUNT)), "{name}");
    }
    let log = manager.log();
    assert!(log.contains("\"level\":\"INFO\""), "{log}");
    let line = log.lines().find(|line| line.contains("admission re") || line.contains("nats_cluster"));
    assert_eq!(line, None);
}

/// Returns the port of the webhook, from its configuration.
async fn port(world: &World) -> u16 {
    let [_, validating] = configurations(world);
    let configuration = validating.get("nats-manager").await.unwrap();
    let url = configuration.data["webhooks"][0]["clientConfig"]["url"].as_str().unwrap().to_owned();
    url.split(&[':', '/'][..]).find_map(|part| part.parse().ok()).unwrap()
}
