//! Laws that hold whatever happens to connections: confirmed means stored once, in order; subscriptions see each message
//! once, in order, or its gap.

use crate::proxy::Proxy;
use crate::{LIMIT, connect, message, number};
use arqon_client::{Client, Error, Payload};
use arqon_testkit::TestServer;
use serde_json::json;
use std::time::Duration;

const MESSAGES: u64 = 3_000;
const CUTS: usize = 25;

async fn publish_all(client: Client) {
    let publisher = client.publisher(200);
    let mut pending = Vec::new();
    for n in 0..MESSAGES {
        let payload = json!({ "n": n, "pad": "x".repeat(100) });
        pending.push(publisher.send(publisher.message("lost:main", payload)).await.expect("it is taken"));
    }
    let mut last = 0;
    for receipt in pending {
        let receipt = receipt.await.expect("it is confirmed");
        assert!(receipt.position.offset > last, "receipts are in the order of sending");
        last = receipt.position.offset;
    }
    assert_eq!(last, MESSAGES, "each is stored once");
}

async fn read_all(client: Client, durable: bool) {
    let mut wish = client.subscribe("lost:*").from_earliest();
    if durable {
        wish = wish.durable("all").credit(100);
    }
    let mut subscription = wish.await.expect("it begins");
    let mut seen = Vec::new();
    while seen.len() < usize::try_from(MESSAGES).expect("it is small") {
        let message = message(&mut subscription).await;
        seen.push(number(&message));
        message.ack();
    }
    assert_eq!(seen, (0..MESSAGES).collect::<Vec<_>>(), "durable: {durable}");
    subscription.flush().await.expect("the acknowledgements arrive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_nothing_and_repeat_nothing() {
    let server = TestServer::start().await;
    let (url, token) = (server.url().to_owned(), server.token().to_owned());
    let mut proxies = Vec::new();
    let mut clients = Vec::new();
    for seed in 1..=3 {
        let proxy = Proxy::start(&url, seed, CUTS, 60_000).await;
        let client = Client::builder(proxy.url()).token(&token).wait_for_server(true);
        clients.push(client.connect().await.expect("it gets through in the end"));
        proxies.push(proxy);
    }
    let work = async {
        tokio::join!(
            publish_all(clients[0].clone()),
            read_all(clients[1].clone(), false),
            read_all(clients[2].clone(), true)
        )
    };
    tokio::time::timeout(LIMIT, work).await.expect("it ends within the limit");
    for proxy in &proxies {
        assert!(
            proxy.cuts_left() + 5 <= CUTS,
            "connections were cut: {} of {CUTS} are left",
            proxy.cuts_left()
        );
    }
    // Nothing is left for whoever holds the name next.
    let owner = connect(&url, &token).await;
    let list = owner.call("list_subscriptions", json!({})).await.expect("it is listed");
    assert_eq!(list["subscriptions"][0]["rooms"][0]["pending"], 0, "{list}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_in_order_is_only_a_pause() {
    let mut server = TestServer::start().await;
    let client = connect(server.url(), server.token()).await;
    let mut news = client.subscribe("pause:*").await.expect("it begins");
    for n in 0..3 {
        client.publish("pause:a", json!({ "n": n })).await.expect("it is confirmed");
        assert_eq!(number(&message(&mut news).await), n);
        server.restart().await;
    }
    client.publish("pause:a", json!({ "n": 3 })).await.expect("it is confirmed");
    assert_eq!(number(&message(&mut news).await), 3);
    client.close().await.expect("nothing is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patience_ends_with_an_error_for_everybody_who_waits() {
    let server = TestServer::start().await;
    let builder = Client::builder(server.url()).token(server.token()).retry_for(Duration::from_millis(200));
    let client = builder.connect().await.expect("the server is there");
    let mut news = client.subscribe("a:*").await.expect("it begins");
    server.stop().await;
    let receipt = client.publish("a:b", Payload::text("x")).await;
    assert!(matches!(receipt, Err(Error::Unreachable { .. })), "{receipt:?}");
    let end = news.next().await;
    assert!(matches!(end, Some(Err(Error::Unreachable { .. }))), "{end:?}");
    assert!(news.next().await.is_none());
    assert!(client.close().await.is_err());
}
