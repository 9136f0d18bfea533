//! Reads the records that a page planned, a large piece of the segment at a time where they lie close together.

use super::{Planned, gap, position_before, push_item};
use crate::log::format::{ENTRY, EntryHeader, EntryKind};
use crate::log::lineage::Lineage;
use crate::log::part::Slot;
use crate::log::room::{Room, Segment};
use crate::log::shared::{Missing, Shared};
use arqon_core::codec::{self, Names};
use arqon_core::port::LogItem;
use arqon_core::{GapReason, Message, Record, RoomName};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The largest piece that is read at once, unless a single record is larger.
const PIECE: u64 = 256 << 10;
/// A stretch of other records that is rather read than jumped over: a system call costs about as much.
const STRETCH: u64 = 4 << 10;

struct Piece {
    /// Its place in the page's list.
    segment: usize,
    at: u64,
    bytes: Bytes,
    /// Mostly other records: what is wanted is copied out, since a record keeps its piece in memory while it lives.
    sparse: bool,
}

impl Piece {
    /// Where the entry lies in the piece, if it does.
    fn holds(&self, segment: usize, slot: &Slot) -> Option<Range<usize>> {
        let from = u64::from(slot.pos).checked_sub(self.at).filter(|_| self.segment == segment)?;
        let to = from + slot.bytes();
        (to <= self.bytes.len() as u64).then_some(from as usize..to as usize)
    }

    fn cut(&self, range: Range<usize>) -> Bytes {
        match self.sparse {
            true => Bytes::copy_from_slice(&self.bytes[range]),
            false => self.bytes.slice(range),
        }
    }

    /// The message of an entry, if everything about it is as it was written.
    fn message(
        &self,
        seed: u32,
        offset: u64,
        entry: Range<usize>,
        reader: &mut Reader<'_>,
    ) -> Option<Message> {
        let bytes = &self.bytes[entry.clone()];
        let header = EntryHeader::read(bytes, seed)?;
        let body = ENTRY..(ENTRY + header.len as usize).min(bytes.len());
        let right = header.kind == EntryKind::Record && header.offset == offset;
        if !right || !header.holds(&bytes[body.clone()]) {
            return None;
        }
        let body = self.cut(entry.start + body.start..entry.start + body.end);
        codec::decode_next(reader.room, body, &mut reader.names).ok()
    }
}

/// What is the same for all records of a page.
struct Reader<'a> {
    room: &'a RoomName,
    names: Names,
}

/// Reads the records; what turns out damaged becomes a gap.
pub(super) fn materialise(
    shared: &Shared,
    room: &Arc<Room>,
    (planned, segments): (&[Planned], &[Arc<Segment>]),
    lineage: &Lineage,
) -> Result<Vec<LogItem>, Missing> {
    let mut items = Vec::with_capacity(planned.len());
    let mut piece: Option<Piece> = None;
    let mut reader = Reader { room: room.key.room(), names: Names::default() };
    for (i, plan) in planned.iter().enumerate() {
        let (offset, slot, number) = match plan {
            Planned::Gap(gap) => {
                push_item(&mut items, LogItem::Gap(gap.clone()));
                continue;
            }
            Planned::Record { offset, slot, segment } => (*offset, slot, *segment),
        };
        let segment = &segments[number];
        let mut held = piece.as_ref().and_then(|p| p.holds(number, slot));
        if held.is_none() {
            let reach = reach(&planned[i..], number);
            piece = load(shared, (number, segment), u64::from(slot.pos), reach)?;
            held = piece.as_ref().and_then(|p| p.holds(number, slot));
        }
        let message = match (&piece, held) {
            (Some(piece), Some(entry)) => piece.message(segment.seed, offset, entry, &mut reader),
            _ => None,
        };
        match message {
            Some(message) => {
                let position = lineage.position(offset);
                let record = Record::new(room.key.clone(), position, Arc::new(message));
                items.push(LogItem::Record(Arc::new(record)));
            }
            None => push_item(&mut items, LogItem::Gap(damaged(shared, room, (offset, segment), lineage))),
        }
    }
    Ok(items)
}

/// Up to where one piece should be read, to hold the records that come next, and how many of its bytes are theirs.
fn reach(planned: &[Planned], segment: usize) -> (u64, u64) {
    let mut range: Option<(u64, u64)> = None;
    let mut wanted = 0;
    for plan in planned {
        let Planned::Record { slot, segment: other, .. } = plan else { continue };
        let (pos, end) = (u64::from(slot.pos), u64::from(slot.pos) + slot.bytes());
        range = match range {
            None => Some((pos, end)),
            Some((from, to)) if *other == segment && pos <= to + STRETCH && end - from <= PIECE => {
                Some((from, end))
            }
            Some(_) => break,
        };
        wanted += slot.bytes();
    }
    (range.map_or(0, |(_, to)| to), wanted)
}

fn load(
    shared: &Shared,
    (number, segment): (usize, &Arc<Segment>),
    at: u64,
    (end, wanted): (u64, u64),
) -> Result<Option<Piece>, Missing> {
    let file = shared.data(segment)?;
    match file.read_piece(at..end.max(at), segment.used.load(Relaxed)) {
        Ok(bytes) => Ok(Some(Piece { segment: number, at, bytes, sparse: wanted * 2 < end - at })),
        Err(error) => {
            tracing::error!(segment = segment.id, at, %error, "a piece of the log cannot be read");
            Ok(None)
        }
    }
}

fn damaged(
    shared: &Shared,
    room: &Arc<Room>,
    (offset, segment): (u64, &Arc<Segment>),
    lineage: &Lineage,
) -> arqon_core::Gap {
    segment.damaged.store(true, Relaxed);
    let news = room.view().add_damage(offset, offset);
    if news {
        shared.counters.damaged.fetch_add(1, Relaxed);
        tracing::error!(room = %room.key, offset, segment = segment.id, "a record is damaged; readers get a gap");
    }
    gap(room, Some(position_before(lineage, offset)), lineage.position(offset), GapReason::Damaged)
}
