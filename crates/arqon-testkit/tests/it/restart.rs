//! A server that is stopped in order and started again: positions, durable subscriptions and clients go on.

use arqon_client::Event;
use arqon_testkit::TestServer;
use arqon_testkit::door::Door;

#[tokio::test]
async fn a_client_outlives_a_restart_and_positions_go_on() {
    let mut server = TestServer::start().await;
    let client = server.client().await;
    let mut subscription = client.subscribe("work:*").durable("w").await.unwrap();
    let first = client.publish("work:main", serde_json::json!({ "n": 1 })).await.unwrap();
    server.restart().await;
    let second = client.publish("work:main", serde_json::json!({ "n": 2 })).await.unwrap();
    assert_eq!(second.position.epoch, first.position.epoch, "an orderly stop loses nothing");
    assert_eq!(second.position.offset, first.position.offset + 1);
    for expected in [&first, &second] {
        match subscription.next().await.unwrap().unwrap() {
            Event::Message(message) => {
                assert_eq!(message.position(), expected.position);
                message.ack();
            }
            other => panic!("expected a message: {other:?}"),
        }
    }
    client.close().await.unwrap();
    let mut reader = Door::Rest.open(server.url(), server.token()).await;
    assert_eq!(reader.read("work:*", "earliest", 2).await.len(), 2);
    server.stop().await;
}
