//! The WebSocket door as the server mounts it: who gets in, what stopping does, and what only it can begin.

use crate::http::{PATIENCE, ask};
use crate::site::Site;
use arqon_core::Role;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub async fn open(site: &Site) -> Socket {
        let url = format!("ws://{}/ws?token={}", site.addr, site.owner);
        let mut socket = Socket(connect_async(url).await.unwrap().0);
        let welcome = socket.read().await.unwrap();
        assert_eq!(welcome["payload"]["welcome"], "Connected to Arqon");
        socket
    }

    pub async fn send(&mut self, envelope: Value) {
        self.0.send(Message::text(envelope.to_string())).await.unwrap();
    }

    /// The next envelope, or the code of the close frame.
    pub async fn read(&mut self) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a frame in time");
            match message.expect("a close frame before the end").unwrap() {
                Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
                Message::Close(frame) => return Err(frame.unwrap().code.into()),
                _ => {}
            }
        }
    }

    /// The data of the answer to a command; deliveries before it are dropped.
    pub async fn command(&mut self, name: &str, args: Value) -> Value {
        self.send(json!({"type": "command", "id": name, "command": name, "args": args})).await;
        loop {
            let envelope = self.read().await.unwrap();
            if envelope["request_id"] == name {
                assert_eq!(envelope["type"], "response", "{envelope}");
                return envelope["payload"]["data"].clone();
            }
        }
    }
}

fn upgrade(path: &str) -> crate::http::Ask {
    ask("GET", path)
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[tokio::test]
async fn nobody_gets_in_without_a_good_token() {
    let site = Site::start().await;
    let expired = site.token("default", Role::Admin, Duration::ZERO);
    for (ask, details) in [
        (upgrade("/ws"), "Missing bearer token"),
        (upgrade("/"), "Missing bearer token"),
        (upgrade("/ws?token=x.y.z"), "Invalid token"),
        (upgrade("/ws").token(&expired), "Token expired"),
    ] {
        let answer = ask.send(site.addr).await;
        assert_eq!((answer.status, &answer.json()["error"]), (401, &json!("Unauthorized")), "{answer:?}");
        assert!(answer.json()["details"].as_str().unwrap().starts_with(details), "{answer:?}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"arqonbus\"");
    }
    // Where older clients connect they read two reasons and nothing else.
    for (ask, details) in [
        (upgrade("/"), "Missing bearer token"),
        (upgrade("/?token="), "Missing bearer token"),
        (upgrade("/?token=x.y.z"), "Invalid token"),
        (upgrade("/").token(&expired), "Invalid token"),
    ] {
        let answer = ask.send(site.addr).await;
        assert_eq!(
            (answer.status, answer.json()),
            (401, json!({"error": "Unauthorized", "details": details}))
        );
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"arqonbus\"");
    }
    let page =
        upgrade("/ws").token(&site.owner).header("origin", "https://evil.example").send(site.addr).await;
    assert_eq!(page.status, 403);
}

#[tokio::test]
async fn skills_without_an_agent_are_refused_and_not_dropped() {
    let site = Site::start().await;
    for skills in ["a%20b", "plan"] {
        let answer = site.send(upgrade(&format!("/ws?skills={skills}"))).await;
        let details = answer.json()["details"].as_str().unwrap().to_owned();
        assert!(
            answer.status == 400 && details.starts_with("agent: ") && details.contains("`skills`"),
            "{details}"
        );
    }
    let answer = site.send(upgrade("/ws?agent=planner&skills=a%20b")).await;
    let details = answer.json()["details"].as_str().unwrap().to_owned();
    assert!(answer.status == 400 && details.contains("skill"), "{details}");
}

#[tokio::test]
async fn what_comes_in_by_one_door_goes_out_by_the_other() {
    let site = Site::start().await;
    let mut socket = Socket::open(&site).await;
    socket.command("subscribe", json!({"pattern": "repo:*"})).await;
    let position = site.publish("repo:main", 5).await;
    let delivery = socket.read().await.unwrap();
    assert_eq!((&delivery["payload"], &delivery["position"]), (&json!({"n": 5}), &json!(position)));
    socket.send(json!({"type": "message", "to": "repo:main", "payload": {"n": 6}})).await;
    assert_eq!(socket.read().await.unwrap()["payload"], json!({"n": 6}));
    let found = site.get(&format!("/api/v1/channels/repo:main/messages?after={position}")).await.json();
    assert_eq!(crate::site::numbers(&found["messages"]), [6]);
}

#[tokio::test]
async fn stopping_confirms_what_was_taken_and_says_come_back() {
    let site = Site::start().await;
    let mut socket = Socket::open(&site).await;
    let stopping = {
        for n in 0..100 {
            let envelope = json!({"type": "message", "to": "a:b", "payload": {"n": n}, "confirm": "stored"});
            socket.send(envelope).await;
        }
        assert_eq!(socket.read().await.unwrap()["type"], "response");
        tokio::spawn(site.server.stop())
    };
    let mut confirmed = 1;
    let code = loop {
        match socket.read().await {
            Ok(envelope) => {
                assert_eq!(envelope["type"], "response", "{envelope}");
                confirmed += 1;
            }
            Err(code) => break code,
        }
    };
    assert_eq!(code, 1001);
    assert!((1..=100).contains(&confirmed));
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn dead_letters_are_managed_over_http_whatever_their_ids_hold() {
    let site = Site::start().await;
    let mut socket = Socket::open(&site).await;
    socket
        .command("subscribe", json!({"pattern": "job:*", "durable": "worker", "max_deliver": 1, "id": "s"}))
        .await;
    let position = site.publish("job:x", 1).await;
    assert_eq!(socket.read().await.unwrap()["attempt"], 1);
    socket
        .command("reject", json!({"subscription": "s", "position": position, "reason": "no such file"}))
        .await;

    let list = async {
        loop {
            let answer = site.get("/api/v1/dead-letters?subscription=worker").await.json();
            if let [letter] = &answer["dead_letters"].as_array().unwrap()[..] {
                return letter.clone();
            }
        }
    };
    let letter = tokio::time::timeout(PATIENCE, list).await.expect("a dead letter");
    assert_eq!(
        (&letter["reason"], &letter["message"]["payload"]),
        (&json!("rejected: no such file"), &json!({"n": 1}))
    );
    let id = letter["id"].as_str().unwrap();
    assert!(id.contains('/'), "{id}");
    let path = format!("/api/v1/dead-letters/{}", id.replace('/', "%2F"));
    assert_eq!(site.get(&path).await.json()["id"], *id);
    let replayed = site.send(ask("POST", &format!("{path}/replay"))).await;
    assert_eq!((replayed.status, &replayed.json()["room"]), (200, &json!("job")));
    assert_eq!(site.get(&path).await.status, 404);
    assert_eq!(site.send(ask("DELETE", &path)).await.status, 404);
}
