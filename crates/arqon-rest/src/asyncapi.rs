//! The AsyncAPI 3 document of the WebSocket, and the same for people as a page: both made from the table of operations.
//!
//! Invariant: the document depends on nothing but the code, so the one that is committed and the one that is served are the
//! same text.

mod page;

use arqon_core::operations::{self, Arg, ArgKind, Category, Operation};
use arqon_core::{Code, Priority};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", build()));
static PAGE: LazyLock<String> = LazyLock::new(page::build);

/// The document as text.
pub fn document() -> &'static str {
    &TEXT
}

/// `GET /api/v1/asyncapi.json`.
pub(crate) async fn serve() -> Response {
    let mut response = document().into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `GET /api/v1/docs`.
pub(crate) async fn serve_page() -> Response {
    let mut response = PAGE.as_str().into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    response
}

const SOCKET: &str = "#/channels/socket";

/// What is said beside commands: name, who says it, what it is, its schema.
const SAID: [(&str, &str, &str, &str); 7] = [
    ("publish-message", "client", "Publishes a message.", "message"),
    ("welcome", "server", "The first envelope of a connection: limits, and who you are.", "welcome"),
    ("delivery", "server", "A message of a subscription.", "delivery"),
    ("gap", "server", "Positions of a room that cannot be served any more.", "gap"),
    ("ended", "server", "The end of a subscription.", "ended"),
    ("response", "server", "The answer to a command, or to a message with `confirm`.", "response"),
    ("error", "server", "A refusal.", "error"),
];

fn build() -> Value {
    let mut messages = Map::new();
    let mut in_channel = Map::new();
    let mut list = Map::new();
    for (name, from, summary, schema) in SAID {
        let payload = json!({ "$ref": format!("#/components/schemas/{schema}") });
        let message = json!({ "name": name, "title": name, "summary": summary, "payload": payload });
        messages.insert(name.to_owned(), message);
        in_channel.insert(name.to_owned(), json!({ "$ref": format!("#/components/messages/{name}") }));
        if name == "response" || name == "error" {
            continue;
        }
        let mut operation = json!({
            "action": if from == "client" { "receive" } else { "send" },
            "channel": { "$ref": SOCKET },
            "title": name,
            "summary": summary,
            "messages": [{ "$ref": format!("{SOCKET}/messages/{name}") }],
        });
        if from == "client" {
            operation["reply"] = reply();
        }
        list.insert(format!("{}-{name}", if from == "client" { "receive" } else { "send" }), operation);
    }
    for operation in operations::all() {
        let name = operation.name;
        messages.insert(name.to_owned(), command_message(operation));
        in_channel.insert(name.to_owned(), json!({ "$ref": format!("#/components/messages/{name}") }));
        list.insert(name.to_owned(), command(operation));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Arqon",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A message bus for fleets of AI agents: rooms and channels, durable subscriptions, request and reply, over one WebSocket. `action` is seen from the server: it receives commands and sends deliveries.",
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
            "tags": Category::ALL.map(|category| json!({ "name": category.as_str() })),
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:9100",
                "protocol": "ws",
                "description": "`arqon serve` with its defaults; `wss` where TLS is configured.",
                "security": [{ "$ref": "#/components/securitySchemes/bearer" }, { "$ref": "#/components/securitySchemes/query" }],
            },
        },
        "channels": { "socket": socket(in_channel) },
        "operations": list,
        "components": { "messages": messages, "schemas": schemas(), "securitySchemes": security() },
    })
}

fn socket(messages: Map<String, Value>) -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    json!({
        "address": "/ws",
        "title": "The WebSocket",
        "description": "JSON text frames, or the same envelope as protobuf in binary frames (`Sec-WebSocket-Protocol: arqon.v1.proto`).",
        "messages": messages,
        "bindings": { "ws": {
            "method": "GET",
            "query": { "type": "object", "properties": {
                "token": text("a token, for clients that cannot set headers"),
                "agent": text("the agent that this connection is"),
                "skills": text("what the agent can do, separated by commas"),
                "confirms": { "enum": ["runs"], "description": "one confirm may stand for several messages" },
            } },
            "bindingVersion": "0.1.0",
        } },
    })
}

fn reply() -> Value {
    let message = |name: &str| json!({ "$ref": format!("{SOCKET}/messages/{name}") });
    json!({ "channel": { "$ref": SOCKET }, "messages": [message("response"), message("error")] })
}

fn command(operation: &Operation) -> Value {
    let mut value = json!({
        "action": "receive",
        "channel": { "$ref": SOCKET },
        "title": operation.name,
        "summary": operation.summary,
        "description": description(operation),
        "messages": [{ "$ref": format!("{SOCKET}/messages/{}", operation.name) }],
        "reply": reply(),
        "tags": [{ "name": operation.category.as_str() }],
        "x-arqon-right": operation.permission.as_str(),
        "x-arqon-least-role": operation.permission.least_role().as_str(),
        "x-arqon-calls-per-minute": operation.per_minute,
        "x-arqon-aliases": operation.aliases,
    });
    if let Some(route) = operation.route {
        value["x-arqon-http"] = json!({ "method": route.method.as_str(), "path": route.path });
    }
    value
}

