//! What the members of an older envelope mean, in whichever wire form they came.
//!
//! Invariant: everything that is wrong with an envelope is said at once, each complaint with its field.

use super::place::{Place, private};
use crate::incoming::ID_MAX;
use crate::json::client::member;
use crate::members::{kind, unquote};
use crate::time::parse_timestamp;
use crate::value::{args_from_object, value_from_json};
use arqon_core::message::Extras;
use arqon_core::value::{Args, Value};
use arqon_core::{Error, Kind, MessageId, Timestamp};
use bytes::Bytes;
use std::collections::BTreeMap;

/// One decoded envelope of an older client.
#[derive(Debug)]
pub enum Incoming {
    /// `message`, `event`, `private` or `telemetry`.
    Message(Message),
    /// `command`, in either shape, or `operator.join`.
    Command(Command),
    /// `response` or `error`: what an operator says to what it was given.
    Answer(Answer),
}

/// A message to be published.
#[derive(Debug)]
pub struct Message {
    /// The sender's id for it, given back with the acknowledgement.
    pub id: Box<str>,
    /// The id that it is stored under; the server makes one where the sender's is of the form that only has a prefix.
    pub stored_id: Option<MessageId>,
    /// Message or telemetry.
    pub kind: Kind,
    /// Where to.
    pub place: Place,
    /// The sender's time.
    pub timestamp: Option<Timestamp>,
    /// The content, raw.
    pub payload: Bytes,
    /// Metadata, and the members that are passed on unread.
    pub extras: Option<Box<Extras>>,
}

/// A command to be run.
#[derive(Debug)]
pub struct Command {
    /// The sender's id for it.
    pub id: Box<str>,
    /// Its name in the table of operations.
    pub name: Box<str>,
    /// Its arguments.
    pub args: Args,
    /// Where its arguments `room` and `channel` say.
    pub place: Place,
}

/// What an operator says to what it was given.
#[derive(Debug)]
pub struct Answer {
    /// The sender's id for it.
    pub id: Box<str>,
    /// The id that it is stored under; the server makes one where the sender's is of the form that only has a prefix.
    pub stored_id: Option<MessageId>,
    /// The id of what is answered.
    pub request_id: Box<str>,
    /// It is not the answer yet: `status` is `pending`.
    pub is_pending: bool,
    /// The sender's time.
    pub timestamp: Option<Timestamp>,
    /// The content, raw.
    pub payload: Bytes,
    /// Metadata, and in it what became of it: `status`, `error`, `error_code`.
    pub metadata: Bytes,
}

/// An envelope that was refused.
#[derive(Debug)]
pub struct Rejected {
    /// Its `id`, if one could be read.
    pub request_id: Option<Box<str>>,
    /// Why.
    pub why: Why,
}

/// Why an envelope was refused.
#[derive(Debug)]
pub enum Why {
    /// It is not JSON, or not protobuf.
    Unreadable(String),
    /// What is wrong, field by field.
    Invalid(Vec<String>),
}

/// The members of one envelope, before anything is made of them.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) id: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) version: Option<String>,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) room: Option<String>,
    pub(super) channel: Option<String>,
    /// The contract's name for the sender was given: `from`.
    pub(super) has_from: bool,
    pub(super) to_client: Option<String>,
    pub(super) command: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) error: Option<String>,
    pub(super) error_code: Option<String>,
    pub(super) payload: Option<Bytes>,
    pub(super) args: Option<Bytes>,
    pub(super) metadata: Option<Bytes>,
    /// Members to be passed on unread, raw.
    pub(super) unknown: Option<Bytes>,
    pub(super) complaints: Vec<String>,
}

enum What {
    Message(Kind),
    Command,
    Join,
    /// `error`, rather than `response`.
    Answer {
        failed: bool,
    },
}

impl Parts {
    pub(super) fn complain(&mut self, error: &Error) {
        self.complaints.push(error.to_string());
    }

    /// Complains of a member that is not there, unless it is there and was complained of.
    fn missing(&mut self, name: &str, expected: &str) {
        if !self
            .complaints
            .iter()
            .any(|text| text.split(':').next().is_some_and(|field| field.ends_with(name)))
        {
            self.complaints.push(format!("{name}: missing; expected {expected}"));
        }
    }

    pub(super) fn understand(mut self) -> Result<Incoming, Box<Rejected>> {
        let what = self.what();
        if self.version.as_deref().is_some_and(|version| version != "1.0") {
            self.complaints.push("version: expected `1.0`".to_owned());
        }
        let ids = self.ids();
        self.check_metadata();
        let made = match what {
            Some(What::Message(kind)) => self.message(kind, &ids),
            Some(What::Command) => self.command(&ids),
            Some(What::Join) => self.join(&ids),
            Some(What::Answer { failed }) => self.answer(&ids, failed),
            None => None,
        };
        match made {
            Some(incoming) if self.complaints.is_empty() => Ok(incoming),
            _ => {
                let request_id = self.id.filter(|id| id.len() <= ID_MAX).map(String::into_boxed_str);
                Err(Box::new(Rejected { request_id, why: Why::Invalid(self.complaints) }))
            }
        }
    }

