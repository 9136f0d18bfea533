//! The WebSocket door in either form, over other people's framing.

use super::{Refusal, Seen};
use arqon_core::bus::Publish;
use arqon_core::{Error, Target};
use arqon_wire::{
    Form, ServerSays, json::client as json_client, proto::client as proto_client, value_from_json,
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// A connection.
pub struct Ws {
    form: Form,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    waiting: VecDeque<Seen>,
    commands: u32,
}

impl Ws {
    pub(super) async fn open(form: Form, url: &str, token: &str) -> Ws {
        let url = format!("{}/ws", url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().expect("the URL is well formed");
        let headers = request.headers_mut();
        headers.insert("Authorization", format!("Bearer {token}").parse().expect("tokens are ASCII"));
        headers.insert("Sec-WebSocket-Protocol", form.subprotocol().parse().expect("it is ASCII"));
        let (socket, response) =
            tokio_tungstenite::connect_async(request).await.expect("the server lets us in");
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], form.subprotocol());
        let mut ws = Ws { form, socket, waiting: VecDeque::new(), commands: 0 };
        let welcome = ws.hear().await;
        assert!(matches!(welcome, ServerSays::Welcome(_)), "{welcome:?}");
        ws
    }

    pub(super) async fn publish(&mut self, address: &str, payload: &str) -> Result<String, Refusal> {
        let target = Target::parse(address).map_err(|error| refusal(&error))?;
        let publish = Publish::new(target, payload.to_owned());
        let mut frame = Vec::new();
        if self.form.is_text() {
            json_client::write_publish(&mut frame, &publish, true);
        } else {
            proto_client::write_publish(&mut frame, &publish, true);
        }
        self.say(frame).await;
        let data = self.answer().await?;
        Ok(data["position"].as_str().expect("a confirmation has a position").to_owned())
    }

    pub(super) async fn read(&mut self, pattern: &str, from: &str, count: usize) -> Vec<Seen> {
        let args = json!({ "pattern": pattern, "from": from });
        let subscribed = self.call("subscribe", args).await.expect("the subscription is granted");
        while self.waiting.len() < count {
            match self.hear().await {
                ServerSays::Delivery(delivered) => self.waiting.push_back(seen(&delivered)),
                other => panic!("expected a delivery: {other:?}"),
            }
        }
        let read = self.waiting.drain(..count).collect();
        let args = json!({ "subscription": subscribed["subscription"] });
        self.call("unsubscribe", args).await.expect("it exists");
        self.waiting.clear();
        read
    }

    pub(super) async fn call(&mut self, name: &str, args: Value) -> Result<Value, Refusal> {
        self.commands += 1;
        let id = format!("c{}", self.commands);
        let args = value_from_json(args.to_string().as_bytes()).expect("it was just written");
        let mut frame = Vec::new();
        if self.form.is_text() {
            json_client::write_command(&mut frame, &id, name, &args);
        } else {
            proto_client::write_command(&mut frame, &id, name, &args);
        }
        self.say(frame).await;
        self.answer().await
    }

    async fn say(&mut self, frame: Vec<u8>) {
        let message = if self.form.is_text() {
            Message::text(String::from_utf8(frame).expect("JSON is UTF-8"))
        } else {
            Message::binary(frame)
        };
        self.socket.send(message).await.expect("the connection stays open");
    }

    /// The answer to what was said last; deliveries on the way wait.
    async fn answer(&mut self) -> Result<Value, Refusal> {
        loop {
            match self.hear().await {
                ServerSays::Response { data, .. } => {
                    return Ok(serde_json::from_slice(&data).expect("answers are JSON"));
                }
                ServerSays::Error { error, .. } => return Err(refusal(&error)),
                ServerSays::Delivery(delivered) => self.waiting.push_back(seen(&delivered)),
                other => panic!("expected an answer: {other:?}"),
            }
        }
    }

    /// The next envelope, which must come in the form that we speak.
    async fn hear(&mut self) -> ServerSays {
        loop {
            let message =
                self.socket.next().await.expect("the connection stays open").expect("frames are well formed");
            let decoded = match (self.form, message) {
                (Form::Json, Message::Text(text)) => json_client::decode(&Bytes::from(text)),
                (Form::Proto, Message::Binary(bytes)) => proto_client::decode(&bytes),
                (_, Message::Ping(_) | Message::Pong(_)) => continue,
                (form, other) => panic!("not an envelope in {form:?}: {other:?}"),
            };
            return decoded.expect("what the server says can be read");
        }
    }
}

fn seen(delivered: &arqon_wire::Delivered) -> Seen {
    Seen {
        position: delivered.position.to_string(),
        address: delivered.message.address.to_string(),
        payload: serde_json::from_slice(&delivered.message.payload).expect("payloads are JSON"),
    }
}

fn refusal(error: &Error) -> Refusal {
    Refusal { code: error.code().as_str().to_owned(), field: error.field().map(str::to_owned) }
}
