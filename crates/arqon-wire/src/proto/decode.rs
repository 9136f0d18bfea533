//! Protobuf envelope → core, for what clients send.

use super::field as f;
use super::v1::{Confirm, Envelope, Type};
use crate::incoming::{Command, ID_MAX, Incoming, Question, Rejected, Sent};
use crate::json::{boxed, check_version_text, missing_type, pair_producer};
use crate::question::PlainQuestion;
use crate::scan::{Scanner, compact};
use crate::target::TargetMemo;
use crate::value::args_from_object;
use arqon_core::bus::Publish;
use arqon_core::message::Extras;
use arqon_core::value::Args;
use arqon_core::{Error, Kind, MessageId, Result};
use bytes::Bytes;
use prost::Message as _;
use std::sync::Arc;

/// Decodes protobuf envelopes of one client. It remembers the last target, since senders tend to repeat it.
#[derive(Debug, Default)]
pub struct Decoder {
    targets: TargetMemo,
}

impl Decoder {
    /// Decodes one envelope. Payload and metadata share `frame`.
    pub fn decode(&mut self, frame: &Bytes) -> Result<Incoming, Box<Rejected>> {
        let envelope = match Envelope::decode(frame.clone()) {
            Ok(envelope) => envelope,
            Err(e) => {
                let error = Error::invalid("envelope", format!("not an `arqon.v1.Envelope`: {e}"));
                return Err(Box::new(Rejected { request_id: None, error }));
            }
        };
        let request_id = some(&envelope.id).filter(|id| id.len() <= ID_MAX).map(Box::from);
        self.build(envelope).map_err(|error| Box::new(Rejected { request_id, error }))
    }

    fn build(&mut self, e: Envelope) -> Result<Incoming> {
        check_version_text(some(&e.version))?;
        match Type::try_from(e.r#type) {
            Ok(Type::Message) => self.publish(e, Kind::Message).map(Incoming::Publish),
            Ok(Type::Telemetry) => self.publish(e, Kind::Telemetry).map(Incoming::Publish),
            Ok(Type::Command) => self.command(e),
            Ok(Type::Unspecified) => Err(missing_type()),
            Ok(other @ (Type::Response | Type::Error | Type::Gap | Type::Ended)) => {
                let name = other.as_str_name().trim_start_matches("TYPE_").to_ascii_lowercase();
                Err(crate::json::refuse_type(&name))
            }
            Err(_) => Err(crate::json::refuse_type(&e.r#type.to_string())),
        }
    }

    fn command(&mut self, e: Envelope) -> Result<Incoming> {
        if e.id.len() > ID_MAX {
            return Err(Error::invalid("id", format!("expected at most {ID_MAX} bytes")));
        }
        if e.command.is_empty() {
            return Err(crate::json::missing_command());
        }
        let id = some(&e.id).map(Box::from);
        if e.command == "request"
            && let Some((publish, timeout_ms)) = self.question(&e.args)
        {
            return Ok(Incoming::Question(Question { id, publish, timeout_ms }));
        }
        let args =
            object("args", e.args)?.map_or_else(|| Ok(Args::default()), |raw| args_from_object(&raw))?;
        Ok(Incoming::Command(Command { id, name: e.command.into(), args }))
    }

    /// The message of a question and its time-out, if its arguments are plain.
    fn question(&mut self, args: &Bytes) -> Option<(Publish, Option<u64>)> {
        let text = std::str::from_utf8(args).ok()?;
        let mut scanner = Scanner::one_level_deep(text);
        let plain = PlainQuestion::scan(&mut scanner)?;
        scanner.end().ok()?;
        let asked = plain.read(text, &mut self.targets)?;
        Some((Publish::new(asked.target, args.slice(asked.payload)), asked.timeout_ms))
    }

    fn publish(&mut self, e: Envelope, kind: Kind) -> Result<Sent> {
        let id = some(&e.id).map(MessageId::parse).transpose()?;
        let target = self.targets.find(some(&e.to), some(&e.room), some(&e.channel))?;
        let priority =
            f::read_priority(e.priority).ok_or_else(|| Error::invalid("priority", "not a priority"))?;
        let confirm = match Confirm::try_from(e.confirm) {
            Ok(Confirm::None) => false,
            Ok(Confirm::Stored) => true,
            Err(_) => return Err(Error::invalid("confirm", "expected `CONFIRM_NONE` or `CONFIRM_STORED`")),
        };
        let timestamp = f::read_timestamp(e.timestamp, e.timestamp_micros);
        let sequence = sequence(&e);
        let payload = object("payload", e.payload)?.unwrap_or_else(|| Bytes::from_static(b"{}"));
        let extras = Extras {
            to: None,
            reply_to: shared(&e.reply_to),
            correlation_id: shared(&e.correlation_id),
            idempotency_key: shared(&e.idempotency_key),
            producer: pair_producer(shared(&e.producer), sequence)?,
            expires_at: f::read_micros(e.expires_at),
            traceparent: shared(&e.traceparent),
            metadata: object("metadata", e.metadata)?.filter(|raw| **raw != *b"{}"),
            unknown: unknown(e.extra)?,
        };
        let extras = boxed(extras);
        Ok(Sent { publish: Publish { target, kind, id, timestamp, payload, priority, extras }, confirm })
    }
}

/// A sequence of zero looks like none; beside a producer it is one.
fn sequence(e: &Envelope) -> Option<u64> {
    (e.sequence > 0 || !e.producer.is_empty()).then_some(e.sequence)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn shared(text: &str) -> Option<Arc<str>> {
    some(text).map(Arc::from)
}

/// Checks that bytes are one JSON object, and takes out line breaks between its tokens. Empty is absent.
pub(super) fn object(field: &str, raw: Bytes) -> Result<Option<Bytes>> {
    if raw.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(&raw).map_err(|_| Error::invalid(field, "not UTF-8"))?;
    let broken = Scanner::nested(text).map_err(|fault| {
        Error::invalid(field, format!("not JSON at byte {}: expected {}", fault.at, fault.expected))
    })?;
    if !text.trim_ascii_start().starts_with('{') {
        let found = crate::members::kind(text.trim_ascii_start());
        return Err(Error::invalid(field, format!("expected an object, found {found}")));
    }
    if broken || raw[0] != b'{' || raw[raw.len() - 1] != b'}' {
        return Ok(Some(compact(&raw).into()));
    }
    Ok(Some(raw))
}

/// The members of `extra`, without its braces; names that the envelope knows have no place there.
fn unknown(extra: Bytes) -> Result<Option<Bytes>> {
    let Some(extra) = object("extra", extra)? else { return Ok(None) };
    let text = std::str::from_utf8(&extra).map_err(|_| Error::invalid("extra", "not UTF-8"))?;
    let mut members = crate::members::Members::new(text);
    members.fill()?;
    if members.has_known() {
        return Err(Error::invalid(
            "extra",
            "has a member with a name of the envelope; set that field instead",
        ));
    }
    Ok((!members.unknown.is_empty()).then(|| members.unknown.into()))
}
