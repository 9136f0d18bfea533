//! JSON envelope → core, for what clients send.

use crate::field::Field;
use crate::incoming::{Command, ID_MAX, Incoming, Question, Rejected, Sent};
use crate::members::{Members, Object, kind};
use crate::scan::{Scanner, compact};
use crate::target::TargetMemo;
use crate::time::parse_timestamp;
use crate::value::args_from_object;
use arqon_core::bus::Publish;
use arqon_core::message::{Extras, Producer};
use arqon_core::value::Args;
use arqon_core::{Error, Kind, MessageId, Priority, Result, Target};
use bytes::{Buf, Bytes};
use std::ops::Range;
use std::sync::Arc;

/// Decodes JSON envelopes of one client. It remembers the last target, since senders tend to repeat it.
#[derive(Debug, Default)]
pub struct Decoder {
    targets: TargetMemo,
    /// Where in its frame the payload of the message stands that is being decoded, if it is to share it.
    payload: Option<Range<usize>>,
}

impl Decoder {
    /// Decodes one envelope. Payload, metadata and unknown members stay raw; where possible they share `frame`.
    pub fn decode(&mut self, frame: &Bytes) -> Result<Incoming, Box<Rejected>> {
        self.decode_owned(&mut frame.clone())
    }

    /// The same for who needs the frame no more: what becomes of it is the payload, if there is one. After an error it
    /// is as it was.
    #[inline]
    pub fn decode_owned(&mut self, frame: &mut Bytes) -> Result<Incoming, Box<Rejected>> {
        let mut incoming = self.decode_with(frame, Self::build)?;
        if let (Some(range), Some(publish)) = (self.payload.take(), incoming.publish_mut()) {
            let mut payload = std::mem::take(frame);
            payload.truncate(range.end);
            payload.advance(range.start);
            publish.payload = payload;
        }
        Ok(incoming)
    }

    /// Decodes one message where nothing else can stand, as in the body of an HTTP request: `type` may be absent.
    pub fn decode_message(&mut self, frame: &Bytes) -> Result<Sent, Box<Rejected>> {
        let mut sent = self.decode_with(frame, |decoder, members, frame| {
            check_version(members)?;
            match members.text(Field::Type)?.as_deref() {
                None | Some("message") => decoder.publish(members, frame, Kind::Message),
                Some("telemetry") => decoder.publish(members, frame, Kind::Telemetry),
                Some("command") => Err(Error::invalid(
                    "type",
                    "a command cannot stand here; expected `message` or `telemetry`",
                )),
                Some(other) => Err(refuse_type(other)),
            }
        })?;
        if let Some(range) = self.payload.take() {
            sent.publish.payload = frame.slice(range);
        }
        Ok(sent)
    }

