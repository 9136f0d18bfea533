//! What the server says to an older client: each thing made once as an [`Envelope`], written in either form.

use super::parts::{Rejected, Why, text_of};
use crate::Form;
use crate::json::client::member;
use crate::json::text as member_text;
use crate::json::{write_answer_data, write_error_details, write_receipt_data};
use crate::outgoing::{Stamp, Welcome};
use crate::text;
use crate::time::write_timestamp;
use crate::value::write_value_with;
use arqon_core::bus::{Answer, Receipt};
use arqon_core::value::Value;
use arqon_core::{Address, Code, Delivery, Error, Gap, Record, Timestamp, operations};
use bytes::Bytes;
use std::sync::Arc;

/// The places of these forms' bytes in a record.
const JSON: usize = 2;
const PROTO: usize = 3;

/// Who the server is to older clients.
const SERVER: &str = "arqonbus";

/// One envelope of the server, with all members that older clients know; `None` and `{}` are not there.
pub(super) struct Envelope<'a> {
    pub(super) id: &'a str,
    pub(super) kind: &'static str,
    pub(super) at: Timestamp,
    pub(super) room: Option<&'a str>,
    pub(super) channel: Option<&'a str>,
    pub(super) sender: Option<&'a str>,
    pub(super) from_client: Option<&'a str>,
    pub(super) to_client: Option<&'a str>,
    pub(super) request_id: Option<&'a str>,
    pub(super) status: Option<&'static str>,
    pub(super) error: Option<&'a str>,
    pub(super) error_code: Option<&'a str>,
    pub(super) payload: &'a [u8],
    pub(super) metadata: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn new(kind: &'static str, id: &'a str, at: Timestamp) -> Self {
        Envelope {
            id,
            kind,
            at,
            room: None,
            channel: None,
            sender: Some(SERVER),
            from_client: None,
            to_client: None,
            request_id: None,
            status: None,
            error: None,
            error_code: None,
            payload: b"{}",
            metadata: b"{}",
        }
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        if !form.is_text() {
            return super::proto::write_envelope(out, self);
        }
        out.extend_from_slice(b"{\"id\":");
        text::string(out, self.id);
        out.extend_from_slice(b",\"type\":");
        text::string(out, self.kind);
        out.extend_from_slice(b",\"version\":\"1.0\",\"timestamp\":\"");
        write_timestamp(out, self.at);
        out.push(b'"');
        let texts = [
            ("room", self.room),
            ("channel", self.channel),
            ("sender", self.sender),
            ("from_client", self.from_client),
            ("to_client", self.to_client),
            ("request_id", self.request_id),
            ("status", self.status),
            ("error", self.error),
            ("error_code", self.error_code),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                member_text(out, name, value);
            }
        }
        out.extend_from_slice(b",\"payload\":");
        out.extend_from_slice(self.payload);
        out.extend_from_slice(b",\"args\":{},\"metadata\":");
        out.extend_from_slice(self.metadata);
        out.push(b'}');
    }
}

/// A delivery, the same for all older clients. Encoded at the first call and kept in the record.
pub fn delivery(form: Form, record: &Record) -> &Bytes {
    record.encoded(if form.is_text() { JSON } else { PROTO }, |record| {
        let mut out = Vec::with_capacity(320 + record.message.weight());
        write_record(form, &mut out, record);
        out.shrink_to_fit();
        out.into()
    })
}

/// Appends a delivery; the record keeps it only if somebody else holds the record too.
pub fn write_delivery(form: Form, out: &mut Vec<u8>, record: &Arc<Record>) {
    let place = if form.is_text() { JSON } else { PROTO };
    if Arc::strong_count(record) == 1 && record.already_encoded(place).is_none() {
        write_record(form, out, record);
    } else {
        out.extend_from_slice(delivery(form, record));
    }
}

fn write_record(form: Form, out: &mut Vec<u8>, record: &Record) {
    let message = &record.message;
    let id = message.id.to_string();
    let extras = message.extras.as_deref();
    let passed_on = extras.and_then(|extras| extras.unknown.as_deref());
    let (from_client, mut to_client) = passed_on.map_or((None, None), aliases);
    let (room, channel) = (&message.address.room, &message.address.channel);
    let is_private = room.is_inbox();
    if is_private && to_client.is_none() {
        to_client = room.as_str().strip_prefix('@').map(str::to_owned);
    }
    let metadata = extras.and_then(|extras| extras.metadata.as_deref());
    Envelope {
        room: (!is_private).then_some(room.as_str()),
        channel: Some(if is_private { "pm" } else { channel.as_str() }),
        sender: Some(&message.sender),
        from_client: from_client.as_deref(),
        to_client: to_client.as_deref(),
        payload: if message.payload.is_empty() { b"{}" } else { &message.payload },
        metadata: metadata.unwrap_or(b"{}"),
        ..Envelope::new(message.kind.as_str(), &id, message.timestamp)
    }
    .write(form, out);
}

