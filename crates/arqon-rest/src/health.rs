//! What people, load balancers and scrapers ask a server about itself.

use crate::rest::{Rest, json};
use arqon_core::Code;
use arqon_core::value::Value;
use arqon_wire::value_to_json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;

/// The process lives and answers.
pub(crate) async fn health(State(rest): State<Arc<Rest>>) -> Response {
    let answer = Value::map([
        ("status", "ok".into()),
        ("timestamp", Value::Time(rest.bus.env().clock.now())),
        ("uptime_seconds", Value::Float((rest.bus.uptime().as_secs_f64() * 1000.0).round() / 1000.0)),
        ("version", rest.build.version.into()),
    ]);
    json(StatusCode::OK, value_to_json(&answer))
}

/// Work would be taken now; if not, what is away.
pub(crate) async fn ready(State(rest): State<Arc<Rest>>) -> Response {
    let fault = rest.bus.readiness().err();
    let stopping =
        rest.stopping.is_cancelled() || fault.as_ref().is_some_and(|e| e.code() == Code::ShuttingDown);
    let storage = fault.filter(|e| e.code() != Code::ShuttingDown);
    let ready = !stopping && storage.is_none();
    let answer = Value::map([
        ("ready", ready.into()),
        (
            "checks",
            Value::map([
                ("lifecycle", if stopping { "stopping" } else { "ok" }.into()),
                ("storage", storage.map_or_else(|| "ok".to_owned(), |e| e.to_string()).into()),
                // Said, and no reason to send work elsewhere: it is served around.
                ("integrity", (rest.damage)().describe().into()),
            ]),
        ),
    ]);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, value_to_json(&answer))
}

/// What is running.
pub(crate) async fn version(State(rest): State<Arc<Rest>>) -> Response {
    let build = rest.build;
    let answer = Value::map([
        ("name", "Arqon".into()),
        ("version", build.version.into()),
        ("protocol", "1.0".into()),
        (
            "build",
            Value::map([("git_commit", build.git_commit.into()), ("build_date", build.build_date.into())]),
        ),
    ]);
    json(StatusCode::OK, value_to_json(&answer))
}

/// Ends a request whose handler panicked: a fault of ours, said as one.
pub(crate) fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let body = br#"{"error":{"code":"INTERNAL_ERROR","message":"an internal fault; the server's log has the cause","details":{"outcome":"unknown"}}}"#;
    json(StatusCode::INTERNAL_SERVER_ERROR, body.to_vec())
}
