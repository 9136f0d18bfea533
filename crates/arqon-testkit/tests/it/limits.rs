//! What happens at the limits: a reader that stops, a publisher that floods, messages of the largest size, deep nesting.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use arqon_client::{Event, Payload};
use arqon_testkit::TestServer;
use arqon_testkit::door::Door;
use arqon_testkit::thin::{Frame, Reached, Thin, raise_file_limit};
use futures_util::stream::{self, StreamExt};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

async fn thin(server: &TestServer, pattern: &str) -> Thin {
    let Ok(Reached::Open(mut thin)) = Thin::connect(server.url(), server.token()).await else {
        panic!("the server lets us in")
    };
    let command =
        format!(r#"{{"type":"command","id":"s","command":"subscribe","args":{{"pattern":"{pattern}"}}}}"#);
    thin.send(&command).await.unwrap();
    let answer = thin.text_with(r#""request_id":"s""#).await.unwrap();
    assert!(answer.contains(r#""type":"response""#), "{answer}");
    thin
}

fn connections(server: &TestServer) -> f64 {
    let metrics = server.server().bus().metrics();
    metrics.into_iter().find(|metric| metric.name == "active_connections").unwrap().value
}

#[tokio::test]
async fn one_reader_in_a_thousand_that_stops_is_closed_and_harms_nobody() {
    raise_file_limit();
    let server = TestServer::start_with(|config| {
        config.ws.slow_consumer_timeout_seconds = Duration::from_secs(1);
        // These clients answer no pings.
        config.ws.ping_interval_seconds = Duration::from_secs(3600);
    })
    .await;
    let mut readers: Vec<Thin> =
        stream::iter(0..999).map(|_| thin(&server, "news:*")).buffer_unordered(50).collect().await;
    let mut stopped = thin(&server, "*:*").await;
    let Ok(Reached::Open(mut sender)) = Thin::connect(server.url(), server.token()).await else { panic!() };
    // More than the sockets of the stopped one take in before anything waits for it.
    let big = "x".repeat(64 << 10);
    for n in 0..400 {
        let (to, text) = if n % 100 == 0 { ("news:small", "little") } else { ("flood:main", &*big) };
        let message = format!(r#"{{"type":"message","to":"{to}","payload":{{"n":{n},"t":"{text}"}}}}"#);
        sender.send(&message).await.unwrap();
    }
    // All others have all the news while one reads nothing at all.
    for reader in &mut readers {
        for n in [0, 100, 200, 300] {
            let want = format!(r#""n":{n},"#);
            tokio::time::timeout(LONG, reader.text_with(&want)).await.unwrap().unwrap();
        }
    }
    // Its connection is given back before it reads on; the other thousand stay, with the sender's.
    let closed = async {
        while connections(&server) != 1000.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, closed).await.expect("the one that stopped is closed");
    let end = async {
        loop {
            match stopped.frame().await {
                Ok(Frame::Close(code)) => return Some(code),
                Ok(_) => {}
                // What was on its way may fill the socket so that the code has no room.
                Err(_) => return None,
            }
        }
    };
    assert!(matches!(tokio::time::timeout(LONG, end).await.unwrap(), Some(4001) | None));
    server.stop().await;
}

#[tokio::test]
async fn a_publisher_that_floods_is_told_to_slow_down_and_others_are_not() {
    let server = TestServer::start_with(|config| config.limits.publishes_per_second = 50).await;
    let client = server.client().await;
    let mut limited = 0;
    for n in 0..200 {
        let mut thin = Door::Rest.open(server.url(), server.token()).await;
        if let Err(refusal) = thin.publish("flood:main", &format!(r#"{{"n":{n}}}"#)).await {
            assert_eq!(refusal.code, "RATE_LIMIT_EXCEEDED");
            limited += 1;
        }
    }
    assert!(limited > 0, "200 at once are more than 50 a second");
    // The client library waits as it was told, and gets through.
    tokio::time::timeout(LONG, async { client.publish("calm:main", Payload::text("x")).await })
        .await
        .unwrap()
        .unwrap();
    server.stop().await;
}

#[tokio::test]
async fn others_are_served_while_somebody_floods_without_a_limit() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let flooding = server.client().await;
    let flood = tokio::task::JoinSet::from_iter([async move {
        let publisher = flooding.publisher(1000);
        for n in 0..20_000 {
            let message = publisher.message("flood:main", Payload::text(&format!("{n}")));
            drop(publisher.send(message).await);
        }
        let _done = flooding.flush().await;
    }]);
    let mut worst = Duration::ZERO;
    for _ in 0..50 {
        let begin = tokio::time::Instant::now();
        client.publish("calm:main", Payload::text("x")).await.unwrap();
        worst = worst.max(begin.elapsed());
    }
    println!("the slowest of 50 publishes beside a flood took {worst:?}");
    assert!(worst < Duration::from_secs(10), "{worst:?}");
    drop(flood);
    server.stop().await;
}

/// A JSON object of exactly so many bytes.
fn object(bytes: usize) -> String {
    format!(r#"{{"t":"{}"}}"#, "x".repeat(bytes - 8))
}

#[tokio::test]
async fn a_message_of_exactly_the_largest_size_goes_through_every_door_and_one_byte_more_through_none() {
    const MOST: usize = 64 << 10;
    let server = TestServer::start_with(|config| {
        config.limits.message_bytes = arqon_server::config::ByteSize(MOST as u64);
    })
    .await;
    for door in Door::ALL {
        let mut driver = door.open(server.url(), server.token()).await;
        assert_eq!(object(MOST).len(), MOST);
        driver.publish("big:main", &object(MOST)).await.unwrap();
        let refusal = driver.publish("big:main", &object(MOST + 1)).await.unwrap_err();
        assert_eq!(
            (&*refusal.code, refusal.field.as_deref()),
            ("PAYLOAD_TOO_LARGE", Some("payload")),
            "{door:?}"
        );
        // The door still stands open.
        driver.publish("big:main", "{}").await.unwrap();
    }
    let mut all = server.client().await.subscribe("big:*").from_earliest().await.unwrap();
    for n in 0..2 * Door::ALL.len() {
        let Some(Ok(Event::Message(message))) = all.next().await else { panic!("message {n} is there") };
        assert!(message.payload().len() == MOST || message.payload() == "{}");
    }
    server.stop().await;
}

#[tokio::test]
async fn nesting_has_a_bound_at_every_door() {
    let server = TestServer::start().await;
    let deep = |n: usize| format!("{}1{}", r#"{"a":"#.repeat(n), "}".repeat(n));
    for door in Door::ALL {
        let mut driver = door.open(server.url(), server.token()).await;
        driver.publish("deep:main", &deep(90)).await.unwrap();
        let refusal = driver.publish("deep:main", &deep(100_000)).await.unwrap_err();
        assert_eq!(refusal.code, "VALIDATION_ERROR", "{door:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_subscription_too_many_is_refused_with_its_code() {
    let server = TestServer::start_with(|config| config.limits.subscriptions = 3).await;
    let mut reader = thin(&server, "r0:*").await;
    for n in 1..4 {
        let command = format!(
            r#"{{"type":"command","id":"c{n}","command":"subscribe","args":{{"pattern":"r{n}:*"}}}}"#
        );
        reader.send(&command).await.unwrap();
        let answer = reader.text_with(&format!(r#""request_id":"c{n}""#)).await.unwrap();
        assert_eq!(answer.contains("RESOURCE_EXHAUSTED"), n == 3, "{answer}");
    }
    server.stop().await;
}
