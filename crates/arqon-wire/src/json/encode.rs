//! Core → JSON envelope, by direct concatenation: what the server sends.
//!
//! Invariant: a record is encoded once, from behind the opening brace on; what differs between subscriptions is a
//! prefix that is written before the shared bytes.

use super::FORM;
use crate::outgoing::{Stamp, Welcome, outcome_text};
use crate::text::{decimal, position, string};
use crate::time::write_timestamp;
use crate::value::write_value;
use arqon_core::bus::{Answer, Receipt};
use arqon_core::message::Extras;
use arqon_core::value::Value;
use arqon_core::{Error, Gap, Message, Position, Priority, Record};
use bytes::Bytes;
use std::sync::Arc;

/// Room for the fixed members of an envelope; a guess that saves growing the buffer.
const FIXED: usize = 320;

/// The shared part of a delivery: everything from behind the opening brace to the end. Encoded at the first call
/// and kept in the record.
pub fn delivery(record: &Record) -> &Bytes {
    record.encoded(FORM, |record| {
        let mut out = Vec::with_capacity(FIXED + record.message.weight());
        members(&mut out, &record.message, Some(record.position));
        out.shrink_to_fit();
        out.into()
    })
}

/// Appends the shared part of a delivery. Who holds the record alone writes it straight to where it goes: there is
/// nobody to share it with.
pub fn write_delivery(out: &mut Vec<u8>, record: &Arc<Record>) {
    if Arc::strong_count(record) == 1 && record.already_encoded(FORM).is_none() {
        out.reserve(FIXED + record.message.weight());
        members(out, &record.message, Some(record.position));
    } else {
        out.extend_from_slice(delivery(record));
    }
}

/// Appends what stands before the shared part of a delivery: the brace, the subscription, and the attempt if any.
pub fn write_delivery_prefix(out: &mut Vec<u8>, subscription: &str, attempt: u32) {
    out.extend_from_slice(b"{\"subscription\":");
    string(out, subscription);
    if attempt > 0 {
        out.extend_from_slice(b",\"attempt\":");
        decimal(out, attempt.into());
    }
    out.push(b',');
}

/// A whole envelope of a message: what HTTP answers and what a command line prints, on one line.
pub fn envelope(message: &Message, at: Option<Position>) -> Vec<u8> {
    let mut out = Vec::with_capacity(FIXED + message.weight());
    out.push(b'{');
    members(&mut out, message, at);
    out
}

fn members(out: &mut Vec<u8>, message: &Message, at: Option<Position>) {
    out.extend_from_slice(b"\"id\":\"");
    message.id.write_to(out);
    out.extend_from_slice(b"\",\"type\":\"");
    out.extend_from_slice(message.kind.as_str().as_bytes());
    out.extend_from_slice(b"\",\"version\":\"1.0\",\"timestamp\":\"");
    write_timestamp(out, message.timestamp);
    if message.stored_at != message.timestamp {
        out.extend_from_slice(b"\",\"stored_at\":\"");
        write_timestamp(out, message.stored_at);
    }
    // The names of rooms and channels need no escaping.
    out.extend_from_slice(b"\",\"room\":\"");
    out.extend_from_slice(message.address.room.as_str().as_bytes());
    out.extend_from_slice(b"\",\"channel\":\"");
    out.extend_from_slice(message.address.channel.as_str().as_bytes());
    out.extend_from_slice(b"\",\"sender\":");
    string(out, &message.sender);
    if let Some(at) = at {
        out.extend_from_slice(b",\"position\":\"");
        position(out, at);
        out.push(b'"');
    }
    if message.priority != Priority::Normal {
        text(out, "priority", message.priority.as_str());
    }
    if let Some(extras) = &message.extras {
        write_extras(out, extras);
    }
    out.extend_from_slice(b",\"payload\":");
    out.extend_from_slice(if message.payload.is_empty() { b"{}" } else { &message.payload });
    out.push(b'}');
}

pub(super) fn write_extras(out: &mut Vec<u8>, extras: &Extras) {
    let texts = [
        ("to", &extras.to),
        ("reply_to", &extras.reply_to),
        ("correlation_id", &extras.correlation_id),
        ("idempotency_key", &extras.idempotency_key),
        ("traceparent", &extras.traceparent),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            text(out, name, value);
        }
    }
    if let Some(producer) = &extras.producer {
        text(out, "producer", &producer.id);
        out.extend_from_slice(b",\"sequence\":");
        decimal(out, producer.sequence);
    }
    if let Some(at) = extras.expires_at {
        out.extend_from_slice(b",\"expires_at\":\"");
        write_timestamp(out, at);
        out.push(b'"');
    }
    if let Some(metadata) = &extras.metadata {
        out.extend_from_slice(b",\"metadata\":");
        out.extend_from_slice(metadata);
    }
    if let Some(unknown) = &extras.unknown {
        out.push(b',');
        out.extend_from_slice(unknown);
    }
}

/// `,"name":"text"`; the name needs no escaping.
pub(crate) fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    string(out, value);
}

fn head(out: &mut Vec<u8>, kind: &str, stamp: &Stamp) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"version\":\"1.0\",\"id\":\"");
    stamp.id.write_to(out);
    out.extend_from_slice(b"\",\"timestamp\":\"");
    write_timestamp(out, stamp.at);
    out.extend_from_slice(b"\",\"sender\":\"arqon\"");
}

