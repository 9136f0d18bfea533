//! What a server may send, after decoding: the client's view of the wire, whichever form it came in.

use arqon_core::{Error, GapReason, Message, Position, RoomName};
use bytes::Bytes;

/// One decoded envelope from a server.
#[derive(Debug)]
pub enum ServerSays {
    /// A record of a subscription.
    Delivery(Delivered),
    /// Records that cannot be served.
    Gap(GapSaid),
    /// A subscription is over.
    Ended {
        /// Which.
        subscription: Box<str>,
        /// Why; `Fenced` means that somebody else holds the durable name now.
        error: Error,
    },
    /// A command or a confirmed publish succeeded.
    Response {
        /// The id of the command or message.
        request_id: Option<Box<str>>,
        /// `payload.data`, raw JSON.
        data: Bytes,
    },
    /// A command, a publish or a frame failed.
    Error {
        /// The id of the command or message, where it could be read.
        request_id: Option<Box<str>>,
        /// Why.
        error: Error,
    },
    /// The first envelope of a connection; its payload, raw.
    Welcome(Bytes),
}

/// A record as it was delivered.
#[derive(Debug)]
pub struct Delivered {
    /// Which subscription it belongs to.
    pub subscription: Box<str>,
    /// Which try, from 1; 0 where nothing is acknowledged.
    pub attempt: u32,
    /// Where it stands.
    pub position: Position,
    /// What was sent.
    pub message: Message,
}

/// A hole in a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapSaid {
    /// Which subscription.
    pub subscription: Box<str>,
    /// In which room.
    pub room: RoomName,
    /// The last position before the hole that the reader had.
    pub from: Option<Position>,
    /// The last position inside the hole.
    pub to: Position,
    /// Why; a reason that this version does not know counts as trimmed.
    pub reason: GapReason,
}