    fn what(&mut self) -> Option<What> {
        const TYPES: &str = "`message`, `command`, `response`, `error`, `telemetry` or `operator.join`";
        let complaint = match self.kind.as_deref() {
            Some("message" | "event" | "private") => return Some(What::Message(Kind::Message)),
            Some("telemetry") => return Some(What::Message(Kind::Telemetry)),
            Some("command") => return Some(What::Command),
            Some("operator.join") => return Some(What::Join),
            Some("response") => return Some(What::Answer { failed: false }),
            Some("error") => return Some(What::Answer { failed: true }),
            None => {
                self.missing("type", TYPES);
                return None;
            }
            Some(kind @ ("system" | "message_response" | "command_response")) => {
                format!("type: `{kind}` is sent by the server only")
            }
            Some(other) => {
                let shown: String = other.chars().take(40).collect();
                format!("type: `{shown}` is not a type; expected {TYPES}")
            }
        };
        self.complaints.push(complaint);
        None
    }

    /// The id to be echoed, and the one to be stored under.
    fn ids(&mut self) -> (Box<str>, Option<MessageId>) {
        let Some(id) = self.id.clone() else {
            self.missing("id", "`arq_` and what makes it unique");
            return Default::default();
        };
        let stored = match MessageId::parse(&id) {
            Ok(stored) => Some(stored),
            Err(_) if self.is_of_the_contract() && has_only_a_prefix(&id) => None,
            Err(error) => {
                self.complain(&error);
                None
            }
        };
        (id.into(), stored)
    }

    /// Whether it has the shape of the first contract, whose ids need no more than the prefix.
    fn is_of_the_contract(&self) -> bool {
        let kind = self.kind.as_deref();
        let asks_in_payload = kind == Some("command") && self.command.is_none();
        self.has_from || asks_in_payload || matches!(kind, Some("event" | "private"))
    }

    fn message(&mut self, message_kind: Kind, ids: &(Box<str>, Option<MessageId>)) -> Option<Incoming> {
        if self.payload.is_none() && message_kind == Kind::Message {
            self.missing("payload", "an object");
        }
        let payload = self.payload.take().unwrap_or_else(|| Bytes::from_static(b"{}"));
        let mut client = self.to_client.clone();
        if client.is_none()
            && (self.kind.as_deref() == Some("private") || self.channel.as_deref() == Some("pm"))
        {
            match private(&payload) {
                Some(target) => client = Some(target),
                None if self.kind.as_deref() == Some("private") => {
                    self.complaints.push("payload.target: missing; expected the id of a client".to_owned());
                }
                None => {}
            }
        }
        let mut metadata = self.metadata.take().filter(|raw| **raw != *b"{}");
        if let (Some(to), None) = (&self.to_client, &metadata) {
            metadata =
                Some(crate::value::value_to_json(&Value::map([("to_client", to.as_str().into())])).into());
        }
        let extras = Extras { metadata, unknown: self.unknown.take(), ..Extras::default() };
        Some(Incoming::Message(Message {
            id: ids.0.clone(),
            stored_id: ids.1.clone(),
            kind: message_kind,
            place: Place { room: self.room.take(), channel: self.channel.take(), client },
            timestamp: self.timestamp,
            payload,
            extras: crate::json::boxed(extras),
        }))
    }

    fn command(&mut self, ids: &(Box<str>, Option<MessageId>)) -> Option<Incoming> {
        if self.command.is_none() {
            self.take_from_payload();
        }
        let Some(name) = self.command.take() else {
            self.missing("command", "the name of a command");
            return None;
        };
        let raw = self.args.take();
        self.run(ids, name, raw)
    }

    /// A command in the older shape: `payload.command` and `payload.parameters`.
    fn take_from_payload(&mut self) {
        let Some(payload) = &self.payload else { return };
        let find = |name| member(payload, name).ok().flatten();
        let (command, parameters) = (find("command"), find("parameters"));
        match command.as_deref().map(text_of) {
            Some(Some(name)) => self.command = Some(name),
            Some(None) => self.complaints.push("payload.command: expected a string".to_owned()),
            None => {}
        }
        match parameters {
            Some(raw) if raw.starts_with(b"{") => self.args = Some(raw),
            Some(raw) if *raw != *b"null" => {
                self.complaints.push("payload.parameters: expected an object".to_owned());
            }
            _ => {}
        }
    }

