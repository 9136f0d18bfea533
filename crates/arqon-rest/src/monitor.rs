//! The endpoints that older dashboards and scripts ask, with the bodies that they know: `/status`, `/storage/*`, `/system/*`
//! and `/admin/*`. They are about the server as a whole, so they are for its operator, whom the gate before them asks for.
//!
//! Boundary: nothing is here that the other endpoints do not have as well. Failures are `{"error":…,"details":…}`.

use crate::args;
use crate::gate::Caller;
use crate::problem::refuse_older;
use crate::rest::{Control, Rest, json};
use arqon_core::bus::Metric;
use arqon_core::value::{Args, Value};
use arqon_core::{Code, Ctx, Delivery, Error, Record, Result};
use arqon_wire::value_to_json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Messages of a page, unless the query says another number.
const LIMIT_DEFAULT: u64 = 50;
const LIMIT_MAX: u64 = 1000;
/// What older programs know the service by.
const SERVICE: &str = "arqonbus";

/// Refuses a query where there is nothing to say.
pub(crate) fn take_nothing(uri: &Uri) -> Result<()> {
    args::of_query(uri)?.finish(&[])
}

pub(crate) fn reply(result: Result<Value>) -> Response {
    match result {
        Ok(value) => json(StatusCode::OK, value_to_json(&value)),
        Err(error) => refuse_older(&error),
    }
}

fn number(metrics: &[Metric], name: &str) -> f64 {
    metrics.iter().find(|m| m.name == name).map_or(0.0, |m| m.value)
}

fn count(metrics: &[Metric], name: &str) -> Value {
    // Counters are whole numbers far below 2^53.
    Value::Int(number(metrics, name) as i64)
}

/// Whether storage takes work, and why not.
fn storage_health(rest: &Rest) -> (bool, Value) {
    let problem = rest.bus.readiness().err().filter(|e| e.code() != Code::ShuttingDown);
    let status = if problem.is_none() { "healthy" } else { "unhealthy" };
    let error = Value::from(problem.as_ref().map(ToString::to_string));
    let value =
        Value::map([("status", status.into()), ("backend_type", rest.about.engine.into()), ("error", error)]);
    (problem.is_none(), value)
}

/// `GET /status`.
pub(crate) async fn status(State(rest): State<Arc<Rest>>, uri: Uri) -> Response {
    reply(take_nothing(&uri).map(|()| describe_status(&rest)))
}

fn describe_status(rest: &Rest) -> Value {
    let uptime = rest.bus.uptime().as_secs_f64();
    let (healthy, storage) = storage_health(rest);
    let endpoints = [("http", true), ("websocket", true), ("storage", healthy)];
    Value::map([
        ("status", if healthy { "healthy" } else { "degraded" }.into()),
        ("timestamp", Value::Time(rest.bus.env().clock.now())),
        ("service", SERVICE.into()),
        ("version", rest.build.version.into()),
        ("uptime_seconds", Value::Float(uptime)),
        ("endpoints", Value::map(endpoints.map(|(name, up)| (name, up.into())))),
        ("requests", rest.traffic.to_value(uptime)),
        ("storage", storage),
    ])
}

/// `GET /storage/stats`.
pub(crate) async fn storage_stats(State(rest): State<Arc<Rest>>, uri: Uri) -> Response {
    reply(take_nothing(&uri).map(|()| describe_storage(&rest)))
}

fn describe_storage(rest: &Rest) -> Value {
    let metrics = rest.bus.metrics();
    let (healthy, _) = storage_health(rest);
    Value::map([
        ("backend_type", rest.about.engine.into()),
        ("storage_mode", "strict".into()),
        ("healthy", healthy.into()),
        ("degraded_mode_active", false.into()),
        ("total_messages", count(&metrics, "log_records")),
        ("total_rooms", count(&metrics, "rooms_total")),
        ("disk_bytes", count(&metrics, "log_disk_bytes")),
        ("flushes", count(&metrics, "log_flushes")),
        ("damaged_places", count(&metrics, "log_damaged")),
    ])
}

/// `GET /storage/history`.
pub(crate) async fn storage_history(
    State(rest): State<Arc<Rest>>,
    Caller(ctx): Caller,
    uri: Uri,
) -> Response {
    reply(history(&rest, &ctx, &uri).await)
}

