//! The client's side of the protobuf form: writing messages and commands, reading what the server says.

use super::decode::object;
use super::field as f;
use super::v1::{Confirm, Envelope, Type};
use crate::json::boxed;
use crate::json::client::{error_from, member};
use crate::server_says::{Delivered, GapSaid, ServerSays};
use crate::value::write_value;
use arqon_core::bus::Publish;
use arqon_core::message::{Extras, Producer};
use arqon_core::value::Value;
use arqon_core::{
    Address, ChannelName, Error, GapReason, Kind, Message, MessageId, Position, Result, RoomName,
};
use bytes::Bytes;
use prost::Message as _;
use std::sync::Arc;

/// Appends a message to be published. `confirm` asks to be told once it is stored.
pub fn write_publish(out: &mut Vec<u8>, publish: &Publish, confirm: bool) {
    f::number(out, f::TYPE, f::type_of(publish.kind) as u64);
    if let Some(id) = &publish.id {
        f::short(out, f::ID, |out| id.write_to(out));
    }
    f::bytes(out, f::TO, publish.target.to_string().as_bytes());
    if let Some(at) = publish.timestamp {
        f::timestamp(out, at);
    }
    f::number(out, f::PRIORITY, f::priority_number(publish.priority));
    if confirm {
        f::number(out, f::CONFIRM, Confirm::Stored as u64);
    }
    if let Some(extras) = &publish.extras {
        super::encode::write_extras(out, extras);
    }
    f::bytes(out, f::PAYLOAD, &publish.payload);
}

/// Appends a command.
pub fn write_command(out: &mut Vec<u8>, id: &str, name: &str, args: &Value) {
    f::number(out, f::TYPE, Type::Command as u64);
    f::bytes(out, f::ID, id.as_bytes());
    f::bytes(out, f::COMMAND, name.as_bytes());
    f::built(out, f::ARGS, |out| write_value(out, args));
}

/// Reads one envelope from a server. Raw parts share `frame`.
pub fn decode(frame: &Bytes) -> Result<ServerSays> {
    let e = Envelope::decode(frame.clone())
        .map_err(|e| Error::invalid("envelope", format!("not an `arqon.v1.Envelope`: {e}")))?;
    let kind = Type::try_from(e.r#type).unwrap_or(Type::Unspecified);
    match kind {
        Type::Message if e.position.is_empty() => Ok(ServerSays::Welcome(e.payload)),
        Type::Message => delivery(e, Kind::Message),
        Type::Telemetry => delivery(e, Kind::Telemetry),
        Type::Response => {
            let data = member(&e.payload, "data")?.unwrap_or_else(|| Bytes::from_static(b"null"));
            Ok(ServerSays::Response { request_id: boxed_text(e.request_id), data })
        }
        Type::Error => {
            let error = error_from(&e.error_code, e.error, Some(&e.payload))?;
            Ok(ServerSays::Error { request_id: boxed_text(e.request_id), error })
        }
        Type::Ended => {
            let error = error_from(&e.error_code, e.error, Some(&e.payload))?;
            Ok(ServerSays::Ended { subscription: e.subscription.into(), error })
        }
        Type::Gap => Ok(ServerSays::Gap(GapSaid {
            subscription: e.subscription.into(),
            room: RoomName::parse(&e.room)?,
            from: if e.gap_from.is_empty() { None } else { Some(Position::parse(&e.gap_from)?) },
            to: Position::parse(&e.gap_to)?,
            reason: GapReason::parse(&e.reason).unwrap_or(GapReason::Trimmed),
        })),
        Type::Unspecified | Type::Command => {
            Err(Error::invalid("type", format!("{} is not a type that a server sends", e.r#type)))
        }
    }
}

fn boxed_text(text: String) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}

fn shared(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| Arc::from(text))
}

fn delivery(e: Envelope, kind: Kind) -> Result<ServerSays> {
    let timestamp = f::read_timestamp(e.timestamp, e.timestamp_micros)
        .ok_or_else(|| Error::invalid("timestamp", "missing"))?;
    let extras = Extras {
        to: shared(&e.to),
        reply_to: shared(&e.reply_to),
        correlation_id: shared(&e.correlation_id),
        idempotency_key: shared(&e.idempotency_key),
        producer: shared(&e.producer).map(|id| Producer { id, sequence: e.sequence }),
        expires_at: f::read_micros(e.expires_at),
        traceparent: shared(&e.traceparent),
        metadata: object("metadata", e.metadata)?,
        unknown: (e.extra.len() > 2).then(|| e.extra.slice(1..e.extra.len() - 1)),
    };
    let message = Message {
        id: MessageId::parse(&e.id)?,
        kind,
        address: Address { room: RoomName::parse(&e.room)?, channel: ChannelName::parse(&e.channel)? },
        sender: e.sender.into(),
        timestamp,
        stored_at: f::read_micros(e.stored_at).unwrap_or(timestamp),
        priority: f::read_priority(e.priority).unwrap_or_default(),
        payload: if e.payload.is_empty() { Bytes::from_static(b"{}") } else { e.payload },
        extras: boxed(extras),
    };
    let position = Position::parse(&e.position)?;
    let subscription = e.subscription.into();
    Ok(ServerSays::Delivery(Delivered { subscription, attempt: e.attempt, position, message }))
}