    /// An operator joins a group: its payload is the arguments. A token of its own is not looked at: who it is was asked
    /// when it connected.
    fn join(&mut self, ids: &(Box<str>, Option<MessageId>)) -> Option<Incoming> {
        if self.payload.is_none() {
            self.missing("payload", "an object");
        }
        let raw = self.payload.take();
        let mut joins = self.run(ids, "operator.join".to_owned(), raw);
        if let Some(Incoming::Command(command)) = &mut joins {
            command.args.take("auth_token");
        }
        joins
    }

    /// An answer: `response` with a `status`, or `error` with the word for it.
    fn answer(&mut self, ids: &(Box<str>, Option<MessageId>), failed: bool) -> Option<Incoming> {
        const STATUSES: &str = "`success`, `error` or `pending`";
        if self.request_id.is_none() {
            self.missing("request_id", "the id of what is answered");
        }
        if failed && self.error.is_none() {
            self.missing("error", "what went wrong");
        }
        let status = match self.status.as_deref() {
            _ if failed => "error",
            Some(status @ ("success" | "error" | "pending")) => status,
            Some(_) => {
                self.complaints.push(format!("status: expected {STATUSES}"));
                return None;
            }
            None => {
                self.missing("status", STATUSES);
                return None;
            }
        };
        let mut metadata = match self.metadata.as_deref().map(value_from_json) {
            Some(Ok(Value::Map(metadata))) => metadata,
            // What is no object was complained of.
            _ => BTreeMap::new(),
        };
        for (name, text) in [
            ("status", Some(status)),
            ("error", self.error.as_deref()),
            ("error_code", self.error_code.as_deref()),
        ] {
            if let Some(text) = text {
                metadata.insert(name.to_owned(), text.into());
            }
        }
        Some(Incoming::Answer(Answer {
            id: ids.0.clone(),
            stored_id: ids.1.clone(),
            request_id: self.request_id.take()?.into(),
            is_pending: status == "pending",
            timestamp: self.timestamp,
            payload: self.payload.take().unwrap_or_else(|| Bytes::from_static(b"{}")),
            metadata: crate::value::value_to_json(&Value::Map(metadata)).into(),
        }))
    }

    fn run(
        &mut self,
        ids: &(Box<str>, Option<MessageId>),
        name: String,
        raw: Option<Bytes>,
    ) -> Option<Incoming> {
        let raw = raw.unwrap_or_else(|| Bytes::from_static(b"{}"));
        let args = match args_from_object(&raw) {
            Ok(args) => args,
            Err(error) => {
                self.complain(&error);
                return None;
            }
        };
        let find = |name| member(&raw, name).ok().flatten().as_deref().and_then(text_of);
        let place =
            Place { room: find("room"), channel: find("channel").or_else(|| find("name")), client: None };
        Some(Incoming::Command(Command { id: ids.0.clone(), name: name.into(), args, place }))
    }

    fn check_metadata(&mut self) {
        let Some(raw) = &self.metadata else { return };
        let metadata = match value_from_json(raw) {
            Ok(metadata) => metadata,
            Err(error) => return self.complaints.push(format!("metadata: {}", error.message())),
        };
        if metadata.get("sequence").is_some_and(|sequence| !matches!(sequence, Value::Int(1..))) {
            self.complaints.push("metadata.sequence: expected a whole number, 1 or more".to_owned());
        }
        if metadata.get("vector_clock").is_some_and(|clock| !is_vector_clock(clock)) {
            let text = "metadata.vector_clock: expected an object of names and whole numbers, 0 or more";
            self.complaints.push(text.to_owned());
        }
        let parent = metadata.get("causal_parent_id");
        if parent.is_some_and(|id| id.as_text().is_none_or(|id| MessageId::parse(id).is_err())) {
            self.complaints.push("metadata.causal_parent_id: expected the id of a message".to_owned());
        }
    }
}

fn is_vector_clock(clock: &Value) -> bool {
    let Value::Map(clock) = clock else { return false };
    clock.iter().all(|(name, count)| !name.is_empty() && matches!(count, Value::Int(0..)))
}

/// Whether an id is one of those that only have the prefix: `arq_7f3a1b2c`.
fn has_only_a_prefix(id: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    id.len() <= 64 && id.strip_prefix("arq_").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(fine))
}

/// The text of a raw JSON string.
pub(super) fn text_of(raw: &[u8]) -> Option<String> {
    std::str::from_utf8(raw).ok().and_then(unquote).map(|text| text.into_owned())
}

/// The complaint about a member of a wrong type.
pub(super) fn expected(name: &str, what: &str, raw: &[u8]) -> String {
    let found = std::str::from_utf8(raw).map_or("something else", kind);
    format!("{name}: expected {what}, found {found}")
}

/// Reads a time; one that names no zone is in UTC, as older libraries write it.
pub(super) fn time(text: &str) -> Result<Timestamp, Error> {
    parse_timestamp("timestamp", text)
        .or_else(|error| parse_timestamp("timestamp", &format!("{text}Z")).map_err(|_| error))
}
