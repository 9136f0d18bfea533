//! SC-010: one client publishes and hears over one socket at the same time, and runs commands in between.

use crate::ground::{Ground, Row, client};
use arqon_bench::clock::now;
use arqon_client::Event;
use futures_util::future::join3;
use serde_json::json;

/// Unconfirmed at any time.
const WINDOW: usize = 256;

pub async fn measure(ground: &Ground) -> Row {
    let count = ground.size(50_000, 2000) as u64;
    let (site, bus) = ground.start("");
    let client = client(&site).await;
    let mut heard = client.subscribe("duplex:*").await.expect("it may subscribe");
    let begin = now();
    let says = async {
        let publisher = client.publisher(WINDOW);
        for n in 0..count {
            let message = publisher.message("duplex:main", json!({ "n": n }));
            drop(publisher.send(message).await.expect("the connection stays open"));
        }
        client.flush().await.expect("all are confirmed");
    };
    let hears = async {
        for n in 0..count {
            let event = heard.next().await.expect("it goes on").expect("the connection stays open");
            let Event::Message(message) = event else { panic!("nothing is missing: {event:?}") };
            assert_eq!(message.json::<serde_json::Value>().expect("it is JSON")["n"], n, "once and in order");
        }
    };
    let asks = async {
        for n in 0..100 {
            client.call("op.store.set", json!({ "key": "duplex", "value": n })).await.expect("it answers");
        }
    };
    join3(says, hears, asks).await;
    let took = begin.elapsed().as_secs_f64();
    client.close().await.expect("it ends in order");
    assert!(bus.stop().success(), "the server ends in order");
    Row {
        id: "SC-010",
        criterion: "one client in both directions at once",
        target: "publish and subscribe over one connection",
        measured: format!("{count} durable messages out and in, each once and in order, in {took:.1} s"),
        how: "the Rust client, one WebSocket, 100 commands at the same time".to_owned(),
        is_met: true,
        is_timed: false,
    }
}