/// `from_client` and `to_client` among the members that were passed on.
fn aliases(passed_on: &[u8]) -> (Option<String>, Option<String>) {
    let object = Bytes::from([&b"{"[..], passed_on, b"}"].concat());
    let find = |name| member(&object, name).ok().flatten().as_deref().and_then(text_of);
    (find("from_client"), find("to_client"))
}

/// Appends the first envelope of a connection.
pub fn write_welcome(form: Form, out: &mut Vec<u8>, stamp: &Stamp, welcome: &Welcome<'_>) {
    let mut payload = b"{\"welcome\":\"Connected to ArqonBus\"".to_vec();
    member_text(&mut payload, "client_id", welcome.client_id);
    payload.push(b'}');
    let id = stamp.id.to_string();
    Envelope { payload: &payload, ..Envelope::new("message", &id, stamp.at) }.write(form, out);
}

/// Appends what follows a message that was accepted: its payload, under its id.
pub fn write_message_response(
    form: Form,
    out: &mut Vec<u8>,
    at: Timestamp,
    (id, payload): (&str, &[u8]),
    receipt: &Receipt,
) {
    let is_private = receipt.room.is_inbox();
    Envelope {
        room: (!is_private).then(|| receipt.room.as_str()),
        channel: Some(if is_private { "pm" } else { receipt.channel.as_str() }),
        request_id: Some(id),
        payload,
        ..Envelope::new("message_response", id, at)
    }
    .write(form, out);
}

/// Appends what follows the response to a command, under the command's id.
pub fn write_command_response(form: Form, out: &mut Vec<u8>, at: Timestamp, (id, ok): (&str, bool)) {
    let payload: &[u8] = if ok { b"{\"result\":\"ok\"}" } else { b"{\"result\":\"error\"}" };
    Envelope { request_id: Some(id), payload, ..Envelope::new("command_response", id, at) }.write(form, out);
}

/// Appends the answer to a command that succeeded.
pub fn write_done(
    form: Form,
    out: &mut Vec<u8>,
    stamp: &Stamp,
    request_id: Option<&str>,
    (command, data): (&str, &Value),
) {
    let own = data.get("message").and_then(Value::as_text).map(str::to_owned);
    let message = own.unwrap_or_else(|| format!("`{command}` is done"));
    success(form, out, stamp, request_id, &message, |out| write_value_with(out, data, told));
}

/// A message or a gap within an answer.
fn told(out: &mut Vec<u8>, delivery: &Delivery) {
    match delivery {
        Delivery::Record { record, .. } => write_delivery(Form::OlderJson, out, record),
        Delivery::Gap(gap) => crate::json::write_gap(out, None, gap),
    }
}

/// Appends the answer to a command that failed.
pub fn write_failed(
    form: Form,
    out: &mut Vec<u8>,
    stamp: &Stamp,
    request_id: Option<&str>,
    (command, error): (&str, &Error),
) {
    let fault = operations::find(command).map_or(FAULT, |operation| operation.fault);
    let mut payload = b"{\"message\":".to_vec();
    text::string(&mut payload, &error.to_string());
    payload.extend_from_slice(b",\"data\":");
    details(&mut payload, error);
    payload.extend_from_slice(b",\"metadata\":{}}");
    let id = stamp.id.to_string();
    Envelope {
        request_id,
        status: Some("error"),
        error: Some(error.message()),
        error_code: Some(code(error, fault)),
        payload: &payload,
        ..Envelope::new("response", &id, stamp.at)
    }
    .write(form, out);
}

/// Appends the answer to a command whose name nobody asks for.
pub fn write_response(form: Form, out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, data: &Value) {
    write_done(form, out, stamp, request_id, ("command", data));
}

/// Appends the answer to a question.
pub fn write_answer(form: Form, out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, answer: &Answer) {
    success(form, out, stamp, request_id, "answered", |out| write_answer_data(out, answer));
}

/// Appends a receipt as an answer.
pub fn write_receipt(
    form: Form,
    out: &mut Vec<u8>,
    stamp: &Stamp,
    request_id: Option<&str>,
    receipt: &Receipt,
) {
    success(form, out, stamp, request_id, "stored", |out| write_receipt_data(out, receipt));
}

fn success(
    form: Form,
    out: &mut Vec<u8>,
    stamp: &Stamp,
    request_id: Option<&str>,
    message: &str,
    data: impl FnOnce(&mut Vec<u8>),
) {
    let mut payload = b"{\"message\":".to_vec();
    text::string(&mut payload, message);
    payload.extend_from_slice(b",\"data\":");
    data(&mut payload);
    payload.extend_from_slice(b",\"metadata\":{}}");
    let id = stamp.id.to_string();
    Envelope {
        request_id,
        status: Some("success"),
        payload: &payload,
        ..Envelope::new("response", &id, stamp.at)
    }
    .write(form, out);
}

/// Appends a failure.
pub fn write_error(form: Form, out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, error: &Error) {
    write_refusal(form, out, stamp, request_id, (error, None));
}

