//! Ends that coming back would not mend: the client says so and stays away.

use crate::{LIMIT, connect, message};
use arqon_client::{Client, Code, ConnectionState, Error, Payload};
use arqon_testkit::TestServer;
use serde_json::json;

#[tokio::test]
async fn a_token_that_is_not_valid_is_final() {
    let server = TestServer::start().await;
    for builder in [Client::builder(server.url()).token("nonsense"), Client::builder(server.url()).no_token()]
    {
        let error = builder.connect().await.err().expect("it is refused");
        assert!(matches!(error, Error::Rejected { code: Code::Unauthenticated, .. }), "{error:?}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let server = TestServer::start().await;
    let url = server.url().to_owned();
    server.stop().await;
    let error = Client::builder(&url).no_token().connect().await.err().expect("there is nobody");
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("connection refused"), "{error}");
}

#[tokio::test]
async fn a_durable_name_that_is_taken_over_ends_with_fenced() {
    let server = TestServer::start().await;
    let client = connect(server.url(), server.token()).await;
    let mut old = client.subscribe("a:*").durable("one").await.expect("it begins");
    let other = connect(server.url(), server.token()).await;
    let mut new = other.subscribe("a:*").durable("one").await.expect("it takes over");
    let end = tokio::time::timeout(LIMIT, old.next()).await.expect("it ends").expect("with a reason");
    assert_eq!(end.expect_err("it is over").code(), Some(Code::Fenced));
    assert!(old.next().await.is_none());
    client.publish("a:b", Payload::text("x")).await.expect("the old client lives on");
    message(&mut new).await.ack();
}

#[tokio::test]
async fn a_token_that_expires_ends_the_client() {
    let server = TestServer::start().await;
    let owner = connect(server.url(), server.token()).await;
    let args = json!({ "subject": "brief", "ttl_s": 1 });
    let answer = owner.call("create_token", args).await.expect("the owner may");
    let token = answer["token"].as_str().expect("a token").to_owned();
    let client =
        Client::builder(server.url()).token(token).connect().await.expect("it is valid for a second");
    let mut states = client.connection();
    let closed = states.wait_for(|state| matches!(state, ConnectionState::Closed(_)));
    let closed = tokio::time::timeout(LIMIT, closed).await.expect("it ends").expect("it is told").clone();
    let ConnectionState::Closed(error) = closed else { panic!("{closed:?}") };
    assert_eq!(error.code(), Some(Code::Unauthenticated), "{error}");
}

#[tokio::test]
async fn rights_are_said_with_the_code_and_the_connection_holds() {
    let server = TestServer::start().await;
    let owner = connect(server.url(), server.token()).await;
    let args = json!({ "subject": "reader", "publish": ["mine:*"], "subscribe": ["mine:*"] });
    let answer = owner.call("create_token", args).await.expect("the owner may");
    let token = answer["token"].as_str().expect("a token");
    let client = connect(server.url(), token).await;
    let refused = client.publish("yours:a", Payload::text("x")).await.expect_err("it may not");
    assert_eq!(refused.code(), Some(Code::Forbidden));
    let refused = client.subscribe("yours:*").await.err().expect("it may not");
    assert_eq!(refused.code(), Some(Code::Forbidden));
    client.publish("mine:a", Payload::text("x")).await.expect("it may");
}
