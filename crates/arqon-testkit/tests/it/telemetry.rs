//! Events through real sockets: told at once, and a flood of them with a listener that stops costs nobody a message.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use arqon_client::{Event, Message, Subscription};
use arqon_testkit::TestServer;
use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

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
    let bus = server.server().bus();
    // Each message was told three times: taken, routed, handed to the reader. What is not published was counted.
    let number = |name| bus.metrics().iter().find(|metric| metric.name == name).unwrap().value;
    let (told, dropped) = (number("events_published_total"), number("events_dropped_total"));
    println!(
        "{all} messages beside a listener that reads nothing: {told} events published, {dropped} left out"
    );
    let counted = async {
        while number("events_published_total") + number("events_dropped_total") < (3 * all) as f64 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, counted).await.expect("what was told is published or counted");
    drop(events);
    server.stop().await;
}

/// Messages a second, and how many of them.
const RATE: u32 = 500;
const SAMPLES: u64 = 2500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_has_its_event_and_how_long_that_takes_is_printed() {
    let server = TestServer::start().await;
    let (eye, sender, reader) = (server.client().await, server.client().await, server.client().await);
    let mut events = eye.subscribe("system:*").await.unwrap();
    let mut said = reader.subscribe("repo:*").await.unwrap();
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    // The intended moment counts, so that a sender that is held up hides nothing.
    let moments = stream::unfold(ticks, async |mut ticks| Some((ticks.tick().await, ticks)));
    let publishes = moments.take(SAMPLES as usize).map(|at| {
        let sender = sender.clone();
        async move {
            let receipt = sender.publish("repo:main", serde_json::json!({})).await.unwrap();
            (receipt.id.to_string(), at)
        }
    });
    let publish = publishes.buffered(1000).collect::<Vec<_>>();
    let hear = async {
        let mut heard: HashMap<String, Instant> = HashMap::new();
        while (heard.len() as u64) < SAMPLES {
            let message = next(&mut events).await;
            if message.address().channel.as_str() == "message_received" {
                let event: Value = serde_json::from_slice(message.payload()).unwrap();
                heard.insert(event["message_id"].as_str().unwrap().to_owned(), Instant::now());
            }
        }
        heard
    };
    let read = async {
        for _ in 0..SAMPLES {
            next(&mut said).await;
        }
    };
    let (begun, heard, ()) = futures_util::future::join3(publish, hear, read).await;
    let mut took: Vec<Duration> =
        begun.iter().map(|(id, at)| heard[id].saturating_duration_since(*at)).collect();
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    println!("from cause to event at {RATE}/s: p50 {:?}, p99 {:?}, longest {:?}", at(0.5), at(0.99), at(1.0));
    server.stop().await;
}
