//! The members of an older envelope in a binary frame, and such a frame made of them.
//!
//! Invariant: payload, arguments and metadata are JSON objects outside of this file; here they are trees of values.

use super::encode::Envelope;
use super::parts::{Parts, Rejected, Why};
use crate::incoming::ID_MAX;
use crate::time::LAST;
use crate::value::value_from_json;
use arqon_core::Timestamp;
use arqon_core::value::Value;
use bytes::Bytes;
use prost::Message as _;
use std::collections::BTreeMap;

/// The generated types of `proto/arqon/older/envelope.proto`.
mod generated {
    #![allow(missing_docs, clippy::doc_markdown, clippy::enum_variant_names)]
    include!(concat!(env!("OUT_DIR"), "/arqon.older.rs"));
}

use generated as v0;
use generated::envelope::Content;
use generated::value::Kind;

pub(super) fn is_older(frame: &Bytes) -> bool {
    v0::Envelope::decode(frame.clone()).is_ok_and(|envelope| envelope.content.is_some())
}

pub(super) fn parts(frame: &Bytes) -> Result<Parts, Box<Rejected>> {
    let unreadable = |id: &str, text: String| {
        let request_id = some(id).filter(|id| id.len() <= ID_MAX).map(String::into_boxed_str);
        Box::new(Rejected { request_id, why: Why::Unreadable(text) })
    };
    let outer = v0::Envelope::decode(frame.clone())
        .map_err(|error| unreadable("", format!("not an older envelope in protobuf: {error}")))?;
    let (kind, data) = match outer.content {
        Some(Content::Cmd(v0::Command { r#type, data })) => (r#type, data),
        Some(Content::Event(v0::Event { r#type, data })) => (r#type, data),
        Some(Content::Signal(_)) => ("system".to_owned(), Bytes::new()),
        None => return Err(unreadable(&outer.trace_id, "neither `cmd` nor `event`".to_owned())),
    };
    let inner = v0::BusPayload::decode(data)
        .map_err(|error| unreadable(&outer.trace_id, format!("its data is not a `BusPayload`: {error}")))?;
    let mut parts = Parts {
        id: some(&inner.envelope_id).or_else(|| some(&outer.trace_id)),
        kind: some(&inner.envelope_type).or_else(|| some(&kind)),
        version: some(&inner.version),
        timestamp: read_time(outer.timestamp),
        room: some(&outer.room_id),
        channel: some(&inner.channel),
        to_client: some(&inner.to_client),
        command: some(&inner.command),
        request_id: some(&inner.request_id),
        status: some(&inner.status),
        error: some(&inner.error),
        error_code: some(&inner.error_code),
        unknown: aliases(&inner),
        ..Parts::default()
    };
    let mut metadata = inner.metadata;
    for (name, text) in [("tenant_id", outer.tenant_id), ("twist_id", outer.twist_id)] {
        if !text.is_empty() {
            let known = &mut metadata.get_or_insert_default().fields;
            known.entry(name.to_owned()).or_insert(v0::Value { kind: Some(Kind::StringValue(text)) });
        }
    }
    parts.payload = object(&mut parts, "payload", inner.payload);
    parts.args = object(&mut parts, "args", inner.args);
    parts.metadata = object(&mut parts, "metadata", metadata);
    Ok(parts)
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn read_time(ms: i64) -> Option<Timestamp> {
    let ms = u64::try_from(ms).ok().filter(|ms| *ms > 0)?;
    Some(Timestamp(ms.saturating_mul(1000)).min(LAST))
}

/// The older names of the two clients, as the JSON form would pass them on.
fn aliases(inner: &v0::BusPayload) -> Option<Bytes> {
    let mut out = Vec::new();
    for (name, text) in [("from_client", &inner.from_client), ("to_client", &inner.to_client)] {
        if text.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push(b',');
        }
        crate::text::string(&mut out, name);
        out.push(b':');
        crate::text::string(&mut out, text);
    }
    (!out.is_empty()).then(|| out.into())
}

fn object(parts: &mut Parts, name: &str, tree: Option<v0::Struct>) -> Option<Bytes> {
    let mut out = Vec::new();
    if write_object(&mut out, &tree?) {
        return Some(out.into());
    }
    parts.complaints.push(format!("{name}: has a number that JSON cannot say"));
    None
}

/// Appends a tree as JSON; false if JSON cannot say it.
fn write_object(out: &mut Vec<u8>, object: &v0::Struct) -> bool {
    out.push(b'{');
    for (i, (name, value)) in object.fields.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        crate::text::string(out, name);
        out.push(b':');
        if !write(out, value) {
            return false;
        }
    }
    out.push(b'}');
    true
}

fn write(out: &mut Vec<u8>, value: &v0::Value) -> bool {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => out.extend_from_slice(b"null"),
        Some(Kind::BoolValue(v)) => out.extend_from_slice(if *v { b"true" } else { b"false" }),
        Some(Kind::StringValue(v)) => crate::text::string(out, v),
        Some(Kind::NumberValue(v)) if !v.is_finite() => return false,
        Some(Kind::NumberValue(v)) => crate::value::write_value(out, &number(*v)),
        Some(Kind::StructValue(v)) => return write_object(out, v),
        Some(Kind::ListValue(v)) => {
            out.push(b'[');
            for (i, item) in v.values.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                if !write(out, item) {
                    return false;
                }
            }
            out.push(b']');
        }
    }
    true
}

/// Protobuf knows one kind of number; what is whole is written as such, where nothing of it is lost.
fn number(v: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if v.fract() == 0.0 && v.abs() <= EXACT { Value::Int(v as i64) } else { Value::Float(v) }
}

/// Appends an envelope of the server.
pub(super) fn write_envelope(out: &mut Vec<u8>, e: &Envelope<'_>) {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let metadata = tree(e.metadata);
    let from_metadata = |name: &str| match metadata.fields.get(name) {
        Some(v0::Value { kind: Some(Kind::StringValue(text)) }) => text.clone(),
        _ => String::new(),
    };
    let (tenant_id, twist_id) = (from_metadata("tenant_id"), from_metadata("twist_id"));
    let inner = v0::BusPayload {
        envelope_id: e.id.to_owned(),
        envelope_type: e.kind.to_owned(),
        version: "1.0".to_owned(),
        sender: text(e.sender),
        channel: text(e.channel),
        command: String::new(),
        request_id: text(e.request_id),
        status: text(e.status),
        error: text(e.error),
        error_code: text(e.error_code),
        from_client: text(e.from_client),
        to_client: text(e.to_client),
        payload: Some(tree(e.payload)),
        args: None,
        metadata: Some(metadata),
    };
    let event = v0::Event { r#type: e.kind.to_owned(), data: inner.encode_to_vec().into() };
    let outer = v0::Envelope {
        trace_id: e.id.to_owned(),
        tenant_id,
        room_id: text(e.room),
        timestamp: i64::try_from(e.at.as_millis()).unwrap_or(i64::MAX),
        twist_id,
        headers: BTreeMap::new(),
        signature: Bytes::new(),
        content: Some(Content::Event(event)),
    };
    out.extend_from_slice(&outer.encode_to_vec());
}

/// A JSON object as a tree. What cannot be read as one (a number beyond all bounds) is left out whole.
fn tree(json: &[u8]) -> v0::Struct {
    match value_from_json(json) {
        Ok(Value::Map(map)) => struct_of(map),
        _ => v0::Struct::default(),
    }
}

fn struct_of(map: BTreeMap<String, Value>) -> v0::Struct {
    v0::Struct { fields: map.into_iter().map(|(name, value)| (name, value_of(value))).collect() }
}

fn value_of(value: Value) -> v0::Value {
    let kind = match value {
        Value::Bool(v) => Kind::BoolValue(v),
        Value::Int(v) => Kind::NumberValue(v as f64),
        Value::Float(v) => Kind::NumberValue(v),
        Value::Text(v) => Kind::StringValue(v),
        Value::List(list) => {
            Kind::ListValue(v0::ListValue { values: list.into_iter().map(value_of).collect() })
        }
        Value::Map(map) => Kind::StructValue(struct_of(map)),
        // JSON text has none of the others.
        Value::Null | Value::Raw(_) | Value::Time(_) | Value::Delivery(_) => Kind::NullValue(0),
    };
    v0::Value { kind: Some(kind) }
}

/// What an envelope of the server says, as the JSON form would say it.
#[cfg(test)]
pub(super) fn shown(frame: &Bytes) -> serde_json::Value {
    let outer = v0::Envelope::decode(frame.clone()).expect("it is an envelope");
    let Some(Content::Event(event)) = outer.content else { panic!("an event") };
    let inner = v0::BusPayload::decode(event.data).expect("it is a payload");
    let json = |tree: Option<v0::Struct>| {
        let mut out = Vec::new();
        assert!(write_object(&mut out, &tree.unwrap_or_default()));
        serde_json::from_slice::<serde_json::Value>(&out).expect("it is JSON")
    };
    let mut shown = serde_json::json!({
        "id": inner.envelope_id,
        "type": inner.envelope_type,
        "version": inner.version,
        "timestamp": crate::timestamp_text(read_time(outer.timestamp).unwrap_or(Timestamp(0))),
        "payload": json(inner.payload),
        "args": json(inner.args),
        "metadata": json(inner.metadata),
    });
    let texts = [
        ("room", outer.room_id),
        ("channel", inner.channel),
        ("sender", inner.sender),
        ("from_client", inner.from_client),
        ("to_client", inner.to_client),
        ("request_id", inner.request_id),
        ("status", inner.status),
        ("error", inner.error),
        ("error_code", inner.error_code),
    ];
    for (name, text) in texts {
        if !text.is_empty() {
            shown[name] = text.into();
        }
    }
    shown
}

/// A message of a client.
#[cfg(test)]
pub(super) fn message(id: &str, kind: &str, room: &str, channel: &str, payload: &serde_json::Value) -> Bytes {
    let inner = v0::BusPayload {
        envelope_id: id.to_owned(),
        envelope_type: kind.to_owned(),
        version: "1.0".to_owned(),
        channel: channel.to_owned(),
        to_client: "arq_client_b".to_owned(),
        payload: Some(tree(payload.to_string().as_bytes())),
        ..v0::BusPayload::default()
    };
    let event = v0::Event { r#type: kind.to_owned(), data: inner.encode_to_vec().into() };
    let outer = v0::Envelope {
        trace_id: id.to_owned(),
        room_id: room.to_owned(),
        content: Some(Content::Event(event)),
        ..v0::Envelope::default()
    };
    outer.encode_to_vec().into()
}
