//! One message as the core holds it: routing fields typed, everything else raw bytes that are passed on unread.

use crate::{Address, Error, MessageId, Result, Timestamp};
use bytes::Bytes;
use std::sync::Arc;

/// Longest idempotency key, correlation id or producer name, in bytes.
pub const KEY_MAX: usize = 256;

/// What a message promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// At most once, memory only.
    Ephemeral,
    /// Live, and the last N kept in memory.
    History,
    /// In the log before it is confirmed; at least once to durable subscriptions and inboxes.
    Durable,
}

impl Class {
    /// The name in config and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Ephemeral => "ephemeral",
            Class::History => "history",
            Class::Durable => "durable",
        }
    }
    /// Reads the name.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "ephemeral" => Ok(Class::Ephemeral),
            "history" => Ok(Class::History),
            "durable" => Ok(Class::Durable),
            _ => Err(Error::invalid("class", "expected `ephemeral`, `history` or `durable`")),
        }
    }
}

/// The message classes of the wire that are stored and delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An ordinary message.
    Message,
    /// An observation; same routing, never worth slowing anything for.
    Telemetry,
}

impl Kind {
    /// The `type` on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Message => "message",
            Kind::Telemetry => "telemetry",
        }
    }
}

/// Who goes first among what waits for one receiver, when order within a room leaves a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Priority {
    /// Before everything else.
    Critical,
    /// Before normal.
    High,
    /// The default.
    #[default]
    Normal,
    /// After everything else; shed first where loss is allowed.
    Low,
}

impl Priority {
    /// All four, most urgent first.
    pub const ALL: [Priority; 4] = [Priority::Critical, Priority::High, Priority::Normal, Priority::Low];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Priority::Critical => "critical",
            Priority::High => "high",
            Priority::Normal => "normal",
            Priority::Low => "low",
        }
    }
    /// Reads the name.
    pub fn parse(text: &str) -> Result<Self> {
        Priority::ALL
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or_else(|| Error::invalid("priority", "expected `critical`, `high`, `normal` or `low`"))
    }
}

/// A client library's own numbering of what it sends: makes its retries harmless.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Producer {
    /// The producer's name, unique in the tenant (a client library draws it once and keeps it).
    pub id: Arc<str>,
    /// Rises by one or more with each message to a room.
    pub sequence: u64,
}

/// The rarely used fields, boxed so that a plain message stays small.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extras {
    /// The address as the sender wrote it, where it is not the room and channel (`@skill/NAME`, `@all`).
    pub to: Option<Arc<str>>,
    /// Where an answer is expected.
    pub reply_to: Option<Arc<str>>,
    /// Ties an answer to its question.
    pub correlation_id: Option<Arc<str>>,
    /// Stored once per key and room, for 24 hours.
    pub idempotency_key: Option<Arc<str>>,
    /// Stored once per producer, sequence and room.
    pub producer: Option<Producer>,
    /// Not delivered after this moment.
    pub expires_at: Option<Timestamp>,
    /// W3C trace context, passed on.
    pub traceparent: Option<Arc<str>>,
    /// A JSON object, raw.
    pub metadata: Option<Bytes>,
    /// Unknown top-level members, raw: `"name":value` joined by commas, without braces.
    pub unknown: Option<Bytes>,
}

impl Extras {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        let Extras { to, reply_to, correlation_id, idempotency_key, producer, expires_at, .. } = self;
        let texts = [to, reply_to, correlation_id, idempotency_key, &self.traceparent];
        texts.iter().all(|text| text.is_none())
            && (producer.is_none() && expires_at.is_none())
            && (self.metadata.is_none() && self.unknown.is_none())
    }
}

/// One message. `payload` is one raw JSON value (an object where the wire demands one), never parsed by the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Unique in the tenant.
    pub id: MessageId,
    /// Message or telemetry.
    pub kind: Kind,
    /// The room and channel that it is kept in.
    pub address: Address,
    /// The subject (or the agent) that sent it, set by the server.
    pub sender: Arc<str>,
    /// The sender's time, or the server's where the sender gave none.
    pub timestamp: Timestamp,
    /// When the server took it.
    pub stored_at: Timestamp,
    /// Urgency.
    pub priority: Priority,
    /// The content: raw JSON.
    pub payload: Bytes,
    /// The rest, if there is any.
    pub extras: Option<Box<Extras>>,
}

impl Message {
    /// The moment after which it is not delivered.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.extras.as_ref().and_then(|e| e.expires_at)
    }

    /// Whether it must not be delivered at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }

    /// The idempotency key, if one was given.
    pub fn idempotency_key(&self) -> Option<&Arc<str>> {
        self.extras.as_ref().and_then(|e| e.idempotency_key.as_ref())
    }

    /// The producer and sequence, if given.
    pub fn producer(&self) -> Option<&Producer> {
        self.extras.as_ref().and_then(|e| e.producer.as_ref())
    }

    /// A copy that shares no memory with the read it came in: for whoever keeps messages for long, since one small
    /// message would keep the whole read alive.
    #[must_use]
    pub fn to_owned_memory(&self) -> Message {
        let own = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        let mut copy = self.clone();
        copy.payload = own(&self.payload);
        if let Some(extras) = &mut copy.extras {
            extras.metadata = extras.metadata.as_ref().map(own);
            extras.unknown = extras.unknown.as_ref().map(own);
        }
        copy
    }

    /// About how much memory this holds, in bytes: what bounded queues count.
    pub fn weight(&self) -> usize {
        let extra = self.extras.as_ref().map_or(0, |e| {
            128 + e.metadata.as_ref().map_or(0, Bytes::len) + e.unknown.as_ref().map_or(0, Bytes::len)
        });
        160 + self.payload.len() + extra
    }
}