fn description(operation: &Operation) -> String {
    let mut text = if operation.answer.is_empty() {
        String::new()
    } else {
        format!("Answers with {}.", operation.answer)
    };
    for reason in operation.reasons {
        text.push_str(&format!("\n- `{}` (`{}`): {}", reason.name, reason.code.as_str(), reason.doc));
    }
    text
}

/// The arguments that a row shows as working.
fn example(operation: &Operation) -> Value {
    serde_json::from_str(operation.example).unwrap_or_default()
}

fn command_message(operation: &Operation) -> Value {
    let properties: Map<String, Value> =
        operation.args.iter().map(|arg| (arg.name.to_owned(), argument(arg))).collect();
    let names = [&[operation.name][..], operation.aliases].concat();
    let required: Vec<&str> = operation.args.iter().filter(|arg| arg.required).map(|arg| arg.name).collect();
    let mut args = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    let mut needed = vec!["type", "command"];
    if !required.is_empty() {
        args["required"] = required.into();
        needed.push("args");
    }
    json!({
        "name": operation.name,
        "title": operation.name,
        "summary": operation.summary,
        "payload": {
            "type": "object",
            "required": needed,
            "properties": {
                "type": { "const": "command" },
                "version": { "const": "1.0" },
                "id": { "type": "string", "description": "echoed as `request_id`" },
                "command": { "enum": names },
                "args": args,
            },
        },
        "examples": [{ "payload": { "type": "command", "id": "1", "command": operation.name, "args": example(operation) } }],
    })
}

fn argument(arg: &Arg) -> Value {
    let mut schema = match arg.kind {
        ArgKind::Text => json!({ "type": "string" }),
        ArgKind::Number => json!({ "type": "integer", "minimum": 0 }),
        ArgKind::Decimal => json!({ "type": "number", "minimum": 0 }),
        ArgKind::Flag => json!({ "type": "boolean" }),
        ArgKind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        ArgKind::Json => json!({}),
    };
    schema["description"] = arg.doc.into();
    schema
}

fn security() -> Value {
    json!({
        "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "`arqon token` makes one" },
        "query": { "type": "httpApiKey", "name": "token", "in": "query", "description": "the same token, also read as `access_token` or `auth_token`" },
    })
}

fn schemas() -> Value {
    let (text, object) = (json!({ "type": "string" }), json!({ "type": "object" }));
    let time = json!({ "type": "string", "format": "date-time" });
    let priorities = Priority::ALL.map(Priority::as_str);
    let envelope = json!({
        "type": { "enum": ["message", "telemetry"] }, "version": { "const": "1.0" }, "id": text,
        "timestamp": time, "payload": object, "metadata": object, "priority": { "enum": priorities },
        "idempotency_key": text, "correlation_id": text, "reply_to": text, "traceparent": text,
        "expires_at": time, "producer": text, "sequence": { "type": "integer", "minimum": 0 },
    });
    let with = |more: Value, required: &[&str]| {
        let mut properties = envelope.clone();
        for (name, schema) in more.as_object().into_iter().flatten() {
            properties[name] = schema.clone();
        }
        json!({ "type": "object", "required": required, "properties": properties })
    };
    let of_server = |kind: &str, more: Value, required: &[&str]| {
        let mut properties = json!({ "type": { "const": kind }, "version": { "const": "1.0" } });
        for (name, schema) in more.as_object().into_iter().flatten() {
            properties[name] = schema.clone();
        }
        json!({ "type": "object", "required": required, "properties": properties })
    };
    let codes = Code::ALL.map(Code::as_str);
    let details = json!({ "type": "object", "required": ["outcome"], "properties": {
        "outcome": { "enum": ["not_applied", "unknown"] }, "reason": text, "field": text, "hint": text,
        "retry_after_ms": { "type": "integer" },
    } });
    let failure = json!({ "error": text, "error_code": { "enum": codes }, "payload": details });
    let mut refused = failure.clone();
    refused["request_id"] = text.clone();
    let mut over = failure;
    over["subscription"] = text.clone();
    json!({
        "message": with(
            json!({ "to": text, "room": text, "channel": text, "confirm": { "enum": ["stored", "none"] } }),
            &["type", "payload"],
        ),
        "delivery": with(
            json!({ "room": text, "channel": text, "sender": text, "position": text, "subscription": text,
                "stored_at": time, "to": text, "attempt": { "type": "integer", "minimum": 1 } }),
            &["type", "version", "id", "timestamp", "room", "channel", "sender", "position", "payload"],
        ),
        "welcome": of_server("message", json!({ "payload": object, "sender": text }), &["type", "payload"]),
        "gap": of_server(
            "gap",
            json!({ "subscription": text, "room": text, "from": { "type": ["string", "null"] }, "to": text, "reason": text }),
            &["type", "room", "from", "to", "reason"],
        ),
        "ended": of_server("ended", over, &["type", "subscription", "error", "error_code", "payload"]),
        "response": of_server(
            "response",
            json!({ "request_id": text, "status": { "const": "success" }, "payload": object }),
            &["type", "status", "payload"],
        ),
        "error": of_server("error", refused, &["type", "error", "error_code", "payload"]),
    })
}

#[cfg(test)]
mod tests;