async fn history(rest: &Rest, ctx: &Ctx, uri: &Uri) -> Result<Value> {
    let mut args = args::of_query(uri)?;
    let [client, room, channel] = [args.text("client_id")?, args.text("room")?, args.text("channel")?];
    let limit = args.number("limit")?.unwrap_or(LIMIT_DEFAULT);
    args.finish(&["client_id", "room", "channel", "limit"])?;
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Error::invalid("limit", format!("expected 1 to {LIMIT_MAX}")));
    }
    let Some(room) = room else { return Err(Error::invalid("room", "missing; expected the name of a room")) };
    let address = format!("{room}:{}", channel.as_deref().unwrap_or("**"));
    // Whoever wants one sender's messages gets the last of them among the last of the room.
    let reach = if client.is_some() { LIMIT_MAX } else { limit };
    let wanted = [("address", Value::from(address)), ("limit", Value::from(reach))];
    let wanted: BTreeMap<String, Value> = wanted.map(|(name, value)| (name.to_owned(), value)).into();
    let found = rest.bus.call(ctx, None, "history", Args::new(wanted)).await?;
    let is_wanted = |record: &Record| client.as_deref().is_none_or(|id| *record.message.sender == *id);
    let records = records(found).into_iter().filter(|record| is_wanted(record));
    let mut list: Vec<Value> = records.map(|record| older_message(&record)).collect();
    // The number fits: it was checked above.
    list.drain(..list.len().saturating_sub(limit as usize));
    Ok(Value::map([
        ("count", (list.len() as u64).into()),
        ("history", Value::List(list)),
        (
            "query",
            Value::map([
                ("client_id", client.into()),
                ("room", room.into()),
                ("channel", channel.into()),
                ("limit", limit.into()),
            ]),
        ),
    ]))
}

/// The records of what `history` answers, oldest first.
fn records(found: Value) -> Vec<Arc<Record>> {
    let Value::Map(mut map) = found else { return Vec::new() };
    let Some(Value::List(list)) = map.remove("messages") else { return Vec::new() };
    let record = |value| match value {
        Value::Delivery(Delivery::Record { record, .. }) => Some(record),
        _ => None,
    };
    list.into_iter().filter_map(record).collect()
}

fn older_message(record: &Record) -> Value {
    let message = &record.message;
    let to = message.address.room.as_str().strip_prefix('@').map(str::to_owned);
    Value::map([
        ("id", message.id.to_string().into()),
        ("type", message.kind.as_str().into()),
        ("timestamp", Value::Time(message.timestamp)),
        ("from_client", (*message.sender).into()),
        ("to_client", to.into()),
        ("room", message.address.room.as_str().into()),
        ("channel", message.address.channel.as_str().into()),
        ("payload", Value::Raw(message.payload.clone())),
    ])
}

/// `GET /system/info`.
pub(crate) async fn system_info(State(rest): State<Arc<Rest>>, uri: Uri) -> Response {
    reply(take_nothing(&uri).map(|()| describe_system(&rest)))
}

fn describe_system(rest: &Rest) -> Value {
    let features =
        ["real_time_messaging", "room_routing", "channel_routing", "message_history", "command_system"];
    let mut features: BTreeMap<String, Value> =
        features.map(|name| (name.to_owned(), Value::from(true))).into();
    features.insert("persistence".to_owned(), (rest.about.engine == "embedded").into());
    let architecture = [
        ("transport", "WebSocket"),
        ("protocol", "JSON Envelope"),
        ("storage", rest.about.engine),
        ("monitoring", "HTTP Endpoints"),
    ];
    let endpoints = [("websocket", "/ws"), ("http", "/api/v1"), ("metrics", "/metrics")];
    Value::map([
        ("service", SERVICE.into()),
        ("version", rest.build.version.into()),
        ("description", "Arqon, a message bus for AI agents".into()),
        ("architecture", Value::map(architecture.map(|(name, text)| (name, text.into())))),
        ("features", Value::Map(features)),
        ("endpoints", Value::map(endpoints.map(|(name, text)| (name, text.into())))),
    ])
}

/// `GET /system/config`.
pub(crate) async fn system_config(State(rest): State<Arc<Rest>>, uri: Uri) -> Response {
    reply(take_nothing(&uri).map(|()| describe_config(&rest)))
}

fn describe_config(rest: &Rest) -> Value {
    Value::Raw(rest.about.config.clone())
}

/// `POST /admin/shutdown`.
pub(crate) async fn shutdown(State(rest): State<Arc<Rest>>, Caller(ctx): Caller, uri: Uri) -> Response {
    reply(
        take_nothing(&uri).map(|()| {
            steer(&rest, &ctx, Control::Shutdown, ("shutdown_initiated", "Server shutdown initiated"))
        }),
    )
}

/// `POST /admin/restart`.
pub(crate) async fn restart(State(rest): State<Arc<Rest>>, Caller(ctx): Caller, uri: Uri) -> Response {
    reply(
        take_nothing(&uri).map(|()| {
            steer(&rest, &ctx, Control::Restart, ("restart_initiated", "Server restart initiated"))
        }),
    )
}

fn steer(rest: &Rest, ctx: &Ctx, control: Control, said: (&str, &str)) -> Value {
    tracing::warn!(subject = %ctx.principal.subject, ?control, "asked over HTTP");
    (rest.steer)(control);
    Value::map([("status", said.0.into()), ("message", said.1.into())])
}
