//! JSON envelope → core, for what clients send.

use crate::field::Field;
use crate::incoming::{Command, ID_MAX, Incoming, Rejected, Sent};
use crate::members::Members;
use crate::target::TargetMemo;
use crate::time::parse_timestamp;
use crate::value::args_from_object;
use arqon_core::bus::Publish;
use arqon_core::message::{Extras, Producer};
use arqon_core::value::Args;
use arqon_core::{Error, Kind, MessageId, Priority, Result};
use bytes::Bytes;
use std::sync::Arc;

/// Decodes JSON envelopes of one client. It remembers the last target, since senders tend to repeat it.
#[derive(Debug, Default)]
pub struct Decoder {
    targets: TargetMemo,
}

impl Decoder {
    /// Decodes one envelope. Payload, metadata and unknown members stay raw; where possible they share `frame`.
    pub fn decode(&mut self, frame: &Bytes) -> Result<Incoming, Box<Rejected>> {
        let text = match std::str::from_utf8(frame) {
            Ok(text) => text,
            Err(_) => {
                let error = Error::invalid("envelope", "not UTF-8");
                return Err(Box::new(Rejected { request_id: None, error }));
            }
        };
        let mut members = Members::new(text);
        let decoded = members.fill().and_then(|()| self.build(&mut members, frame));
        decoded.map_err(|error| {
            let id = members.text(Field::Id).ok().flatten();
            let request_id = id.filter(|id| id.len() <= ID_MAX).map(|id| id.into_owned().into());
            Box::new(Rejected { request_id, error })
        })
    }

    fn build(&mut self, members: &mut Members<'_>, frame: &Bytes) -> Result<Incoming> {
        check_version(members)?;
        let Some(kind) = members.text(Field::Type)? else {
            return Err(missing_type());
        };
        match &*kind {
            "message" => self.publish(members, frame, Kind::Message).map(Incoming::Publish),
            "telemetry" => self.publish(members, frame, Kind::Telemetry).map(Incoming::Publish),
            "command" => command(members, frame).map(Incoming::Command),
            other => Err(refuse_type(other)),
        }
    }

    fn publish(&mut self, m: &mut Members<'_>, frame: &Bytes, kind: Kind) -> Result<Sent> {
        let id = m.text(Field::Id)?.map(|id| MessageId::parse(&id)).transpose()?;
        let payload = match m.object(Field::Payload, frame)? {
            Some(payload) => payload,
            None if kind == Kind::Telemetry => Bytes::from_static(b"{}"),
            None => return Err(Error::invalid("payload", "missing; expected an object")),
        };
        let target = {
            let (to, room, channel) = (m.text(Field::To)?, m.text(Field::Room)?, m.text(Field::Channel)?);
            self.targets.find(to.as_deref(), room.as_deref(), channel.as_deref())?
        };
        let time = |field: Field| {
            let text = m.text(field)?;
            text.map(|text| parse_timestamp(field.name(), &text)).transpose()
        };
        let timestamp = time(Field::Timestamp)?;
        let expires_at = time(Field::ExpiresAt)?;
        let priority = m.text(Field::Priority)?.map_or(Ok(Priority::Normal), |p| Priority::parse(&p))?;
        let confirm = confirm(m)?;
        let mut extras = Extras {
            to: None,
            reply_to: shared(m, Field::ReplyTo)?,
            correlation_id: shared(m, Field::CorrelationId)?,
            idempotency_key: shared(m, Field::IdempotencyKey)?,
            producer: producer(m)?,
            expires_at,
            traceparent: shared(m, Field::Traceparent)?,
            metadata: m.object(Field::Metadata, frame)?.filter(|raw| **raw != *b"{}"),
            unknown: None,
        };
        extras.unknown = (!m.unknown.is_empty()).then(|| std::mem::take(&mut m.unknown).into());
        let extras = boxed(extras);
        Ok(Sent { publish: Publish { target, kind, id, timestamp, payload, priority, extras }, confirm })
    }
}

/// Extras in their box, if there are any.
pub(crate) fn boxed(extras: Extras) -> Option<Box<Extras>> {
    (extras != Extras::default()).then(|| Box::new(extras))
}

/// The error for a `type` that clients do not send.
pub(crate) fn refuse_type(kind: &str) -> Error {
    match kind {
        "response" | "error" => {
            let text = format!("`{kind}` is sent by the server only");
            Error::invalid("type", text).with_hint(
                "answer a request by publishing a `message` to its `reply_to` with its `correlation_id`",
            )
        }
        other => {
            let shown: String = other.chars().take(40).collect();
            let text = format!("`{shown}` is not a type; expected `message`, `telemetry` or `command`");
            Error::invalid("type", text)
        }
    }
}

fn check_version(members: &Members<'_>) -> Result<()> {
    check_version_text(members.text(Field::Version)?.as_deref())
}

/// Refuses any version but the one there is; absent counts as that one.
pub(crate) fn check_version_text(version: Option<&str>) -> Result<()> {
    match version {
        None | Some("1.0") => Ok(()),
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            Err(Error::invalid("version", format!("expected `1.0`, found `{shown}`")))
        }
    }
}

pub(crate) fn missing_type() -> Error {
    Error::invalid("type", "missing; expected `message`, `telemetry` or `command`")
}

pub(crate) fn missing_command() -> Error {
    Error::invalid("command", "missing; expected the name of a command, such as `subscribe`")
}

fn shared(members: &Members<'_>, field: Field) -> Result<Option<Arc<str>>> {
    Ok(members.text(field)?.map(|text| Arc::from(&*text)))
}

fn confirm(members: &Members<'_>) -> Result<bool> {
    let Some(raw) = members.raw(Field::Confirm) else { return Ok(false) };
    match raw {
        "\"stored\"" => Ok(true),
        "\"none\"" => Ok(false),
        _ => Err(Error::invalid("confirm", "expected `stored` or `none`")),
    }
}

fn producer(members: &Members<'_>) -> Result<Option<Producer>> {
    pair_producer(shared(members, Field::Producer)?, members.number(Field::Sequence)?)
}

/// A producer with its sequence: both or neither.
pub(crate) fn pair_producer(id: Option<Arc<str>>, sequence: Option<u64>) -> Result<Option<Producer>> {
    match (id, sequence) {
        (None, None) => Ok(None),
        (Some(id), Some(sequence)) => Ok(Some(Producer { id, sequence })),
        (Some(_), None) => {
            Err(Error::invalid("sequence", "missing; `producer` and `sequence` belong together"))
        }
        (None, Some(_)) => {
            Err(Error::invalid("producer", "missing; `producer` and `sequence` belong together"))
        }
    }
}

fn command(members: &Members<'_>, frame: &Bytes) -> Result<Command> {
    let id: Option<Box<str>> = members.text(Field::Id)?.map(|id| id.into_owned().into());
    if id.as_ref().is_some_and(|id| id.len() > ID_MAX) {
        return Err(Error::invalid("id", format!("expected at most {ID_MAX} bytes")));
    }
    let Some(name) = members.text(Field::Command)? else {
        return Err(Error::invalid(
            "command",
            "missing; expected the name of a command, such as `subscribe`",
        ));
    };
    let args = match members.object(Field::Args, frame)? {
        Some(raw) => args_from_object(&raw)?,
        None => Args::default(),
    };
    Ok(Command { id, name: name.into_owned().into(), args })
}
