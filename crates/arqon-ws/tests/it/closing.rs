//! How connections end, and that the peer is told why.

use crate::client::{Client, Raw};
use crate::world::World;
use arqon_core::bus::Publish;
use arqon_core::{Ctx, Principal, Role, Target, Tenant};
use arqon_ws::{CloseCode, Settings};
use bytes::Bytes;
use futures_util::SinkExt;
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_silent_client_is_pinged_and_closed_if_it_does_not_answer() {
    let world = World::new().await;
    let mut raw = Raw::connect(&world, "").await;
    world.clock.advance(20 * SECOND);
    let ping = raw.frame().await.unwrap();
    assert_eq!(ping.first, 0x89);
    // An answer buys another interval.
    raw.send(0x8A, &ping.payload).await;
    raw.send(0x89, b"sync").await;
    assert_eq!(raw.frame().await.unwrap().first, 0x8A);
    world.pass(20 * SECOND).await;
    world.pass(20 * SECOND).await;
    assert_eq!(raw.frame().await.unwrap().first, 0x89);
    world.clock.advance(10 * SECOND);
    assert_eq!(raw.closed().await, CloseCode::PingTimeout.number());
    world.until("the connection is given back", || world.metric("active_connections") == 0.0).await;
}

#[tokio::test]
async fn a_client_that_talks_is_not_pinged() {
    let world = World::new().await;
    let (mut client, _) = Client::connect(&world, "").await;
    for _ in 0..4 {
        client.call("p", "ping", "{}").await;
        world.clock.advance(20 * SECOND);
    }
    client.call("p", "ping", "{}").await;
}

#[tokio::test]
async fn a_token_that_expires_ends_the_connection() {
    let world = World::new().await;
    let (mut client, _) = Client::connect(&world, "?token=expiring").await;
    world.clock.advance(20 * SECOND);
    assert!(matches!(client.next().await, Message::Ping(_)));
    client.call("p", "ping", "{}").await;
    world.clock.advance(40 * SECOND);
    let (code, reason) = client.closed().await;
    assert_eq!(code, CloseCode::TokenExpired.number());
    assert!(reason.contains("expired"), "{reason}");
}

#[tokio::test]
async fn ten_bad_envelopes_in_a_minute_end_the_connection() {
    let world = World::new().await;
    let (mut client, _) = Client::connect(&world, "").await;
    for _ in 0..9 {
        client.send("nonsense").await;
        assert_eq!(client.json().await["payload"]["field"], "envelope");
    }
    // A new minute, a new count.
    world.clock.advance(19 * SECOND);
    client.call("p", "ping", "{}").await;
    for _ in 0..3 {
        world.clock.advance(19 * SECOND);
        client.call("p", "ping", "{}").await;
    }
    for _ in 0..10 {
        client.send("nonsense").await;
        assert_eq!(client.json().await["type"], "error");
    }
    assert_eq!(client.closed().await.0, CloseCode::Violations.number());
}

