//! Events through real sockets: told at once, and a flood of them with a listener that stops costs nobody a message.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use arqon_client::{Event, Message, Subscription};
use arqon_testkit::TestServer;
use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use std::time::Duration;

/// Long after an event must have come.
const LONG: Duration = Duration::from_secs(60);

async fn next(events: &mut Subscription) -> Message {
    loop {
        let event = tokio::time::timeout(LONG, events.next()).await.unwrap().unwrap().unwrap();
        if let Event::Message(message) = event {
            return message;
        }
    }
}

#[tokio::test]
async fn who_listens_hears_of_others_over_the_socket() {
    let server = TestServer::start().await;
    let eye = server.client().await;
    let mut events = eye.subscribe("system:*").await.unwrap();
    let other = server.client().await;
    other.call("op.store.get", serde_json::json!({ "key": "x" })).await.unwrap();
    // The listener's own `subscribe` is told first.
    let mut first = next(&mut events).await;
    while first.address().channel.as_str() != "client_connected" {
        first = next(&mut events).await;
    }
    let seen = [first, next(&mut events).await, next(&mut events).await];
    let names = seen.each_ref().map(|m| m.address().to_string());
    assert_eq!(names, ["system:client_connected", "system:command_executed", "system:command_succeeded"]);
    let event: Value = serde_json::from_slice(seen[1].payload()).unwrap();
    assert_eq!(
        (&event["source"], &event["metadata"]["command"]),
        (&"arqonbus".into(), &"op.store.get".into())
    );
    assert_eq!(event["event_id"].as_str().unwrap().len(), 36);
    assert!(event["client_id"].as_str().unwrap().starts_with("arq_client_"));
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_events_that_nobody_reads_costs_no_message() {
    let server = TestServer::start().await;
    let stopped = server.client().await;
    // It listens to everything and reads nothing.
    let events = stopped.subscribe("system:*").credit(1).await.unwrap();
    let (sender, reader) = (server.client().await, server.client().await);
    let mut said = reader.subscribe("repo:*").await.unwrap();
    let all = 20_000u64;
    let publishes = stream::iter(0..all).map(|n| {
        let sender = sender.clone();
        async move { sender.publish("repo:main", serde_json::json!({ "n": n })).await }
    });
    let confirmed = publishes.buffered(1000).filter(|result| std::future::ready(result.is_ok())).count();
    let read = async {
        for n in 0..all {
            let value: Value = serde_json::from_slice(next(&mut said).await.payload()).unwrap();
            assert_eq!(value["n"], n);
        }
    };
    let (confirmed, ()) = futures_util::future::join(confirmed, read).await;
    assert_eq!(confirmed as u64, all);
    let metrics = server.server().bus().metrics();
    let told = metrics.iter().find(|metric| metric.name == "events_published_total").unwrap().value;
    assert!(told >= 1.0, "somebody listened");
    drop(events);
    server.stop().await;
}
