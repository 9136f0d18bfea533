//! The client's side of the JSON form: writing messages and commands, reading what the server says.

use super::encode::{text, write_extras};
use crate::field::Field;
use crate::json::boxed;
use crate::members::Members;
use crate::outgoing::parse_outcome;
use crate::scan::Scanner;
use crate::server_says::{Delivered, GapSaid, ServerSays};
use crate::text::string;
use crate::time::{parse_timestamp, write_timestamp};
use crate::value::write_value;
use arqon_core::bus::Publish;
use arqon_core::message::{Extras, Producer};
use arqon_core::value::Value;
use arqon_core::{
    Address, ChannelName, Code, Error, GapReason, Kind, Message, MessageId, Position, Priority, Result,
    RoomName,
};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Appends a message to be published. `confirm` asks to be told once it is stored.
pub fn write_publish(out: &mut Vec<u8>, publish: &Publish, confirm: bool) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(publish.kind.as_str().as_bytes());
    out.extend_from_slice(b"\",\"version\":\"1.0\"");
    if let Some(id) = &publish.id {
        out.extend_from_slice(b",\"id\":\"");
        id.write_to(out);
        out.push(b'"');
    }
    text(out, "to", &publish.target.to_string());
    if let Some(at) = publish.timestamp {
        out.extend_from_slice(b",\"timestamp\":\"");
        write_timestamp(out, at);
        out.push(b'"');
    }
    if publish.priority != Priority::Normal {
        text(out, "priority", publish.priority.as_str());
    }
    if confirm {
        out.extend_from_slice(b",\"confirm\":\"stored\"");
    }
    if let Some(extras) = &publish.extras {
        // `to` is where it goes; what the server kept of an earlier journey is not sent again.
        let extras = Extras { to: None, ..(**extras).clone() };
        write_extras(out, &extras);
    }
    out.extend_from_slice(b",\"payload\":");
    out.extend_from_slice(&publish.payload);
    out.push(b'}');
}

/// Appends a command.
pub fn write_command(out: &mut Vec<u8>, id: &str, name: &str, args: &Value) {
    out.extend_from_slice(b"{\"type\":\"command\",\"version\":\"1.0\",\"id\":");
    string(out, id);
    text(out, "command", name);
    out.extend_from_slice(b",\"args\":");
    write_value(out, args);
    out.push(b'}');
}

/// Reads one envelope from a server. Raw parts share `frame`.
pub fn decode(frame: &Bytes) -> Result<ServerSays> {
    let text = std::str::from_utf8(frame).map_err(|_| Error::invalid("envelope", "not UTF-8"))?;
    let mut m = Members::new(text);
    m.fill()?;
    let kind = need(&m, Field::Type)?;
    match &*kind {
        "message" if m.raw(Field::Position).is_none() => welcome(&m, frame),
        "message" => delivery(&mut m, frame, Kind::Message),
        "telemetry" => delivery(&mut m, frame, Kind::Telemetry),
        "response" => response(&m, frame),
        "error" => Ok(ServerSays::Error { request_id: boxed_text(&m, Field::RequestId)?, error: error(&m)? }),
        "gap" => gap(&m),
        "ended" => {
            Ok(ServerSays::Ended { subscription: need(&m, Field::Subscription)?.into(), error: error(&m)? })
        }
        other => Err(Error::invalid("type", format!("`{other}` is not a type that a server sends"))),
    }
}

fn need(m: &Members<'_>, field: Field) -> Result<String> {
    let text = m.text(field)?;
    text.map(|t| t.into_owned()).ok_or_else(|| Error::invalid(field.name(), "missing; expected a string"))
}

fn boxed_text(m: &Members<'_>, field: Field) -> Result<Option<Box<str>>> {
    Ok(m.text(field)?.map(|t| t.into_owned().into()))
}

fn shared(m: &Members<'_>, field: Field) -> Result<Option<Arc<str>>> {
    Ok(m.text(field)?.map(|t| Arc::from(&*t)))
}

fn welcome(m: &Members<'_>, frame: &Bytes) -> Result<ServerSays> {
    let payload = m.object(Field::Payload, frame)?;
    Ok(ServerSays::Welcome(payload.unwrap_or_else(|| Bytes::from_static(b"{}"))))
}