#[tokio::test]
async fn a_stopping_server_confirms_what_it_took_and_says_come_back() {
    let world = World::new().await;
    let (mut client, _) = Client::connect(&world, "").await;
    for n in 0..50 {
        let text = format!(r#"{{"type":"message","to":"a:b","confirm":"stored","payload":{{"n":{n}}}}}"#);
        client.socket.feed(Message::text(text)).await.unwrap();
    }
    client.socket.flush().await.unwrap();
    assert_eq!(client.json().await["status"], "success");
    world.shutdown.cancel();
    let mut confirmed = 1;
    let code = loop {
        match client.next().await {
            Message::Text(_) => confirmed += 1,
            Message::Close(Some(frame)) => break u16::from(frame.code),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, CloseCode::GoingAway.number());
    // What was stored and what was confirmed is the same.
    assert_eq!(world.metric("messages_received_total"), f64::from(confirmed));
    let refused = Client::try_connect(&world, "", &[]).await;
    assert!(refused.is_err_and(|e| e.to_string().contains("503")));
}

#[tokio::test]
async fn a_client_that_says_goodbye_is_confirmed_first() {
    let world = World::new().await;
    let (mut client, _) = Client::connect(&world, "").await;
    client
        .socket
        .feed(Message::text(r#"{"type":"message","to":"a:b","confirm":"stored","payload":{}}"#))
        .await
        .unwrap();
    client.socket.close(None).await.unwrap();
    assert_eq!(client.json().await["status"], "success");
    assert_eq!(client.closed().await.0, CloseCode::Normal.number());
    world.until("the connection is given back", || world.metric("active_connections") == 0.0).await;
}

#[tokio::test]
async fn a_client_that_vanishes_leaves_nothing_behind() {
    let world = World::new().await;
    let (mut client, _) = Client::connect(&world, "").await;
    client.call("s", "subscribe", r#"{"pattern":"a:*"}"#).await;
    assert_eq!(world.metric("subscriptions"), 1.0);
    drop(client);
    world.until("the subscription is given back", || world.metric("subscriptions") == 0.0).await;
    assert_eq!(world.metric("active_connections"), 0.0);
}

fn publisher() -> Ctx {
    Ctx::new(Arc::new(Principal {
        subject: "publisher".into(),
        tenant: Tenant::default(),
        role: Role::User,
        publish: None,
        subscribe: None,
        expires_at: None,
    }))
}

#[tokio::test]
async fn a_slow_consumer_is_closed_with_a_code_and_everything_before_it_is_whole() {
    // Pings would end the connection as well; this is about writing.
    let world =
        World::with(Settings { ping_interval: Duration::from_secs(1 << 30), ..Settings::default() }).await;
    let mut raw = Raw::open(&world, "", Some(4096)).await;
    assert_eq!(raw.frame().await.unwrap().json()["sender"], "arqon");
    raw.send(0x81, br#"{"type":"command","id":"s","command":"subscribe","args":{"pattern":"a:b"}}"#).await;
    assert_eq!(raw.frame().await.unwrap().json()["request_id"], "s");

    let payload = Bytes::from(format!(r#"{{"x":"{}"}}"#, "y".repeat(64 * 1024)));
    for _ in 0..400 {
        let publish = Publish::new(Target::parse("a:b").unwrap(), payload.clone());
        world.bus.publish(&publisher(), vec![publish]).await.pop().unwrap().unwrap();
    }
    // Nobody reads: sooner or later a write stalls, and time passes.
    world
        .until("the slow consumer is closed", || {
            world.clock.advance(SECOND);
            world.metric("active_connections") == 0.0
        })
        .await;
    let mut last = 0;
    let code = loop {
        let frame = raw.frame().await.unwrap();
        if frame.first == 0x88 {
            assert!(String::from_utf8_lossy(&frame.payload).contains("resume from your last positions"));
            break frame.close_code();
        }
        let got = frame.json();
        let (_, offset) = got["position"].as_str().unwrap().split_once('-').unwrap();
        assert_eq!(offset.parse::<u64>().unwrap(), last + 1, "no hole before the end");
        last += 1;
    };
    assert_eq!(code, CloseCode::SlowConsumer.number());
    assert!(last < 400, "it was not told everything");
}

#[tokio::test]
async fn a_slow_consumer_does_not_slow_others() {
    let world =
        World::with(Settings { ping_interval: Duration::from_secs(1 << 30), ..Settings::default() }).await;
    let mut slow = Raw::open(&world, "", Some(4096)).await;
    slow.send(0x81, br#"{"type":"command","command":"subscribe","args":{"pattern":"a:b"}}"#).await;
    let (mut fast, _) = Client::connect(&world, "").await;
    fast.call("s", "subscribe", r#"{"pattern":"a:b"}"#).await;
    world.until("both subscribe", || world.metric("subscriptions") == 2.0).await;
    let payload = Bytes::from(format!(r#"{{"x":"{}"}}"#, "y".repeat(64 * 1024)));
    for n in 1..=300u64 {
        let publish = Publish::new(Target::parse("a:b").unwrap(), payload.clone());
        world.bus.publish(&publisher(), vec![publish]).await.pop().unwrap().unwrap();
        let got = fast.json().await;
        assert!(got["position"].as_str().unwrap().ends_with(&format!("-{n}")));
    }
}
