//! The choice between the forms of the wire, made once per envelope.
//!
//! Invariant: every envelope can be said in each form; a door asks for a form and never looks inside.

use crate::incoming::{Incoming, Rejected};
use crate::outgoing::{Stamp, Welcome};
use crate::{json, older, proto};
use arqon_core::bus::{Answer, Receipt};
use arqon_core::value::Value;
use arqon_core::{Error, Gap, Record};
use bytes::Bytes;
use std::sync::Arc;

/// JSON in text frames or protobuf in binary frames, of the current protocol or of the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// Text frames.
    #[default]
    Json,
    /// Binary frames.
    Proto,
    /// Text frames of the older protocol.
    OlderJson,
    /// Binary frames of the older protocol.
    OlderProto,
}

/// Decodes what one client sends, in whichever form of the current protocol each frame comes. What older clients send is
/// read by [`older::decode`]; here it is refused.
#[derive(Debug, Default)]
pub struct Decoder {
    json: json::Decoder,
    proto: proto::Decoder,
}

impl Decoder {
    /// Decodes one envelope; its raw parts share `frame`.
    pub fn decode(&mut self, form: Form, frame: &Bytes) -> Result<Incoming, Box<Rejected>> {
        match form {
            Form::Json | Form::OlderJson => self.json.decode(frame),
            Form::Proto | Form::OlderProto => self.proto.decode(frame),
        }
    }

    /// The same for who needs the frame no more; after an error it is as it was.
    #[inline]
    pub fn decode_owned(&mut self, form: Form, frame: &mut Bytes) -> Result<Incoming, Box<Rejected>> {
        match form {
            Form::Json | Form::OlderJson => self.json.decode_owned(frame),
            Form::Proto | Form::OlderProto => self.proto.decode(frame),
        }
    }
}

impl Form {
    /// Whether it travels in text frames.
    pub const fn is_text(self) -> bool {
        matches!(self, Form::Json | Form::OlderJson)
    }

    /// Whether it is of the older protocol.
    pub const fn is_older(self) -> bool {
        matches!(self, Form::OlderJson | Form::OlderProto)
    }

    /// The form of the older protocol that travels in the same frames.
    #[must_use]
    pub const fn older(self) -> Form {
        if self.is_text() { Form::OlderJson } else { Form::OlderProto }
    }

    /// The WebSocket subprotocol of this form. The older protocol has none: who asks for one speaks the current.
    pub const fn subprotocol(self) -> &'static str {
        if self.is_text() { "arqon.v1.json" } else { "arqon.v1.proto" }
    }

    /// The form of a subprotocol.
    pub fn of_subprotocol(name: &str) -> Option<Form> {
        [Form::Json, Form::Proto].into_iter().find(|form| form.subprotocol() == name)
    }

    /// The part of a delivery that all subscriptions share; the record keeps it.
    pub fn delivery(self, record: &Record) -> &Bytes {
        match self {
            Form::Json => json::delivery(record),
            Form::Proto => proto::delivery(record),
            Form::OlderJson | Form::OlderProto => older::delivery(self, record),
        }
    }

    /// Appends the shared part of a delivery; the record keeps it only if somebody else holds the record too.
    pub fn write_delivery(self, out: &mut Vec<u8>, record: &Arc<Record>) {
        match self {
            Form::Json => json::write_delivery(out, record),
            Form::Proto => proto::write_delivery(out, record),
            Form::OlderJson | Form::OlderProto => older::write_delivery(self, out, record),
        }
    }

    /// Appends what stands before the shared part of a delivery.
    pub fn write_delivery_prefix(self, out: &mut Vec<u8>, subscription: &str, attempt: u32) {
        match self {
            Form::Json => json::write_delivery_prefix(out, subscription, attempt),
            Form::Proto => proto::write_delivery_prefix(out, subscription, attempt),
            // Older clients are not told by which subscription it comes.
            Form::OlderJson | Form::OlderProto => {}
        }
    }

    /// Appends a gap.
    pub fn write_gap(self, out: &mut Vec<u8>, stamp: &Stamp, subscription: &str, gap: &Gap) {
        match self {
            Form::Json => json::write_gap(out, Some(subscription), gap),
            Form::Proto => proto::write_gap(out, subscription, gap),
            Form::OlderJson | Form::OlderProto => older::write_gap(self, out, stamp, gap),
        }
    }

    /// Appends the end of a subscription.
    pub fn write_ended(self, out: &mut Vec<u8>, stamp: &Stamp, subscription: &str, error: &Error) {
        match self {
            Form::Json => json::write_ended(out, subscription, error),
            Form::Proto => proto::write_ended(out, subscription, error),
            Form::OlderJson | Form::OlderProto => older::write_error(self, out, stamp, None, error),
        }
    }

    /// Appends the answer to a command.
    pub fn write_response(self, out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, data: &Value) {
        match self {
            Form::Json => json::write_response(out, stamp, request_id, data),
            Form::Proto => proto::write_response(out, stamp, request_id, data),
            Form::OlderJson | Form::OlderProto => older::write_response(self, out, stamp, request_id, data),
        }
    }

    /// Appends the answer to a question.
    pub fn write_answer(self, out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, answer: &Answer) {
        match self {
            Form::Json => json::write_answer(out, stamp, request_id, answer),
            Form::Proto => proto::write_answer(out, stamp, request_id, answer),
            Form::OlderJson | Form::OlderProto => older::write_answer(self, out, stamp, request_id, answer),
        }
    }

    /// Appends the confirmation of a publish.
    pub fn write_receipt(
        self,
        out: &mut Vec<u8>,
        stamp: &Stamp,
        request_id: Option<&str>,
        receipt: &Receipt,
    ) {
        match self {
            Form::Json => json::write_receipt(out, stamp, request_id, receipt),
            Form::Proto => proto::write_receipt(out, stamp, request_id, receipt),
            Form::OlderJson | Form::OlderProto => older::write_receipt(self, out, stamp, request_id, receipt),
        }
    }

    /// Appends the confirmation of `count` messages that stand one behind the other in one channel: `receipt` is that of
    /// the first. Only for clients that have asked for it.
    pub fn write_run(self, out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, run: (&Receipt, u64)) {
        match self {
            Form::Json => json::write_run(out, stamp, request_id, run),
            Form::Proto => proto::write_run(out, stamp, request_id, run),
            Form::OlderJson | Form::OlderProto => older::write_receipt(self, out, stamp, request_id, run.0),
        }
    }

    /// Appends a failure.
    pub fn write_error(self, out: &mut Vec<u8>, stamp: &Stamp, request_id: Option<&str>, error: &Error) {
        match self {
            Form::Json => json::write_error(out, stamp, request_id, error),
            Form::Proto => proto::write_error(out, stamp, request_id, error),
            Form::OlderJson | Form::OlderProto => older::write_error(self, out, stamp, request_id, error),
        }
    }

    /// Appends the first envelope of a connection.
    pub fn write_welcome(self, out: &mut Vec<u8>, stamp: &Stamp, welcome: &Welcome<'_>) {
        match self {
            Form::Json => json::write_welcome(out, stamp, welcome),
            Form::Proto => proto::write_welcome(out, stamp, welcome),
            Form::OlderJson | Form::OlderProto => older::write_welcome(self, out, stamp, welcome),
        }
    }
}