    // Inlined, since what is built is moved at each return.
    #[inline(always)]
    fn decode_with<T>(
        &mut self,
        frame: &Bytes,
        build: impl FnOnce(&mut Self, &mut Members<'_>, &Bytes) -> Result<T>,
    ) -> Result<T, Box<Rejected>> {
        let text = match std::str::from_utf8(frame) {
            Ok(text) => text,
            Err(_) => {
                let error = Error::invalid("envelope", "not UTF-8");
                return Err(Box::new(Rejected { request_id: None, error }));
            }
        };
        self.payload = None;
        let mut members = Members::new(text);
        let decoded = members.fill().and_then(|()| build(self, &mut members, frame));
        decoded.map_err(|error| {
            let id = members.text(Field::Id).ok().flatten();
            let request_id = id.filter(|id| id.len() <= ID_MAX).map(|id| id.into_owned().into());
            Box::new(Rejected { request_id, error })
        })
    }

    #[inline(always)]
    fn build(&mut self, members: &mut Members<'_>, frame: &Bytes) -> Result<Incoming> {
        check_version(members)?;
        let Some(kind) = members.text(Field::Type)? else {
            return Err(missing_type());
        };
        match &*kind {
            "message" => self.publish(members, frame, Kind::Message).map(Incoming::Publish),
            "telemetry" => self.publish(members, frame, Kind::Telemetry).map(Incoming::Publish),
            "command" => self.command(members, frame),
            other => Err(refuse_type(other)),
        }
    }

    fn command(&mut self, m: &mut Members<'_>, frame: &Bytes) -> Result<Incoming> {
        let id: Option<Box<str>> = m.text(Field::Id)?.map(Box::from);
        if id.as_ref().is_some_and(|id| id.len() > ID_MAX) {
            return Err(Error::invalid("id", format!("expected at most {ID_MAX} bytes")));
        }
        let plain = m.question.take();
        if let Some(asked) = plain.and_then(|plain| plain.read(m.whole(), &mut self.targets)) {
            self.payload = Some(asked.payload);
            let publish = Publish::new(asked.target, Bytes::new());
            return Ok(Incoming::Question(Question { id, publish, timeout_ms: asked.timeout_ms }));
        }
        let Some(name) = m.text(Field::Command)? else { return Err(missing_command()) };
        let args = match m.object(Field::Args, frame)? {
            Some(raw) => args_from_object(&raw)?,
            None => Args::default(),
        };
        Ok(Incoming::Command(Command { id, name: name.into(), args }))
    }

    /// `to`, or its synonym `address`, or `room` and `channel`.
    fn target(&mut self, m: &Members<'_>) -> Result<Target> {
        let (to, address) = (m.text(Field::To)?, m.text(Field::Address)?);
        let (room, channel) = (m.text(Field::Room)?, m.text(Field::Channel)?);
        if to.is_some() && address.is_some() {
            return Err(Error::invalid("address", "given beside `to`; expected one way of saying where"));
        }
        let named = to.as_deref().or(address.as_deref());
        let found = self.targets.find(named, room.as_deref(), channel.as_deref());
        if address.is_some() { found.map_err(|e| e.with_field("address")) } else { found }
    }

    #[inline(always)]
    fn publish(&mut self, m: &mut Members<'_>, frame: &Bytes, kind: Kind) -> Result<Sent> {
        let id = m.text(Field::Id)?.map(|id| MessageId::parse(&id)).transpose()?;
        let payload = match m.object_at(Field::Payload)? {
            Some(Object::Compacted(payload)) => payload,
            Some(Object::At(range)) => {
                self.payload = Some(range);
                Bytes::new()
            }
            None if kind == Kind::Telemetry => Bytes::from_static(b"{}"),
            None => return Err(Error::invalid("payload", "missing; expected an object")),
        };
        let target = self.target(m)?;
        let timestamp = m.text(Field::Timestamp)?;
        let timestamp = timestamp.map(|text| parse_timestamp(Field::Timestamp.name(), &text)).transpose()?;
        let priority = m.text(Field::Priority)?.map_or(Ok(Priority::Normal), |p| Priority::parse(&p))?;
        let confirm = confirm(m)?;
        let extras = if m.has_any(EXTRAS) { boxed(extras(m, frame)?) } else { None };
        Ok(Sent { publish: Publish { target, kind, id, timestamp, payload, priority, extras }, confirm })
    }
}

/// The members that a plain message does not have.
const EXTRAS: &[Field] = &[
    Field::ReplyTo,
    Field::CorrelationId,
    Field::IdempotencyKey,
    Field::Producer,
    Field::Sequence,
    Field::ExpiresAt,
    Field::Traceparent,
    Field::Metadata,
];

fn extras(m: &mut Members<'_>, frame: &Bytes) -> Result<Extras> {
    let expires_at = m.text(Field::ExpiresAt)?;
    let expires_at = expires_at.map(|text| parse_timestamp(Field::ExpiresAt.name(), &text)).transpose()?;
    Ok(Extras {
        to: None,
        reply_to: shared(m, Field::ReplyTo)?,
        correlation_id: shared(m, Field::CorrelationId)?,
        idempotency_key: shared(m, Field::IdempotencyKey)?,
        producer: producer(m)?,
        expires_at,
        traceparent: shared(m, Field::Traceparent)?,
        metadata: m.object(Field::Metadata, frame)?.filter(|raw| **raw != *b"{}"),
        unknown: (!m.unknown.is_empty()).then(|| std::mem::take(&mut m.unknown).into()),
    })
}

/// Reads a payload that stands alone: one JSON object, without line breaks between its tokens.
pub fn payload(json: &Bytes) -> Result<Bytes> {
    let text = std::str::from_utf8(json).map_err(|_| Error::invalid("payload", "not UTF-8"))?;
    let broken = Scanner::nested(text).map_err(|fault| {
        Error::invalid("payload", format!("not JSON at byte {}: expected {}", fault.at, fault.expected))
    })?;
    let trimmed = text.trim_ascii();
    if !trimmed.starts_with('{') {
        return Err(Error::invalid("payload", format!("expected an object, found {}", kind(trimmed))));
    }
    if broken { Ok(compact(trimmed.as_bytes()).into()) } else { Ok(json.slice_ref(trimmed.as_bytes())) }
}

/// Extras in their box, if there are any.
pub(crate) fn boxed(extras: Extras) -> Option<Box<Extras>> {
    (!extras.is_empty()).then(|| Box::new(extras))
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

/// An empty text is none, as in protobuf: a key that nobody set must not make all messages duplicates of the first.
fn shared(members: &Members<'_>, field: Field) -> Result<Option<Arc<str>>> {
    Ok(members.text(field)?.filter(|text| !text.is_empty()).map(|text| Arc::from(&*text)))
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