fn delivery(m: &mut Members<'_>, frame: &Bytes, kind: Kind) -> Result<ServerSays> {
    let time = |field: Field| {
        let text = m.text(field)?;
        text.map(|text| parse_timestamp(field.name(), &text)).transpose()
    };
    let (timestamp, stored_at) = (time(Field::Timestamp)?, time(Field::StoredAt)?);
    let timestamp = timestamp.ok_or_else(|| Error::invalid("timestamp", "missing"))?;
    let room = RoomName::parse(&need(m, Field::Room)?)?;
    let address = Address { room, channel: ChannelName::parse(&need(m, Field::Channel)?)? };
    let producer = match (shared(m, Field::Producer)?, m.number(Field::Sequence)?) {
        (Some(id), Some(sequence)) => Some(Producer { id, sequence }),
        _ => None,
    };
    let extras = Extras {
        to: shared(m, Field::To)?,
        reply_to: shared(m, Field::ReplyTo)?,
        correlation_id: shared(m, Field::CorrelationId)?,
        idempotency_key: shared(m, Field::IdempotencyKey)?,
        producer,
        expires_at: time(Field::ExpiresAt)?,
        traceparent: shared(m, Field::Traceparent)?,
        metadata: m.object(Field::Metadata, frame)?,
        unknown: (!m.unknown.is_empty()).then(|| m.unknown.clone().into()),
    };
    let message = Message {
        id: MessageId::parse(&need(m, Field::Id)?)?,
        kind,
        address,
        sender: shared(m, Field::Sender)?.unwrap_or_else(|| "".into()),
        timestamp,
        stored_at: stored_at.unwrap_or(timestamp),
        priority: m.text(Field::Priority)?.map_or(Ok(Priority::Normal), |p| Priority::parse(&p))?,
        payload: m.object(Field::Payload, frame)?.unwrap_or_else(|| Bytes::from_static(b"{}")),
        extras: boxed(extras),
    };
    Ok(ServerSays::Delivery(Delivered {
        subscription: boxed_text(m, Field::Subscription)?.unwrap_or_default(),
        attempt: u32::try_from(m.number(Field::Attempt)?.unwrap_or(0)).unwrap_or(u32::MAX),
        position: Position::parse(&need(m, Field::Position)?)?,
        message,
    }))
}

fn response(m: &Members<'_>, frame: &Bytes) -> Result<ServerSays> {
    let request_id = boxed_text(m, Field::RequestId)?;
    let payload = m.object(Field::Payload, frame)?.unwrap_or_default();
    let data = member(&payload, "data")?.unwrap_or_else(|| Bytes::from_static(b"null"));
    Ok(ServerSays::Response { request_id, data })
}

/// One member of a raw object, raw.
pub(crate) fn member(object: &Bytes, wanted: &str) -> Result<Option<Bytes>> {
    let bad = |_| Error::invalid("payload", "expected an object");
    let text = std::str::from_utf8(object).map_err(|_| Error::invalid("payload", "not UTF-8"))?;
    if text.is_empty() {
        return Ok(None);
    }
    let mut scanner = Scanner::new(text);
    let mut more = scanner.open().map_err(bad)?;
    while more {
        let key = scanner.key().map_err(bad)?;
        let member = scanner.member(key).map_err(bad)?;
        if crate::members::unquote(&text[member.key]).as_deref() == Some(wanted) {
            return Ok(Some(object.slice(member.value)));
        }
        more = scanner.more().map_err(bad)?;
    }
    Ok(None)
}

fn error(m: &Members<'_>) -> Result<Error> {
    error_from(&need(m, Field::ErrorCode)?, need(m, Field::Error)?, m.raw(Field::Payload).map(str::as_bytes))
}

/// An error from its code, its message and the details in its payload.
pub(crate) fn error_from(code: &str, message: String, details: Option<&[u8]>) -> Result<Error> {
    // A code of a newer server is a fault that this client cannot react to in particular.
    let mut error = Error::new(Code::parse(code).unwrap_or(Code::Internal), message);
    let details = details.filter(|raw| !raw.is_empty()).map(crate::value::value_from_json).transpose()?;
    let text = |name: &str| details.as_ref().and_then(|d| d.get(name)).and_then(Value::as_text);
    if let Some(reason) = text("reason") {
        error = error.with_reason(reason.to_owned());
    }
    if let Some(field) = text("field") {
        error = error.with_field(field);
    }
    if let Some(hint) = text("hint") {
        error = error.with_hint(hint);
    }
    if let Some(outcome) = text("outcome") {
        error = error.with_outcome(parse_outcome(outcome));
    }
    if let Some(Value::Int(ms)) = details.as_ref().and_then(|d| d.get("retry_after_ms")) {
        error = error.with_retry_after(Duration::from_millis(ms.unsigned_abs()));
    }
    Ok(error)
}

fn gap(m: &Members<'_>) -> Result<ServerSays> {
    // `from` and `reason` are names that a message may carry as its own, so they are not in the table.
    let rest = Bytes::from([b"{", m.unknown.as_slice(), b"}"].concat());
    let named = |name: &str| -> Result<Option<String>> {
        let raw = member(&rest, name)?;
        Ok(raw.and_then(|raw| serde_json::from_slice(&raw).ok()))
    };
    Ok(ServerSays::Gap(GapSaid {
        subscription: boxed_text(m, Field::Subscription)?.unwrap_or_default(),
        room: RoomName::parse(&need(m, Field::Room)?)?,
        from: named("from")?.map(|text| Position::parse(&text)).transpose()?,
        to: Position::parse(&need(m, Field::To)?)?,
        reason: named("reason")?.and_then(|r| GapReason::parse(&r)).unwrap_or(GapReason::Trimmed),
    }))
}
