//! Deliveries as they came: read only as far as the client itself has to know, and whole when the application asks.
//!
//! Invariant: what is handed out whole has been read whole; an envelope that cannot be read is an error, never left out.

use crate::message::{Event, Message};
use crate::{Error, Position, Result};
use arqon_wire::json::{Peeked, client};
use arqon_wire::{Delivered, ServerSays};
use bytes::Bytes;
use std::io;

/// What a server said, read as far as is needed.
pub(crate) enum Said {
    /// Something else than a plain delivery.
    Read(ServerSays),
    Peeked(Raw),
}

/// A delivery that need not be acknowledged.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) frame: Bytes,
    pub(crate) peeked: Peeked,
}

impl Raw {
    fn text(&self, range: std::ops::Range<usize>) -> &str {
        // It was cut from text at quotes.
        std::str::from_utf8(&self.frame[range]).unwrap_or_default()
    }
    pub(crate) fn subscription(&self) -> &str {
        self.text(self.peeked.subscription.clone())
    }
    pub(crate) fn room(&self) -> &str {
        self.text(self.peeked.room.clone())
    }

    /// Reads all of it.
    pub(crate) fn read(&self) -> Result<Delivered> {
        match client::decode(&self.frame) {
            Ok(ServerSays::Delivery(delivered)) => Ok(delivered),
            Ok(_) => Err(Error::Protocol("a frame of the server: a delivery that is none".to_owned())),
            Err(e) => Err(Error::Protocol(format!("a frame of the server: {e}"))),
        }
    }

    /// The message, for which there is nothing to acknowledge.
    pub(crate) fn message(&self) -> Result<Message> {
        let Delivered { attempt, position, message, .. } = self.read()?;
        Ok(Message { attempt, position, message, handle: None })
    }
}

/// An envelope in JSON as the server wrote it, not looked into.
#[derive(Debug)]
pub struct RawEnvelope(pub(crate) Raw);

impl RawEnvelope {
    /// Where it stands in its room.
    pub fn position(&self) -> Position {
        self.0.peeked.position
    }

    /// Appends it: one JSON object on one line, without a line break.
    ///
    /// # Errors
    /// As `out` does.
    pub fn write_to(&self, out: &mut impl io::Write) -> io::Result<()> {
        out.write_all(b"{")?;
        out.write_all(&self.0.frame[self.0.peeked.members..])
    }
}

/// One step of a subscription, read only as far as needed.
#[derive(Debug)]
pub enum RawEvent {
    /// A message that need not be acknowledged.
    Envelope(RawEnvelope),
    /// Anything else.
    Event(Event),
}