/// Appends the failure of a message that was to go to an address.
pub fn write_refusal(
    form: Form,
    out: &mut Vec<u8>,
    stamp: &Stamp,
    request_id: Option<&str>,
    (error, address): (&Error, Option<&Address>),
) {
    let (mut text, mut payload) = (error.message(), Vec::new());
    match error.reason() {
        Some(reason) if is_inspection(error) => {
            text = "CASIL blocked message";
            payload = crate::value::value_to_json(&Value::map([("reason", reason.into())]));
        }
        _ => details(&mut payload, error),
    }
    let id = stamp.id.to_string();
    Envelope {
        room: address.map(|address| address.room.as_str()),
        channel: address.map(|address| address.channel.as_str()),
        request_id,
        error: Some(text),
        error_code: Some(code(error, FAULT)),
        payload: &payload,
        ..Envelope::new("error", &id, stamp.at)
    }
    .write(form, out);
}

/// Whether it was the content that was refused, which older clients have words of their own for.
pub fn is_inspection(error: &Error) -> bool {
    error.reason().is_some_and(|reason| reason.starts_with("CASIL_"))
}

/// Reasons that older clients know, beside those of content inspection and of our own faults.
const REASONS: [&str; 9] = [
    "ROOM_NOT_FOUND",
    "CHANNEL_NOT_FOUND",
    "CHANNEL_EXISTS",
    "CHANNEL_ROOM_MISMATCH",
    "INVALID_TIMESTAMP",
    "COMMAND_NOT_FOUND",
    "FEATURE_DISABLED",
    "ROUTING_ERROR",
    OPERATOR_AUTH_FAILED,
];

/// The reason of a refusal to let an operator into a group.
pub const OPERATOR_AUTH_FAILED: &str = "OPERATOR_AUTH_FAILED";

/// What a failure of a command is to older clients that is nothing else they have a word for.
const FAULT: &str = "EXECUTION_ERROR";

/// Older clients know one code for each failure, out of fewer: a reason where they know it, else the nearest code. `fault`
/// is the one that the command has of its own.
fn code<'a>(error: &'a Error, fault: &'static str) -> &'a str {
    match error.reason() {
        Some(reason)
            if error.code() == Code::Internal || REASONS.contains(&reason) || is_inspection(error) =>
        {
            return reason;
        }
        _ => {}
    }
    match error.code() {
        code @ (Code::Invalid
        | Code::UnknownCommand
        | Code::Unauthenticated
        | Code::Forbidden
        | Code::RateLimited
        | Code::Internal) => code.as_str(),
        _ if fault != FAULT => fault,
        Code::NotFound => Code::NotFound.as_str(),
        Code::AlreadyExists | Code::TooLarge | Code::Exhausted => Code::Invalid.as_str(),
        Code::Conflict | Code::Fenced | Code::Timeout | Code::Unavailable | Code::ShuttingDown => fault,
    }
}

/// What can be said of a failure beside its code and message, and the code of the current protocol.
fn details(out: &mut Vec<u8>, error: &Error) {
    write_error_details(out, error);
    out.pop();
    member_text(out, "code", error.code().as_str());
    if let Some(after) = error.retry_after() {
        out.extend_from_slice(b",\"retry_after\":");
        text::decimal(out, after.as_secs() + u64::from(after.subsec_nanos() > 0));
    }
    out.push(b'}');
}

/// Appends what an envelope is answered with that was not understood.
pub fn write_rejection(form: Form, out: &mut Vec<u8>, stamp: &Stamp, rejected: &Rejected) {
    let (error, error_code, complaints) = match &rejected.why {
        Why::Unreadable(text) => ("Internal server error", "INTERNAL_ERROR", std::slice::from_ref(text)),
        Why::Invalid(complaints) => ("Message validation failed", "VALIDATION_ERROR", &**complaints),
    };
    let list = complaints.iter().map(|text| text.as_str().into()).collect();
    let payload = crate::value::value_to_json(&Value::map([("errors", Value::List(list))]));
    let id = stamp.id.to_string();
    Envelope {
        request_id: rejected.request_id.as_deref(),
        error: Some(error),
        error_code: Some(error_code),
        payload: &payload,
        ..Envelope::new("error", &id, stamp.at)
    }
    .write(form, out);
}

/// Appends a gap: older clients have no word for it, but they are told.
pub fn write_gap(form: Form, out: &mut Vec<u8>, stamp: &Stamp, gap: &Gap) {
    let room = gap.room.room().as_str();
    let payload = crate::value::value_to_json(&Value::map([
        ("room", room.into()),
        ("from", gap.from.map(|from| from.to_string()).into()),
        ("to", gap.to.to_string().into()),
        ("reason", gap.reason.as_str().into()),
    ]));
    let id = stamp.id.to_string();
    let error = format!("messages of room `{room}` are gone");
    Envelope {
        room: Some(room),
        error: Some(&error),
        error_code: Some("GAP"),
        payload: &payload,
        ..Envelope::new("error", &id, stamp.at)
    }
    .write(form, out);
}
