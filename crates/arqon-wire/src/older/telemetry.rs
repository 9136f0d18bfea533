//! What is said on the older telemetry port: events as the bus tells them with a few members more, and the words around them.
//!
//! Boundary: the port is a view on events and makes none of its own, but for the welcome and for what it had to leave out.

use crate::value::value_to_json;
use arqon_core::value::Value;
use arqon_core::{Gap, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Whether the server is there.
    Ping,
    /// Events of these types, besides those that were asked for before; all, where none is named.
    Subscribe(Vec<String>),
    /// No events of these types any more; none at all, where none is named.
    Unsubscribe(Vec<String>),
}

impl Ask {
    /// Reads what a client sends; the error is for people.
    pub fn read(frame: &[u8]) -> Result<Ask, String> {
        let said: serde_json::Value =
            serde_json::from_slice(frame).map_err(|error| format!("not JSON: {error}"))?;
        let events = || -> Result<Vec<String>, String> {
            let Some(list) = said.get("events").filter(|list| !list.is_null()) else { return Ok(Vec::new()) };
            let text = |name: &serde_json::Value| name.as_str().map(str::to_owned);
            let names = list.as_array().and_then(|list| list.iter().map(text).collect());
            names.ok_or_else(|| "events: expected a list of names".to_owned())
        };
        match said.get("type").and_then(serde_json::Value::as_str) {
            Some("ping") => Ok(Ask::Ping),
            Some("subscribe") => events().map(Ask::Subscribe),
            Some("unsubscribe") => events().map(Ask::Unsubscribe),
            _ => Err("type: expected `ping`, `subscribe` or `unsubscribe`".to_owned()),
        }
    }
}

/// Who speaks.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// Where it listens.
    pub host: String,
    /// And the port.
    pub port: u16,
    /// Its version.
    pub version: &'static str,
}

const NAME: &str = "ArqonBus";

fn names(types: &[&str]) -> Value {
    Value::List(types.iter().map(|name| (*name).into()).collect())
}

fn append(out: &mut Vec<u8>, value: &Value) {
    out.extend_from_slice(&value_to_json(value));
}

/// Appends the welcome; `filtered` are the only types that are told here, none where all are.
pub fn write_welcome(out: &mut Vec<u8>, at: Timestamp, speaker: &Speaker, filtered: &[&str]) {
    let config = Value::map([
        ("host", speaker.host.as_str().into()),
        ("port", u64::from(speaker.port).into()),
        ("filtered_events", names(filtered)),
    ]);
    append(
        out,
        &Value::map([
            ("event_type", "telemetry_connected".into()),
            ("timestamp", Value::Time(at)),
            ("message", "Connected to ArqonBus telemetry".into()),
            ("server_config", config),
        ]),
    );
}

/// Appends the answer to a ping.
pub fn write_pong(out: &mut Vec<u8>, at: Timestamp) {
    append(out, &Value::map([("type", "pong".into()), ("timestamp", Value::Time(at))]));
}

/// Appends which types the client hears from now on.
pub fn write_subscribed(out: &mut Vec<u8>, at: Timestamp, events: &[&str]) {
    let answer = [("type", "subscribed".into()), ("timestamp", Value::Time(at)), ("events", names(events))];
    append(out, &Value::map(answer));
}

/// Appends a refusal.
pub fn write_refusal_of_ask(out: &mut Vec<u8>, at: Timestamp, error: &str) {
    let answer = [("type", "error".into()), ("timestamp", Value::Time(at)), ("error", error.into())];
    append(out, &Value::map(answer));
}

/// What of an event is said a second time, under the names that some clients know.
#[derive(Deserialize)]
struct Twice<'a> {
    #[serde(borrow)]
    event_type: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
}

/// Appends an event, which is a JSON object, with what this port adds to it; `took` is the time since it was told.
pub fn write_event(out: &mut Vec<u8>, event: &[u8], at: Timestamp, (speaker, took): (&Speaker, Duration)) {
    let more = value_to_json(&Value::map([
        ("server_name", NAME.into()),
        ("server_version", speaker.version.into()),
        ("processing_time_ms", Value::Float(took.as_secs_f64() * 1000.0)),
        ("broadcast_ready", true.into()),
        ("formatted_at", Value::Time(at)),
    ]));
    let body = event.strip_suffix(b"}").unwrap_or(event);
    out.extend_from_slice(body);
    if let Ok(Twice { event_type, metadata }) = serde_json::from_slice(event) {
        for (name, raw) in [("eventType", event_type), ("payload", metadata)] {
            out.extend_from_slice(format!(",\"{name}\":{}", raw.get()).as_bytes());
        }
    }
    out.push(b',');
    out.extend_from_slice(&more[1..]);
}

/// Appends that events were left out, since the client reads too slowly.
pub fn write_left_out(out: &mut Vec<u8>, at: Timestamp, gap: &Gap) {
    let from = gap.from.map(|from| from.to_string());
    let metadata = Value::map([
        ("from", from.into()),
        ("to", gap.to.to_string().into()),
        ("reason", gap.reason.as_str().into()),
    ]);
    append(
        out,
        &Value::map([
            ("event_type", "system_warning".into()),
            ("severity", "warning".into()),
            ("timestamp", Value::Time(at)),
            ("source", "arqonbus".into()),
            ("metadata", metadata),
        ]),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_ask_for() {
        let read = |text: &str| Ask::read(text.as_bytes());
        assert_eq!(read(r#"{"type":"ping"}"#), Ok(Ask::Ping));
        assert_eq!(
            read(r#"{"type":"subscribe","events":["room_created"]}"#),
            Ok(Ask::Subscribe(vec!["room_created".to_owned()]))
        );
        assert_eq!(read(r#"{"type":"unsubscribe"}"#), Ok(Ask::Unsubscribe(Vec::new())));
        for wrong in ["", "[]", r#"{"type":"publish"}"#, r#"{"type":"subscribe","events":"x"}"#, "{"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_event_stays_what_it_is() {
        let mut out = Vec::new();
        let speaker = Speaker { host: "127.0.0.1".to_owned(), port: 1, version: "9" };
        let took = Duration::from_micros(1500);
        write_event(
            &mut out,
            br#"{"event_type":"x","metadata":{"a":"}"}}"#,
            Timestamp::default(),
            (&speaker, took),
        );
        let event: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&event["event_type"], &event["metadata"]), (&"x".into(), &serde_json::json!({"a": "}"})));
        assert_eq!((&event["eventType"], &event["payload"]), (&event["event_type"], &event["metadata"]));
        assert_eq!((&event["processing_time_ms"], &event["server_version"]), (&1.5.into(), &"9".into()));
        assert_eq!((&event["server_name"], &event["broadcast_ready"]), (&"ArqonBus".into(), &true.into()));
    }
}
