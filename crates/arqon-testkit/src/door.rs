//! One way to speak to a server for each of its doors, so that a scenario is written once and run over all of them.
//!
//! Invariant: a driver adds nothing: what a door refuses is refused here with the same code and field.

pub(crate) mod http;
mod rest;
mod ws;

use arqon_wire::Form;
use serde_json::Value;

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// WebSocket with text frames.
    WsJson,
    /// WebSocket with binary frames.
    WsProto,
    /// HTTP requests.
    Rest,
}

impl Door {
    /// All there are.
    pub const ALL: [Door; 3] = [Door::WsJson, Door::WsProto, Door::Rest];

    /// Opens it.
    pub async fn open(self, url: &str, token: &str) -> Driver {
        match self {
            Door::WsJson => Driver::Ws(Box::new(ws::Ws::open(Form::Json, url, token).await)),
            Door::WsProto => Driver::Ws(Box::new(ws::Ws::open(Form::Proto, url, token).await)),
            Door::Rest => Driver::Rest(rest::Rest::open(url, token)),
        }
    }
}

/// A message as a door delivers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Where it stands.
    pub position: String,
    /// `room:channel`.
    pub address: String,
    /// Its content.
    pub payload: Value,
}

/// What a door says no with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: String,
    /// The field at fault, if one is named.
    pub field: Option<String>,
}

/// An open door.
pub enum Driver {
    /// A WebSocket connection.
    Ws(Box<ws::Ws>),
    /// HTTP requests.
    Rest(rest::Rest),
}

impl Driver {
    /// Publishes raw JSON and waits until it is stored; the answer is its position.
    pub async fn publish(&mut self, address: &str, payload: &str) -> Result<String, Refusal> {
        match self {
            Driver::Ws(ws) => ws.publish(address, payload).await,
            Driver::Rest(rest) => rest.publish(address, payload).await,
        }
    }

    /// Subscribes and reads so many messages.
    pub async fn read(&mut self, pattern: &str, from: &str, count: usize) -> Vec<Seen> {
        match self {
            Driver::Ws(ws) => ws.read(pattern, from, count).await,
            Driver::Rest(rest) => rest.read(pattern, from, count).await,
        }
    }

    /// Runs an operation; it must have a route.
    pub async fn call(&mut self, name: &str, args: Value) -> Result<Value, Refusal> {
        match self {
            Driver::Ws(ws) => ws.call(name, args).await,
            Driver::Rest(rest) => rest.call(name, args).await,
        }
    }
}
