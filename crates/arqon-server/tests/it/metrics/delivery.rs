//! What becomes of deliveries, questions, jobs and content, as numbers.

use super::exposition::Page;
use super::{scrape, scrape_until};
use crate::http::ask;
use crate::site::Site;
use crate::ws::Socket;
use arqon_server::config::{InspectionConfig, InspectionMode};
use serde_json::{Value, json};

/// The next delivery; answers to commands and confirms before it are dropped.
async fn delivery(socket: &mut Socket) -> Value {
    loop {
        let envelope = socket.read().await.unwrap();
        if envelope["subscription"].is_string() || envelope["type"] == "gap" {
            return envelope;
        }
    }
}

async fn publish(site: &Site, message: Value) -> u16 {
    site.send(ask("POST", "/api/v1/messages").body(message.to_string())).await.status
}

#[tokio::test]
async fn durable_deliveries_are_counted_until_they_are_acknowledged_or_given_up() {
    let site = Site::start().await;
    let mut worker = Socket::open(&site).await;
    let wish =
        json!({ "pattern": "a:b", "durable": "work", "from": "earliest", "max_deliver": 2, "id": "w" });
    worker.command("subscribe", wish).await;
    worker.command("register", json!({ "agent": "owner", "skills": ["work"] })).await;
    for n in 1..=2 {
        site.publish("a:b", n).await;
    }
    let first = delivery(&mut worker).await;
    let second = delivery(&mut worker).await;
    let page = scrape(&site).await;
    assert_eq!(page.gauge("arqon_deliveries_out"), 2.0);
    assert_eq!((page.gauge("arqon_subscriptions"), page.gauge("arqon_durable_subscriptions")), (1.0, 1.0));
    assert_eq!(page.gauge("arqon_agents_online"), 1.0);
    worker.command("acknowledge", json!({ "subscription": "w", "positions": [first["position"]] })).await;
    let back = json!({ "subscription": "w", "position": second["position"], "delay_ms": 0, "reason": "no" });
    worker.command("reject", back.clone()).await;
    let again = delivery(&mut worker).await;
    assert_eq!(again["position"], second["position"]);
    worker.command("reject", back).await;
    // It is a dead letter as soon as it is stored as one.
    let is_given_up = |page: &Page| page.counter("arqon_messages_dead_lettered_total") == 1.0;
    let page = scrape_until(&site, is_given_up).await;
    assert_eq!(page.counter("arqon_messages_acknowledged_total"), 1.0);
    assert_eq!(page.counter("arqon_messages_redelivered_total"), 1.0);
    assert_eq!(
        page.gauge("arqon_acknowledged_ahead"),
        0.0,
        "nothing was acknowledged that it did not hand out"
    );
}

#[tokio::test]
async fn what_waits_and_what_falls_behind_is_counted() {
    let site = Site::with(|config| config.limits.queue_records = 4).await;
    let mut reader = Socket::open(&site).await;
    reader.command("subscribe", json!({ "pattern": "a:b", "credit": 1, "id": "r" })).await;
    for n in 1..=4 {
        site.publish("a:b", n).await;
    }
    assert_eq!(delivery(&mut reader).await["payload"]["n"], 1);
    let page = scrape(&site).await;
    assert_eq!(page.gauge("arqon_queued_records"), 3.0);
    assert!(page.gauge("arqon_queued_bytes") > 20.0);
    for n in 5..=9 {
        site.publish("a:b", n).await;
    }
    reader.command("credit", json!({ "subscription": "r", "add": 100 })).await;
    for n in 2..=9 {
        assert_eq!(delivery(&mut reader).await["payload"]["n"], n);
    }
    let page = scrape(&site).await;
    assert_eq!(page.counter("arqon_subscriptions_fell_behind_total"), 1.0);
    assert_eq!(page.gauge("arqon_queued_records"), 0.0);
}

#[tokio::test]
async fn what_is_not_stored_twice_not_delivered_late_and_not_there_any_more_is_counted() {
    let site = Site::start().await;
    let once = json!({ "to": "a:b", "payload": { "n": 1 }, "idempotency_key": "k" });
    assert_eq!((publish(&site, once.clone()).await, publish(&site, once).await), (200, 200));
    let late = json!({ "to": "a:b", "payload": { "n": 2 }, "expires_at": "2020-01-01T00:00:00Z" });
    publish(&site, late).await;
    let mut reader = Socket::open(&site).await;
    let gone = json!({ "pattern": "a:b", "from": "00000000deadbeef-7" });
    reader.command("subscribe", gone).await;
    assert_eq!(delivery(&mut reader).await["type"], "gap");
    assert_eq!(delivery(&mut reader).await["payload"]["n"], 1);
    // Whoever reads behind what has expired gets what comes after it.
    site.publish("a:b", 3).await;
    assert_eq!(delivery(&mut reader).await["payload"]["n"], 3);
    let page = scrape(&site).await;
    assert_eq!(page.counter("arqon_messages_duplicate_total"), 1.0);
    assert_eq!(page.counter("arqon_messages_expired_total"), 1.0);
    assert_eq!(page.counter("arqon_gaps_total"), 1.0);
}

#[tokio::test]
async fn questions_and_jobs_are_counted_while_they_stand() {
    let site = Site::start().await;
    let mut asker = Socket::open(&site).await;
    let question = json!({ "address": "a:b", "payload": { "n": 1 }, "timeout_ms": 60_000 });
    asker.send(json!({"type": "command", "id": "q", "command": "request", "args": question})).await;
    let job = json!({ "address": "a:b", "payload": {}, "delay_seconds": 3600 });
    let mut other = Socket::open(&site).await;
    other.command("op.cron.schedule", job).await;
    let page = scrape_until(&site, |page| page.gauge("arqon_questions_open") == 1.0).await;
    assert_eq!(page.gauge("arqon_cron_jobs"), 1.0);
}

#[tokio::test]
async fn what_inspection_finds_is_counted() {
    let site = Site::with(|config| {
        config.inspection = InspectionConfig {
            enabled: true,
            mode: InspectionMode::Enforce,
            block_on_probable_secret: true,
            ..InspectionConfig::default()
        };
    })
    .await;
    let leak = format!("use AKIA{} please", "Z7QX2LMN4PRS5TUV");
    let leak = json!({ "to": "a:b", "payload": { "text": leak } });
    assert_eq!(publish(&site, leak.clone()).await, 403);
    assert_eq!(publish(&site, json!({ "to": "a:b", "payload": { "n": 1 } })).await, 200);
    assert_eq!(publish(&site, json!({ "to": "a:b", "payload": { "password": "hunter2!" } })).await, 403);
    let mut admin = Socket::open(&site).await;
    admin.command("op.casil.reload", json!({ "mode": "monitor" })).await;
    assert_eq!(publish(&site, leak).await, 200);
    let page = scrape(&site).await;
    assert!(page.counter("arqon_inspection_inspected_total") >= 4.0);
    assert!(page.counter("arqon_inspection_secrets_total") >= 2.0);
    assert!(page.counter("arqon_inspection_redacted_total") >= 2.0);
    assert_eq!(page.counter("arqon_inspection_blocked_total"), 2.0);
    assert_eq!(page.counter("arqon_inspection_spared_total"), 1.0);
    // What no door lets in cannot fail to be read.
    assert_eq!(page.counter("arqon_inspection_failed_total"), 0.0);
}
