//! Messages, commands and answers, in both forms.

use crate::client::Client;
use crate::world::World;
use arqon_core::Target;
use arqon_core::bus::Publish;
use arqon_core::value::Value;
use arqon_wire::{ServerSays, proto};
use bytes::Bytes;
use futures_util::SinkExt;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

fn message(to: &str, n: usize, confirm: bool) -> String {
    let confirm = if confirm { r#","confirm":"stored""# } else { "" };
    format!(r#"{{"type":"message","to":"{to}","payload":{{"n":{n}}}{confirm}}}"#)
}

#[tokio::test]
async fn a_message_goes_from_one_client_to_another() {
    let world = World::new().await;
    let (mut reader, welcome) = Client::connect(&world, "?token=reader").await;
    assert_eq!(welcome["type"], "message");
    assert_eq!(welcome["payload"]["welcome"], "Connected to Arqon");
    assert_eq!(welcome["payload"]["client_id"], "reader");
    assert_eq!(welcome["payload"]["limits"]["message_bytes"], 1_048_576);
    let subscribed = reader.call("c1", "subscribe", r#"{"pattern":"repo:*"}"#).await;
    assert_eq!((&subscribed["type"], &subscribed["status"]), (&"response".into(), &"success".into()));
    let subscription = subscribed["payload"]["data"]["subscription"].clone();

    let (mut writer, _) = Client::connect(&world, "?token=writer").await;
    writer
        .send(
            r#"{"id":"arq_01ARZ3NDEKTSV4RRFFQ69G5FAV","type":"message","version":"1.0","room":"repo","channel":"main",
            "payload":{"text": "hé"},"metadata":{"sequence":1},"priority":"high","x-own":[1],"confirm":"stored"}"#,
        )
        .await;
    let confirm = writer.json().await;
    assert_eq!(confirm["request_id"], "arq_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let data = &confirm["payload"]["data"];
    assert_eq!(
        (&data["room"], &data["channel"], &data["duplicate"]),
        (&"repo".into(), &"main".into(), &false.into())
    );

    let got = reader.json().await;
    assert_eq!(got["subscription"], subscription);
    assert_eq!(got["position"], data["position"]);
    assert_eq!(
        (&got["type"], &got["sender"], &got["priority"]),
        (&"message".into(), &"writer".into(), &"high".into())
    );
    assert_eq!(got["payload"]["text"], "hé");
    assert_eq!((&got["metadata"]["sequence"], &got["x-own"]), (&1.into(), &serde_json::json!([1])));
}

#[tokio::test]
async fn pipelined_messages_are_confirmed_in_order() {
    let world = World::new().await;
    let (mut client, _) = Client::connect(&world, "").await;
    for n in 0..500 {
        client.socket.feed(Message::text(message("repo:main", n, true))).await.unwrap();
    }
    client.socket.flush().await.unwrap();
    let mut offsets = Vec::new();
    for _ in 0..500 {
        let confirm = client.json().await;
        let position = confirm["payload"]["data"]["position"].as_str().unwrap().to_owned();
        offsets.push(position.split_once('-').unwrap().1.parse::<u64>().unwrap());
    }
    assert_eq!(offsets, (1..=500).collect::<Vec<_>>());
}

#[tokio::test]
async fn replay_begins_after_the_answer_and_joins_live_without_gap_or_duplicate() {
    let world = World::new().await;
    let (mut client, _) = Client::connect(&world, "").await;
    for n in 0..700 {
        client.socket.feed(Message::text(message("repo:main", n, false))).await.unwrap();
    }
    // The answer of `call` is the first thing to come: before every delivery.
    client.call("sub", "subscribe", r#"{"pattern":"repo:main","from":"earliest","id":"mine"}"#).await;
    for n in 700..800 {
        client.socket.feed(Message::text(message("repo:main", n, false))).await.unwrap();
    }
    client.socket.flush().await.unwrap();
    for n in 0..800 {
        let got = client.json().await;
        assert_eq!((&got["payload"]["n"], &got["subscription"]), (&n.into(), &"mine".into()), "{got}");
    }
}

#[tokio::test]
async fn a_client_is_answered_in_the_form_it_used() {
    let world = World::new().await;
    let headers = [("sec-websocket-protocol", "arqon.v1.proto")];
    let mut client = Client::try_connect(&world, "", &headers).await.unwrap();
    assert_eq!(client.response.headers()["sec-websocket-protocol"], "arqon.v1.proto");
    let said = |message: Message| match message {
        Message::Binary(bytes) => proto::client::decode(&Bytes::from(bytes.to_vec())).unwrap(),
        other => panic!("expected binary, found {other:?}"),
    };
    assert!(matches!(said(client.next().await), ServerSays::Welcome(_)));

    let mut frame = Vec::new();
    proto::client::write_command(&mut frame, "c", "subscribe", &Value::map([("pattern", "a:b".into())]));
    client.socket.send(Message::binary(frame)).await.unwrap();
    assert!(matches!(said(client.next().await), ServerSays::Response { .. }));

    let mut frame = Vec::new();
    let publish = Publish::new(Target::parse("a:b").unwrap(), Bytes::from_static(b"{\"k\":1}"));
    proto::client::write_publish(&mut frame, &publish, false);
    client.socket.send(Message::binary(frame)).await.unwrap();
    let ServerSays::Delivery(got) = said(client.next().await) else { panic!() };
    assert_eq!((got.message.payload, &*got.message.sender), (publish.payload, "tester"));

    // From here on it speaks JSON.
    client.send(message("a:b", 2, false)).await;
    assert_eq!(client.json().await["payload"]["n"], 2);
}

#[tokio::test]
async fn a_long_request_holds_up_nothing() {
    let world = World::new().await;
    let (mut client, _) = Client::connect(&world, "").await;
    client
        .send(r#"{"type":"command","id":"slow","command":"request","args":{"address":"nobody:here","payload":{},"timeout_ms":3000}}"#)
        .await;
    let pong = client.call("fast", "ping", "{}").await;
    assert_eq!(pong["status"], "success");
    world.until("the request waits for its answer", || world.clock.sleepers() >= 2).await;
    world.clock.advance(Duration::from_secs(3));
    let late = client.json().await;
    assert_eq!((&late["request_id"], &late["error_code"]), (&"slow".into(), &"TIMEOUT".into()));
    assert_eq!(late["payload"]["outcome"], "unknown");
}

#[tokio::test]
async fn a_request_is_answered_by_publishing_to_its_reply_inbox() {
    let world = World::new().await;
    let (mut server, _) = Client::connect(&world, "?token=server").await;
    server.call("s", "subscribe", r#"{"pattern":"math:double"}"#).await;
    let (mut client, _) = Client::connect(&world, "?token=client").await;
    client
        .send(r#"{"type":"command","id":"q","command":"request","args":{"address":"math:double","payload":{"n":21}}}"#)
        .await;
    let question = server.json().await;
    let (to, correlation) =
        (question["reply_to"].as_str().unwrap(), question["correlation_id"].as_str().unwrap());
    server
        .send(format!(
            r#"{{"type":"message","to":"{to}","correlation_id":"{correlation}","payload":{{"n":42}}}}"#
        ))
        .await;
    let answer = client.json().await;
    assert_eq!(answer["request_id"], "q");
    assert!(answer.to_string().contains("\"n\":42"), "{answer}");
}

#[tokio::test]
async fn errors_name_the_field_and_the_connection_stays() {
    let world = World::new().await;
    let (mut client, _) = Client::connect(&world, "").await;
    client.send(r#"{"id":"arq_1_2_abcdef","type":"message","to":"a:b","payload":"text"}"#).await;
    let error = client.json().await;
    assert_eq!((&error["type"], &error["request_id"]), (&"error".into(), &"arq_1_2_abcdef".into()));
    assert_eq!(
        (&error["error_code"], &error["payload"]["field"]),
        (&"VALIDATION_ERROR".into(), &"payload".into())
    );
    assert_eq!(error["error"], "expected an object, found a string");

    // Refused by the core, without a confirm having been asked for.
    client.send(message("system:x", 1, false)).await;
    assert_eq!(client.json().await["error_code"], "AUTHORIZATION_ERROR");
    assert_eq!(client.call("u", "subcribe", "{}").await["error_code"], "UNKNOWN_COMMAND");
    assert_eq!(client.call("a", "subscribe", r#"{"patern":"x"}"#).await["payload"]["field"], "args.pattern");
    assert_eq!(client.call("p", "ping", "{}").await["status"], "success");
}

#[tokio::test]
async fn a_command_without_an_id_is_answered_only_if_it_fails() {
    let world = World::new().await;
    let (mut client, _) = Client::connect(&world, "").await;
    client.send(r#"{"type":"command","command":"ping"}"#).await;
    client
        .send(r#"{"type":"command","command":"acknowledge","args":{"subscription":"none","position":"1-1"}}"#)
        .await;
    let error = client.json().await;
    assert_eq!((&error["error_code"], error.get("request_id")), (&"NOT_FOUND".into(), None));
}

#[tokio::test]
async fn the_holder_of_a_durable_name_is_told_when_it_is_taken_over() {
    let world = World::new().await;
    let (mut first, _) = Client::connect(&world, "").await;
    let subscribe = r#"{"pattern":"repo:*","durable":"worker","id":"w"}"#;
    first.call("1", "subscribe", subscribe).await;
    first.send(message("repo:main", 1, false)).await;
    let got = first.json().await;
    assert_eq!((&got["attempt"], &got["payload"]["n"]), (&1.into(), &1.into()));
    let (mut second, _) = Client::connect(&world, "").await;
    second.call("2", "subscribe", subscribe).await;
    let ended = first.json().await;
    assert_eq!((&ended["type"], &ended["subscription"]), (&"ended".into(), &"w".into()));
    assert_eq!(ended["error_code"], "FENCED");
    let again = second.json().await;
    assert_eq!(again["payload"]["n"], 1);
    let position = again["position"].as_str().unwrap();
    let args = format!(r#"{{"subscription":"w","position":"{position}"}}"#);
    assert_eq!(second.call("ack", "acknowledge", &args).await["payload"]["data"]["acknowledged"], 1);
}

#[tokio::test]
async fn agents_register_by_query_and_have_an_inbox() {
    let world = World::new().await;
    let (mut agent, welcome) =
        Client::connect(&world, "?token=planner&agent=planner&skills=plan,%20sort").await;
    assert_eq!(welcome["payload"]["client_id"], "planner");
    agent.call("s", "subscribe", r#"{"pattern":"@planner"}"#).await;
    let (mut other, _) = Client::connect(&world, "?token=other").await;
    other.send(message("@skill/sort", 5, false)).await;
    let got = agent.json().await;
    assert_eq!(
        (&got["room"], &got["to"], &got["payload"]["n"]),
        (&"@planner".into(), &"@skill/sort".into(), &5.into())
    );
}
