//! Core → protobuf envelope, by direct concatenation: what the server sends.

use super::v1::Type;
use super::{FORM, field as f};
use crate::outgoing::{Stamp, Welcome};
use crate::text::position;
use crate::value::write_value;
use arqon_core::bus::{Answer, Receipt};
use arqon_core::message::Extras;
use arqon_core::value::Value;
use arqon_core::{Error, Gap, Message, Position, Record};
use bytes::Bytes;
use std::sync::Arc;

/// Room for the fixed fields of an envelope; a guess that saves growing the buffer.
const FIXED: usize = 192;

/// The shared part of a delivery: everything but the subscription and the attempt. Encoded at the first call and kept
/// in the record.
pub fn delivery(record: &Record) -> &Bytes {
    record.encoded(FORM, |record| {
        let mut out = Vec::with_capacity(FIXED + record.message.weight());
        write_message(&mut out, &record.message, Some(record.position));
        out.shrink_to_fit();
        out.into()
    })
}

/// Appends the shared part of a delivery. Who holds the record alone writes it straight to where it goes: there is
/// nobody to share it with.
pub fn write_delivery(out: &mut Vec<u8>, record: &Arc<Record>) {
    if Arc::strong_count(record) == 1 && record.already_encoded(FORM).is_none() {
        out.reserve(FIXED + record.message.weight());
        write_message(out, &record.message, Some(record.position));
    } else {
        out.extend_from_slice(delivery(record));
    }
}

/// Appends what belongs to one subscription; the shared part follows.
pub fn write_delivery_prefix(out: &mut Vec<u8>, subscription: &str, attempt: u32) {
    f::bytes(out, f::SUBSCRIPTION, subscription.as_bytes());
    f::number(out, f::ATTEMPT, attempt.into());
}

/// Appends the envelope of a message.
pub fn write_message(out: &mut Vec<u8>, message: &Message, at: Option<Position>) {
    f::number(out, f::TYPE, f::type_of(message.kind) as u64);
    f::short(out, f::ID, |out| message.id.write_to(out));
    f::timestamp(out, message.timestamp);
    if message.stored_at != message.timestamp {
        f::number(out, f::STORED_AT, message.stored_at.0);
    }
    f::bytes(out, f::ROOM, message.address.room.as_str().as_bytes());
    f::bytes(out, f::CHANNEL, message.address.channel.as_str().as_bytes());
    f::bytes(out, f::SENDER, message.sender.as_bytes());
    if let Some(at) = at {
        f::short(out, f::POSITION, |out| position(out, at));
    }
    f::number(out, f::PRIORITY, f::priority_number(message.priority));
    if let Some(extras) = &message.extras {
        if let Some(to) = &extras.to {
            f::bytes(out, f::TO, to.as_bytes());
        }
        write_extras(out, extras);
    }
    f::bytes(out, f::PAYLOAD, &message.payload);
}

/// Appends the extras except `to`.
pub(super) fn write_extras(out: &mut Vec<u8>, extras: &Extras) {
    let texts = [
        (f::REPLY_TO, &extras.reply_to),
        (f::CORRELATION_ID, &extras.correlation_id),
        (f::IDEMPOTENCY_KEY, &extras.idempotency_key),
        (f::TRACEPARENT, &extras.traceparent),
    ];
    for (field, value) in texts {
        if let Some(value) = value {
            f::bytes(out, field, value.as_bytes());
        }
    }
    if let Some(producer) = &extras.producer {
        f::bytes(out, f::PRODUCER, producer.id.as_bytes());
        f::number(out, f::SEQUENCE, producer.sequence);
    }
    if let Some(at) = extras.expires_at {
        f::number(out, f::EXPIRES_AT, at.0);
    }
    if let Some(metadata) = &extras.metadata {
        f::bytes(out, f::METADATA, metadata);
    }
    if let Some(unknown) = &extras.unknown {
        f::built(out, f::EXTRA, |out| {
            out.push(b'{');
            out.extend_from_slice(unknown);
            out.push(b'}');
        });
    }
}

fn head(out: &mut Vec<u8>, kind: Type, stamp: &Stamp) {
    f::number(out, f::TYPE, kind as u64);
    f::short(out, f::ID, |out| stamp.id.write_to(out));
    f::timestamp(out, stamp.at);
    f::bytes(out, f::SENDER, b"arqon");
}

/// Appends the answer to a command.
pub fn write_response(out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, data: &Value) {
    response(out, stamp, request_id, |out| write_value(out, data));
}

/// Appends the answer to a question: the same as [`write_response`] with a record.
pub fn write_answer(out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, answer: &Answer) {
    response(out, stamp, request_id, |out| crate::json::write_answer_data(out, answer));
}

/// Appends the confirmation of a publish.
pub fn write_receipt(out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, receipt: &Receipt) {
    response(out, stamp, request_id, |out| crate::json::write_receipt_data(out, receipt));
}

/// Appends the confirmation of `count` messages that stand one behind the other, the first of which is `receipt`.
pub fn write_run(
    out: &mut Vec<u8>,
    stamp: &Stamp,
    request_id: Option<&str>,
    (receipt, count): (&Receipt, u64),
) {
    response(out, stamp, request_id, |out| crate::json::write_run_data(out, receipt, count));
}

fn response(out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, data: impl FnOnce(&mut Vec<u8>)) {
    head(out, Type::Response, stamp);
    f::bytes(out, f::REQUEST_ID, request_id.unwrap_or_default().as_bytes());
    f::bytes(out, f::STATUS, b"success");
    f::built(out, f::PAYLOAD, |out| {
        out.extend_from_slice(b"{\"data\":");
        data(out);
        out.push(b'}');
    });
}

/// Appends a failure.
pub fn write_error(out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, error: &Error) {
    head(out, Type::Error, stamp);
    f::bytes(out, f::REQUEST_ID, request_id.unwrap_or_default().as_bytes());
    error_fields(out, error);
}

fn error_fields(out: &mut Vec<u8>, error: &Error) {
    f::bytes(out, f::ERROR, error.message().as_bytes());
    f::bytes(out, f::ERROR_CODE, error.code().as_str().as_bytes());
    f::built(out, f::PAYLOAD, |out| crate::json::write_error_details(out, error));
}

/// Appends a gap.
pub fn write_gap(out: &mut Vec<u8>, subscription: &str, gap: &Gap) {
    f::number(out, f::TYPE, Type::Gap as u64);
    f::bytes(out, f::SUBSCRIPTION, subscription.as_bytes());
    f::bytes(out, f::ROOM, gap.room.room().as_str().as_bytes());
    if let Some(from) = gap.from {
        f::short(out, f::GAP_FROM, |out| position(out, from));
    }
    f::short(out, f::GAP_TO, |out| position(out, gap.to));
    f::bytes(out, f::REASON, gap.reason.as_str().as_bytes());
}

/// Appends the end of a subscription.
pub fn write_ended(out: &mut Vec<u8>, subscription: &str, error: &Error) {
    f::number(out, f::TYPE, Type::Ended as u64);
    f::bytes(out, f::SUBSCRIPTION, subscription.as_bytes());
    error_fields(out, error);
}

/// Appends the first envelope of a connection.
pub fn write_welcome(out: &mut Vec<u8>, stamp: &Stamp, welcome: &Welcome) {
    head(out, Type::Message, stamp);
    f::built(out, f::PAYLOAD, |out| write_value(out, &welcome.to_value()));
}
