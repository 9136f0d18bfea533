//! Publishing, subscribing, asking and answering over a connection that holds.

use crate::{LIMIT, connect, message, number};
use arqon_client::{Client, Code, Error, Payload, Priority};
use arqon_testkit::TestServer;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_message_arrives_with_all_that_was_said_of_it() {
    let server = TestServer::start().await;
    let client = connect(server.url(), server.token()).await;
    let mut news = client.subscribe("talk:*").await.expect("it begins");
    let sent = client
        .publish("talk:main", Payload::text("hello"))
        .priority(Priority::High)
        .metadata(json!({ "trace": 1 }))
        .idempotency_key("once")
        .reply_to("talk:answers")
        .await
        .expect("it is confirmed");
    let again = client.publish("talk:main", Payload::text("hello")).idempotency_key("once").await;
    let again = again.expect("it is confirmed");
    assert_eq!((again.duplicate, again.position), (true, sent.position));

    let got = message(&mut news).await;
    assert_eq!((got.address().to_string().as_str(), got.position()), ("talk:main", sent.position));
    assert_eq!(got.json::<Value>().expect("an object"), json!({ "text": "hello" }));
    assert_eq!((got.envelope().priority, got.reply_to()), (Priority::High, Some("talk:answers")));
    assert_eq!((got.attempt(), got.needs_ack()), (0, false));
    client.publish("talk:main", json!({ "n": 2 })).unconfirmed().await.expect("it is taken");
    assert_eq!(number(&message(&mut news).await), 2);
    client.close().await.expect("nothing is left");
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_nobody() {
    let server = TestServer::start().await;
    let client = connect(server.url(), server.token()).await;
    let mut slow = client.subscribe("flow:*").credit(4).await.expect("it begins");
    let publisher = client.publisher(64);
    let mut pending = Vec::new();
    for n in 0..500 {
        pending
            .push(publisher.send(publisher.message("flow:a", json!({ "n": n }))).await.expect("it is taken"));
    }
    for receipt in pending {
        tokio::time::timeout(LIMIT, receipt).await.expect("confirms get through").expect("it is confirmed");
    }
    for n in 0..500 {
        assert_eq!(number(&message(&mut slow).await), n);
    }
    client.close().await.expect("nothing is left");
}

#[tokio::test]
async fn what_is_rejected_or_let_go_of_comes_again() {
    let server = TestServer::start().await;
    let client = connect(server.url(), server.token()).await;
    let wish = client.subscribe("jobs:*").durable("worker").ack_wait(Duration::from_millis(300));
    let mut jobs = wish.await.expect("it begins");
    for n in 1..=2 {
        client.publish("jobs:a", json!({ "n": n })).await.expect("it is confirmed");
    }
    let (first, second) = (message(&mut jobs).await, message(&mut jobs).await);
    assert_eq!((first.attempt(), second.attempt()), (1, 1));
    first.reject(Some(Duration::ZERO), "not now");
    let again = message(&mut jobs).await;
    assert_eq!((number(&again), again.attempt()), (1, 2));
    again.ack();
    drop(second);
    let again = message(&mut jobs).await;
    assert_eq!((number(&again), again.attempt()), (2, 2));
    again.ack();
    client.flush().await.expect("the acknowledgements arrive");
    let list = client.call("list_subscriptions", json!({})).await.expect("it is listed");
    assert_eq!(list["subscriptions"][0]["rooms"][0]["pending"], 0, "{list}");
}

#[tokio::test]
async fn questions_are_answered_or_time_out() {
    let server = TestServer::start().await;
    let builder = Client::builder(server.url()).token(server.token()).agent("doubler", ["double"]);
    let agent = builder.connect().await.expect("the server is there");
    let serving = agent.serve("@doubler", 8, |question| async move {
        let n = question.json::<Value>().expect("an object")["n"].as_u64().unwrap_or(0);
        Payload::from(json!({ "n": n * 2 }))
    });
    let client = connect(server.url(), server.token()).await;
    let asking = async {
        let ask =
            |address: &str, n: u64| client.request(address, json!({ "n": n })).timeout(LIMIT).into_future();
        let (one, two) = tokio::join!(ask("@doubler", 1), ask("@skill/double", 21));
        assert_eq!(number(&one.expect("an answer")), 2);
        assert_eq!(number(&two.expect("an answer")), 42);
        let nobody = client.request("nobody:here", json!({})).timeout(Duration::from_millis(200)).await;
        assert!(matches!(nobody, Err(Error::Timeout(_))), "{nobody:?}");
        let wrong = client.request("nochannel", json!({})).await;
        assert_eq!(wrong.expect_err("it is wrong").field(), Some("address"));
    };
    tokio::select! {
        ended = serving => panic!("serving ended: {ended:?}"),
        () = asking => {}
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_sent() {
    let server = TestServer::start().await;
    let client = connect(server.url(), server.token()).await;
    let large = Payload::text(&"x".repeat(1024 * 1024));
    let error = client.publish("a:b", large).await.expect_err("it is too large");
    assert_eq!((error.code(), error.field()), (Some(Code::TooLarge), Some("payload")));
    client.publish("a:b", Payload::text("small")).await.expect("the connection holds");
}
