//! Clients from before Arqon, over real sockets: what they send is understood, and what they hear is what they expect.

use crate::client::Client;
use crate::world::World;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// An older client, and its name.
struct Older {
    client: Client,
    name: String,
}

fn new_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("arq_1700000000000000000_{}_a1b2c3", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Older {
    async fn connect(world: &World) -> Older {
        let mut client = Client::open(world, "/?token=someone", &[]).await.unwrap();
        let welcome = client.json().await;
        assert_eq!(
            (&welcome["type"], &welcome["sender"]),
            (&json!("message"), &json!("arqonbus")),
            "{welcome}"
        );
        assert_eq!(welcome["payload"]["welcome"], "Connected to ArqonBus");
        let name = welcome["payload"]["client_id"].as_str().unwrap().to_owned();
        let drawn = name.strip_prefix("arq_client_").unwrap();
        assert!(drawn.len() == 32 && drawn.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
        Older { client, name }
    }

    /// Sends an envelope with all that is always there; answers with its id.
    async fn send(&mut self, more: Value) -> String {
        let id = new_id();
        let mut all = json!({"id": id, "version": "1.0", "timestamp": "2026-02-20T10:00:00Z"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.client.send(all.to_string()).await;
        all["id"].as_str().unwrap().to_owned()
    }

    /// The next envelope, which an older library must be able to read.
    async fn next(&mut self) -> Value {
        let said = self.client.json().await;
        let known = [
            "id",
            "type",
            "version",
            "timestamp",
            "payload",
            "args",
            "metadata",
            "room",
            "channel",
            "sender",
            "from_client",
            "to_client",
            "request_id",
            "status",
            "error",
            "error_code",
        ];
        for name in said.as_object().unwrap().keys() {
            assert!(known.contains(&name.as_str()), "`{name}`: {said}");
        }
        said
    }

    /// Runs a command: its response, after which it is acknowledged.
    async fn call(&mut self, command: &str, args: Value) -> Value {
        let id = self.send(json!({"type": "command", "command": command, "args": args})).await;
        let response = self.next().await;
        assert_eq!(
            (&response["type"], &response["request_id"]),
            (&json!("response"), &json!(id)),
            "{response}"
        );
        let ok = response["status"] == "success";
        let acknowledged = self.next().await;
        assert_eq!((&acknowledged["type"], &acknowledged["id"]), (&json!("command_response"), &json!(id)));
        assert_eq!(acknowledged["payload"]["result"], if ok { "ok" } else { "error" });
        response
    }

    async fn join(&mut self, room: &str, channel: &str) {
        let response = self.call("join_channel", json!({"room": room, "channel": channel})).await;
        assert_eq!(response["status"], "success", "{response}");
        assert_eq!(response["payload"]["data"]["joined_by"], self.name.as_str());
    }

    /// Publishes, and takes the acknowledgement.
    async fn say(&mut self, more: Value) -> Value {
        let payload = more["payload"].clone();
        let mut all = json!({"type": "message"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let id = self.send(all).await;
        let said = self.next().await;
        assert_eq!((&said["type"], &said["id"]), (&json!("message_response"), &json!(id)), "{said}");
        assert_eq!(said["payload"], payload);
        said
    }
}

#[tokio::test]
async fn what_is_joined_is_heard_and_what_is_said_is_acknowledged_and_not_echoed() {
    let world = World::new().await;
    let (mut a, mut b) = (Older::connect(&world).await, Older::connect(&world).await);
    assert_ne!(a.name, b.name, "each connection has a name of its own");
    a.join("science", "explore").await;
    b.join("science", "explore").await;
    let metadata = json!({"sequence": 3});
    a.say(json!({"room": "science", "channel": "explore", "payload": {"n": 1}, "metadata": metadata})).await;
    let heard = b.next().await;
    assert_eq!((&heard["type"], &heard["sender"]), (&json!("message"), &json!(a.name)));
    assert_eq!((&heard["room"], &heard["channel"]), (&json!("science"), &json!("explore")));
    assert_eq!((&heard["payload"], &heard["metadata"]), (&json!({"n": 1}), &metadata));
    assert_eq!(heard["timestamp"], "2026-02-20T10:00:00.000000Z");
    assert_eq!(heard["args"], json!({}));

    // In one field, by either; of the first contract; to the first that was joined.
    a.say(json!({"room": "science:explore", "payload": {"n": 2}})).await;
    a.say(json!({"channel": "science:explore", "payload": {"n": 3}})).await;
    a.say(json!({"type": "event", "from": a.name, "id": "arq_7f3a1b2c", "room": "science", "channel": "explore", "payload": {"n": 4}})).await;
    a.say(json!({"payload": {"n": 5}})).await;
    a.say(json!({"room": "science", "payload": {"n": 6}})).await;
    for n in 2..=6 {
        assert_eq!(b.next().await["payload"]["n"], n);
    }
    // Another channel is not heard, and what was left is heard no more.
    a.say(json!({"room": "science", "channel": "design", "payload": {"n": 7}})).await;
    let left = b.call("leave_channel", json!({"room": "science", "channel": "explore"})).await;
    assert_eq!(left["status"], "success", "{left}");
    a.say(json!({"payload": {"n": 8}})).await;
    b.join("science", "share").await;
    a.say(json!({"room": "science", "channel": "share", "payload": {"n": 9}})).await;
    assert_eq!(b.next().await["payload"]["n"], 9);
    // Nothing of its own came back to `a`.
    assert_eq!(a.call("ping", json!({})).await["payload"]["message"], "Pong!");
}

#[tokio::test]
async fn a_message_right_behind_its_join_finds_its_place() {
    let world = World::new().await;
    let (mut a, mut b) = (Older::connect(&world).await, Older::connect(&world).await);
    b.join("lab", "one").await;
    let join = a.send(json!({"type": "command", "payload": {"command": "join_channel", "parameters": {"room": "lab", "channel": "one"}}})).await;
    let ids = [
        a.send(json!({"type": "message", "payload": {"n": 1}})).await,
        a.send(json!({"type": "message", "payload": {"n": 2}})).await,
    ];
    assert_eq!(a.next().await["request_id"], join.as_str());
    assert_eq!(a.next().await["type"], "command_response");
    for id in ids {
        let said = a.next().await;
        assert_eq!((&said["type"], &said["id"]), (&json!("message_response"), &json!(id)), "{said}");
    }
    assert_eq!(b.next().await["payload"]["n"], 1);
    assert_eq!(b.next().await["payload"]["n"], 2);
}

#[tokio::test]
async fn joining_twice_is_hearing_once() {
    let world = World::new().await;
    let (mut a, mut b) = (Older::connect(&world).await, Older::connect(&world).await);
    b.join("lab", "one").await;
    b.join("lab", "one").await;
    for n in 1..=2 {
        a.say(json!({"room": "lab", "channel": "one", "payload": {"n": n}})).await;
    }
    assert_eq!(b.next().await["payload"]["n"], 1);
    assert_eq!(b.next().await["payload"]["n"], 2);
}

#[tokio::test]
async fn private_messages_reach_the_one_client_while_it_is_connected() {
    let world = World::new().await;
    let (mut a, mut b) = (Older::connect(&world).await, Older::connect(&world).await);
    a.say(json!({"to_client": b.name, "from_client": a.name, "payload": {"n": 1}})).await;
    let heard = b.next().await;
    assert_eq!((&heard["channel"], &heard["to_client"]), (&json!("pm"), &json!(b.name)), "{heard}");
    assert_eq!((&heard["from_client"], &heard["sender"]), (&json!(a.name), &json!(a.name)));
    assert_eq!((heard.get("room"), &heard["metadata"]["to_client"]), (None, &json!(b.name)));
    a.say(json!({"room": "science", "channel": "pm", "payload": {"target": b.name, "n": 2}})).await;
    assert_eq!(b.next().await["payload"]["n"], 2);
    a.say(json!({"type": "private", "room": "science", "payload": {"target": b.name, "n": 3}})).await;
    assert_eq!(b.next().await["payload"]["n"], 3);

    // A client of the current protocol reaches it as well, but does not hear what is not its own.
    let (mut current, _) = Client::connect(&world, "?token=planner").await;
    let message =
        json!({"type": "message", "to": format!("@{}", b.name), "payload": {"n": 4}, "confirm": "stored"});
    current.send(message.to_string()).await;
    assert_eq!(current.json().await["status"], "success");
    assert_eq!(b.next().await["payload"]["n"], 4);
    let refused =
        current.call("s", "subscribe", &json!({"pattern": format!("@{}", b.name)}).to_string()).await;
    assert_eq!(refused["error_code"], "AUTHORIZATION_ERROR");

    let name = b.name.clone();
    drop(b);
    world.until("it is gone", || world.metric("active_connections") == 2.0).await;
    let id = a.send(json!({"type": "message", "to_client": name, "payload": {}})).await;
    let error = a.next().await;
    assert_eq!((&error["type"], &error["request_id"]), (&json!("error"), &json!(id)), "{error}");
    assert_eq!(error["error_code"], "NOT_FOUND");
}

#[tokio::test]
async fn what_is_wrong_is_answered_in_the_older_words_and_ten_times_a_minute_is_too_often() {
    let world = World::new().await;
    let mut a = Older::connect(&world).await;
    let id = a.send(json!({"type": "chat", "payload": 1})).await;
    let error = a.next().await;
    assert_eq!((&error["type"], &error["request_id"]), (&json!("error"), &json!(id)));
    assert_eq!(
        (&error["error"], &error["error_code"]),
        (&json!("Message validation failed"), &json!("VALIDATION_ERROR"))
    );
    assert_eq!(error["payload"]["errors"].as_array().unwrap().len(), 2, "{error}");
    a.client.send("{ this is not JSON").await;
    assert_eq!(a.next().await["error_code"], "INTERNAL_ERROR");
    // What has no place is no violation, and neither is a command that fails.
    let id = a.send(json!({"type": "message", "payload": {}})).await;
    let error = a.next().await;
    assert_eq!((&error["request_id"], &error["error_code"]), (&json!(id), &json!("ROUTING_ERROR")));
    let failed = a.call("no_such_command", json!({})).await;
    assert_eq!((&failed["status"], &failed["error_code"]), (&json!("error"), &json!("UNKNOWN_COMMAND")));
    for _ in 0..8 {
        a.send(json!({"type": "chat"})).await;
    }
    for _ in 0..8 {
        assert_eq!(a.next().await["error_code"], "VALIDATION_ERROR");
    }
    assert_eq!(a.client.closed().await.0, 4502);
}

#[tokio::test]
async fn a_client_at_ws_is_taken_for_older_once_it_speaks_so() {
    let world = World::new().await;
    let (mut client, welcome) = Client::connect(&world, "?token=someone").await;
    assert_eq!(welcome["payload"]["welcome"], "Connected to Arqon");
    assert_eq!(client.call("p", "ping", "{}").await["sender"], "arqon");
    client
        .send(json!({"id": "arq_cmd_001", "type": "command", "payload": {"command": "ping"}}).to_string())
        .await;
    let response = client.json().await;
    assert_eq!((&response["sender"], &response["request_id"]), (&json!("arqonbus"), &json!("arq_cmd_001")));
    assert_eq!(client.json().await["type"], "command_response");
    // At `/` a subprotocol of ours is ours.
    let headers = [("sec-websocket-protocol", "arqon.v1.json")];
    let mut current = Client::open(&world, "/?token=someone", &headers).await.unwrap();
    assert_eq!(current.json().await["payload"]["client_id"], "someone");
}

#[tokio::test]
async fn both_protocols_meet_in_one_channel() {
    let world = World::new().await;
    let mut older = Older::connect(&world).await;
    older.join("repo", "main").await;
    let (mut current, _) = Client::connect(&world, "?token=planner").await;
    current.call("s", "subscribe", r#"{"pattern":"repo:*","echo":false}"#).await;
    older.say(json!({"room": "repo", "channel": "main", "payload": {"n": 1}, "x-own": 1})).await;
    let heard = current.json().await;
    assert_eq!((&heard["sender"], &heard["payload"]["n"]), (&json!(older.name), &json!(1)));
    assert!(heard["position"].is_string() && heard["x-own"] == 1, "{heard}");
    let message = json!({"type": "message", "to": "repo:main", "payload": {"n": 2}, "priority": "high", "correlation_id": "c"});
    current.send(message.to_string()).await;
    let heard = older.next().await;
    assert_eq!((&heard["sender"], &heard["payload"]["n"]), (&json!("planner"), &json!(2)));
}
