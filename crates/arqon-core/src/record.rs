//! What was stored and where: positions, records, and the gaps that take the place of records that are gone.

use crate::{Error, Message, Result, RoomKey};
use bytes::Bytes;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The place of a record in its room's log. Offsets rise from 1; the epoch changes when history was lost.
///
/// Text form: `{epoch in hex}-{offset}`; positions in memory-only logs begin with `m` (`m5f3a-17`), since they
/// do not outlive the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which history.
    pub epoch: Epoch,
    /// Where in it; 0 is before the first record.
    pub offset: u64,
}

/// The name of one unbroken history of a room. The highest bit says that it lives in memory only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl Epoch {
    const MEMORY: u64 = 1 << 63;

    /// An epoch of a log that outlives the process, drawn from `random`.
    pub const fn durable(random: u64) -> Self {
        Epoch((random & !Self::MEMORY) | 1)
    }
    /// An epoch of a memory-only log, drawn from `random`.
    pub const fn memory(random: u64) -> Self {
        Epoch(random | Self::MEMORY)
    }
    /// Whether the history lives in memory only.
    pub const fn is_memory(self) -> bool {
        self.0 & Self::MEMORY != 0
    }
}

impl Position {
    /// A position.
    pub const fn new(epoch: Epoch, offset: u64) -> Self {
        Position { epoch, offset }
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid(
                "position",
                "expected `EPOCH-OFFSET` as deliveries carry it, such as `5f3a9c1e77b2d041-1024`",
            )
        };
        let (memory, rest) = text.strip_prefix('m').map_or((false, text), |rest| (true, rest));
        let (epoch, offset) = rest.split_once('-').ok_or_else(bad)?;
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| bad())?;
        let offset = offset.parse().map_err(|_| bad())?;
        if epoch & Epoch::MEMORY != 0 {
            return Err(bad());
        }
        Ok(Position { epoch: if memory { Epoch::memory(epoch) } else { Epoch(epoch) }, offset })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = if self.epoch.is_memory() { "m" } else { "" };
        write!(f, "{memory}{:x}-{}", self.epoch.0 & !Epoch::MEMORY, self.offset)
    }
}

/// How many wire forms a record may cache; a form is an index below this, given out by the wire crate.
pub const WIRE_FORMS: usize = 4;

/// Forms below this have their place in every record; the others get theirs at their first use.
const COMMON_FORMS: usize = 2;

/// A stored message with its position, shared by all who deliver it.
#[derive(Debug)]
pub struct Record {
    /// The room's key.
    pub room: Arc<RoomKey>,
    /// Where it stands.
    pub position: Position,
    /// What was sent.
    pub message: Arc<Message>,
    frames: [OnceLock<Bytes>; COMMON_FORMS],
    rare: OnceLock<Box<[OnceLock<Bytes>; WIRE_FORMS - COMMON_FORMS]>>,
}

impl Record {
    /// A record.
    pub fn new(room: Arc<RoomKey>, position: Position, message: Arc<Message>) -> Self {
        let frames = [const { OnceLock::new() }; COMMON_FORMS];
        Record { room, position, message, frames, rare: OnceLock::new() }
    }

    /// The bytes of this record in a wire form, encoded at the first call and shared by all later ones.
    pub fn encoded(&self, form: usize, encode: impl FnOnce(&Record) -> Bytes) -> &Bytes {
        let frame = match self.frames.get(form) {
            Some(frame) => frame,
            None => &self.rare.get_or_init(Box::default)[form - COMMON_FORMS],
        };
        frame.get_or_init(|| encode(self))
    }

    /// The same, if they are there already.
    pub fn already_encoded(&self, form: usize) -> Option<&Bytes> {
        match self.frames.get(form) {
            Some(frame) => frame.get(),
            None => self.rare.get()?[form - COMMON_FORMS].get(),
        }
    }
}

/// Why records are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// Retention removed them.
    Trimmed,
    /// The position belongs to a history that no longer exists.
    EpochChanged,
    /// They were damaged on disk.
    Damaged,
    /// The reader was too slow for a log that keeps little or nothing.
    Overrun,
}

impl GapReason {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            GapReason::Trimmed => "trimmed",
            GapReason::EpochChanged => "epoch_changed",
            GapReason::Damaged => "damaged",
            GapReason::Overrun => "overrun",
        }
    }
    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        [GapReason::Trimmed, GapReason::EpochChanged, GapReason::Damaged, GapReason::Overrun]
            .into_iter()
            .find(|r| r.as_str() == text)
    }
}

/// Said in place of records that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The room.
    pub room: Arc<RoomKey>,
    /// The last position before the hole that the reader had (exclusive); absent if it had none.
    pub from: Option<Position>,
    /// The last position inside the hole; delivery goes on after it.
    pub to: Position,
    /// Why.
    pub reason: GapReason,
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.position == other.position && self.room == other.room
    }
}

/// One step of a stream: a record, or the statement that some are gone.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// A record, and for durable subscriptions which try this is (1 is the first).
    Record {
        /// What.
        record: Arc<Record>,
        /// Which try, from 1; 0 where nothing is acknowledged.
        attempt: u32,
    },
    /// A hole.
    Gap(Gap),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_round_trip() {
        for position in
            [Position::new(Epoch::durable(77), 3), Position::new(Epoch::memory(u64::MAX), u64::MAX)]
        {
            assert_eq!(Position::parse(&position.to_string()).unwrap(), position);
        }
        for text in ["", "-", "5", "x-1", "5-", "ffffffffffffffff-1", "1-99999999999999999999999"] {
            assert_eq!(Position::parse(text).unwrap_err().field(), Some("position"), "{text}");
        }
    }
}