/// Appends the answer to a command.
pub fn write_response(out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, data: &Value) {
    response_head(out, stamp, request_id);
    write_value(out, data);
    out.extend_from_slice(b"}}");
}

/// Appends the answer to a question: the same as [`write_response`] with a record.
pub fn write_answer(out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, answer: &Answer) {
    out.reserve(2 * FIXED + answer.message.weight());
    response_head(out, stamp, request_id);
    write_answer_data(out, answer);
    out.extend_from_slice(b"}}");
}

pub(crate) fn write_answer_data(out: &mut Vec<u8>, answer: &Answer) {
    out.push(b'{');
    members(out, &answer.message, Some(answer.position));
}

fn response_head(out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>) {
    head(out, "response", stamp);
    if let Some(id) = request_id {
        text(out, "request_id", id);
    }
    out.extend_from_slice(b",\"status\":\"success\",\"payload\":{\"data\":");
}

/// Appends the confirmation of a publish.
pub fn write_receipt(out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, receipt: &Receipt) {
    response_head(out, stamp, request_id);
    write_receipt_data(out, receipt);
    out.extend_from_slice(b"}}");
}

/// Appends the confirmation of `count` messages that stand one behind the other, the first of which is `receipt`.
pub fn write_run(
    out: &mut Vec<u8>,
    stamp: &Stamp,
    request_id: Option<&str>,
    (receipt, count): (&Receipt, u64),
) {
    response_head(out, stamp, request_id);
    write_run_data(out, receipt, count);
    out.extend_from_slice(b"}}");
}

pub(crate) fn write_run_data(out: &mut Vec<u8>, receipt: &Receipt, count: u64) {
    write_receipt_data(out, receipt);
    out.pop();
    out.extend_from_slice(b",\"count\":");
    decimal(out, count);
    out.push(b'}');
}

/// Appends a receipt as a JSON object: the same in a confirmation and over HTTP.
pub fn write_receipt_data(out: &mut Vec<u8>, receipt: &Receipt) {
    out.extend_from_slice(b"{\"id\":\"");
    receipt.id.write_to(out);
    out.extend_from_slice(b"\",\"position\":\"");
    position(out, receipt.position);
    out.extend_from_slice(if receipt.duplicate {
        b"\",\"duplicate\":true"
    } else {
        b"\",\"duplicate\":false"
    });
    text(out, "room", receipt.room.as_str());
    text(out, "channel", receipt.channel.as_str());
    out.push(b'}');
}

/// Appends a failure.
pub fn write_error(out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, error: &Error) {
    head(out, "error", stamp);
    if let Some(id) = request_id {
        text(out, "request_id", id);
    }
    error_members(out, error);
    out.push(b'}');
}

fn error_members(out: &mut Vec<u8>, error: &Error) {
    text(out, "error", error.message());
    text(out, "error_code", error.code().as_str());
    out.extend_from_slice(b",\"payload\":");
    write_error_details(out, error);
}

/// Appends what can be said of a failure beside its code and message: `{"outcome":…,"field":…,…}`.
pub fn write_error_details(out: &mut Vec<u8>, error: &Error) {
    out.extend_from_slice(b"{\"outcome\":\"");
    out.extend_from_slice(outcome_text(error.outcome()).as_bytes());
    out.push(b'"');
    if let Some(reason) = error.reason() {
        text(out, "reason", reason);
    }
    if let Some(field) = error.field() {
        text(out, "field", field);
    }
    if let Some(hint) = error.hint() {
        text(out, "hint", hint);
    }
    if let Some(after) = error.retry_after() {
        out.extend_from_slice(b",\"retry_after_ms\":");
        decimal(out, u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    }
    out.push(b'}');
}

/// Appends a gap; without a subscription it is what a command line prints.
pub fn write_gap(out: &mut Vec<u8>, subscription: Option<&str>, gap: &Gap) {
    out.extend_from_slice(b"{\"type\":\"gap\"");
    if let Some(subscription) = subscription {
        out.extend_from_slice(b",\"version\":\"1.0\"");
        text(out, "subscription", subscription);
    }
    text(out, "room", gap.room.room().as_str());
    out.extend_from_slice(b",\"from\":");
    match gap.from {
        Some(from) => quoted_position(out, from),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"to\":");
    quoted_position(out, gap.to);
    text(out, "reason", gap.reason.as_str());
    out.push(b'}');
}

fn quoted_position(out: &mut Vec<u8>, at: Position) {
    out.push(b'"');
    position(out, at);
    out.push(b'"');
}

/// Appends the end of a subscription.
pub fn write_ended(out: &mut Vec<u8>, subscription: &str, error: &Error) {
    out.extend_from_slice(b"{\"type\":\"ended\",\"version\":\"1.0\"");
    text(out, "subscription", subscription);
    error_members(out, error);
    out.push(b'}');
}

/// Appends the first envelope of a connection.
pub fn write_welcome(out: &mut Vec<u8>, stamp: &Stamp, welcome: &Welcome) {
    head(out, "message", stamp);
    out.extend_from_slice(b",\"payload\":");
    write_value(out, &welcome.to_value());
    out.push(b'}');
}
