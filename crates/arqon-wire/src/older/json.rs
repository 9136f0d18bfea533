//! The members of an older envelope in a text frame.

use super::parts::{Parts, Rejected, Why, expected, text_of, time};
use crate::field::Field;
use crate::incoming::ID_MAX;
use crate::json::client::member;
use crate::members::Members;
use bytes::Bytes;

/// Members that only the current protocol has: to take them and do nothing would be to lie.
const CURRENT: &[Field] = &[
    Field::To,
    Field::Address,
    Field::Priority,
    Field::Confirm,
    Field::IdempotencyKey,
    Field::CorrelationId,
    Field::ReplyTo,
    Field::ExpiresAt,
    Field::Traceparent,
    Field::Producer,
    Field::Sequence,
];

pub(super) fn parts(frame: &Bytes) -> Result<Parts, Box<Rejected>> {
    let unreadable = |request_id, text| Box::new(Rejected { request_id, why: Why::Unreadable(text) });
    let text = std::str::from_utf8(frame).map_err(|_| unreadable(None, "not UTF-8".to_owned()))?;
    let mut members = Members::new(text);
    if let Err(error) = members.fill() {
        let id = members.text(Field::Id).ok().flatten().filter(|id| id.len() <= ID_MAX);
        return Err(unreadable(id.map(|id| id.into_owned().into()), error.to_string()));
    }
    Ok(read(&mut members, frame))
}

fn read(m: &mut Members<'_>, frame: &Bytes) -> Parts {
    let mut parts = Parts::default();
    for field in CURRENT {
        if m.raw(*field).is_some() {
            let name = field.name();
            parts.complaints.push(format!("{name}: not of the older protocol; connect to `/ws` to use it"));
        }
    }
    let mut text = |field| {
        m.text(field).map(|text| text.map(|text| text.into_owned())).unwrap_or_else(|error| {
            parts.complaints.push(error.to_string());
            None
        })
    };
    let (id, kind, version, said_at) =
        (text(Field::Id), text(Field::Type), text(Field::Version), text(Field::Timestamp));
    let (room, channel, command) = (text(Field::Room), text(Field::Channel), text(Field::Command));
    let (request_id, status) = (text(Field::RequestId), text(Field::Status));
    let (error, error_code) = (text(Field::Error), text(Field::ErrorCode));
    let mut object = |field| {
        m.object(field, frame).unwrap_or_else(|error| {
            parts.complaints.push(error.to_string());
            None
        })
    };
    let (payload, args, metadata) = (object(Field::Payload), object(Field::Args), object(Field::Metadata));
    if let Some(text) = said_at {
        match time(&text) {
            Ok(at) => parts.timestamp = Some(at),
            Err(error) => parts.complain(&error),
        }
    }
    let parts = Parts { id, kind, version, room, channel, command, payload, args, metadata, ..parts };
    let parts = Parts { request_id, status, error, error_code, ..parts };
    with_aliases(parts, std::mem::take(&mut m.unknown))
}

/// The members that the current protocol does not know, among them the older names of the two clients.
fn with_aliases(mut parts: Parts, unknown: Vec<u8>) -> Parts {
    if unknown.is_empty() {
        return parts;
    }
    let object = Bytes::from([&b"{"[..], &unknown, b"}"].concat());
    let find = |name| member(&object, name).ok().flatten().filter(|raw| **raw != *b"null");
    parts.has_from = find("from").is_some();
    for name in ["from", "from_client", "to_client"] {
        let Some(raw) = find(name) else { continue };
        match text_of(&raw) {
            Some(text) if name == "to_client" => parts.to_client = Some(text),
            Some(_) => {}
            None => parts.complaints.push(expected(name, "a string", &raw)),
        }
    }
    parts.unknown = Some(unknown.into());
    parts
}

/// A type that only older clients send; a command without `command` whose payload has one; a message to a client.
pub(super) fn is_older(frame: &Bytes) -> bool {
    let Ok(text) = std::str::from_utf8(frame) else { return false };
    let mut members = Members::new(text);
    if members.fill().is_err() || CURRENT.iter().any(|field| members.raw(*field).is_some()) {
        return false;
    }
    let Ok(Some(kind)) = members.text(Field::Type) else { return false };
    match &*kind {
        "event" | "private" | "operator.join" => true,
        "command" => {
            let payload = members.object(Field::Payload, frame).ok().flatten();
            let asks = payload.is_some_and(|payload| matches!(member(&payload, "command"), Ok(Some(_))));
            members.raw(Field::Command).is_none() && asks
        }
        "message" => {
            let object = Bytes::from([&b"{"[..], &members.unknown, b"}"].concat());
            let named = [Field::Room, Field::Channel].iter().any(|field| members.raw(*field).is_some());
            !named && matches!(member(&object, "to_client"), Ok(Some(_)))
        }
        _ => false,
    }
}
