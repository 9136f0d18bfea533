//! What a subscription yields: messages that share the frame they came in, and gaps.
//!
//! Invariant: a message that must be acknowledged is either acknowledged, rejected, or given back when it is dropped.

use crate::Result;
use crate::settle::Handle;
use arqon_core::message::Extras;
use arqon_core::{Address, GapReason, Position, RoomName, Timestamp};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One message, and the means to acknowledge it where the subscription is durable.
///
/// Dropping a message of a durable subscription without [`Message::ack`] or [`Message::reject`] gives it back: it is
/// delivered again once its acknowledgement is overdue.
pub struct Message {
    pub(crate) attempt: u32,
    pub(crate) position: Position,
    pub(crate) message: arqon_core::Message,
    pub(crate) handle: Option<Handle>,
}

impl Message {
    /// The message as the core knows it: every field, typed.
    pub fn envelope(&self) -> &arqon_core::Message {
        &self.message
    }
    /// The room and channel it stands in.
    pub fn address(&self) -> &Address {
        &self.message.address
    }
    /// Where it stands in its room: what to resume after.
    pub fn position(&self) -> Position {
        self.position
    }
    /// Which try this is, from 1; 0 where nothing is to be acknowledged.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
    /// Who sent it, as the server knows it.
    pub fn sender(&self) -> &str {
        &self.message.sender
    }
    /// When it was sent.
    pub fn timestamp(&self) -> Timestamp {
        self.message.timestamp
    }
    /// Where an answer is expected.
    pub fn reply_to(&self) -> Option<&str> {
        self.extra(|e| &e.reply_to)
    }
    /// Ties an answer to its question.
    pub fn correlation_id(&self) -> Option<&str> {
        self.extra(|e| &e.correlation_id)
    }

    fn extra(&self, field: impl Fn(&Extras) -> &Option<Arc<str>>) -> Option<&str> {
        self.message.extras.as_deref().and_then(|extras| field(extras).as_deref())
    }

    /// Its content: JSON text.
    pub fn payload(&self) -> &Bytes {
        &self.message.payload
    }
    /// Its content as a value of yours.
    ///
    /// # Errors
    /// The payload is not of that shape.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        let wrong = |e: serde_json::Error| arqon_core::Error::invalid("payload", e.to_string());
        Ok(serde_json::from_slice(self.payload()).map_err(wrong)?)
    }

    /// Whether it must be acknowledged.
    pub fn needs_ack(&self) -> bool {
        self.handle.is_some()
    }
    /// Tells the server that this message is done. Acknowledgements are gathered and sent together; see
    /// [`Client::flush`](crate::Client::flush) for when they have arrived. Nothing happens where none is needed.
    pub fn ack(&self) {
        if let Some(handle) = &self.handle {
            handle.acknowledge();
        }
    }
    /// Tells the server that this and everything before it in its room is done.
    pub fn ack_up_to(&self) {
        if let Some(handle) = &self.handle {
            handle.acknowledge_up_to();
        }
    }
    /// Gives the message back: it is delivered again after `delay` (the server chooses if `None`), and goes to the
    /// dead letters with `reason` once it was tried too often.
    pub fn reject(&self, delay: Option<Duration>, reason: &str) {
        if let Some(handle) = &self.handle {
            handle.reject(delay, reason);
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.message.id)
            .field("address", &self.address().to_string())
            .field("position", &self.position.to_string())
            .field("attempt", &self.attempt)
            .field("payload", &String::from_utf8_lossy(self.payload()))
            .finish()
    }
}

/// Records that exist no longer, named in place of being silently left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The room.
    pub room: RoomName,
    /// The last position before the hole that this subscription had; absent if it had none.
    pub from: Option<Position>,
    /// The last position inside the hole.
    pub to: Position,
    /// Why.
    pub reason: GapReason,
}

/// One step of a subscription.
#[derive(Debug)]
pub enum Event {
    /// A message.
    Message(Message),
    /// A hole.
    Gap(Gap),
}

impl Event {
    /// The message, if it is one.
    pub fn message(self) -> Option<Message> {
        if let Event::Message(message) = self { Some(message) } else { None }
    }
}
