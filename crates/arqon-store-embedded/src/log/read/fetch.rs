//! Reads the records that a page planned, a large piece of the segment at a time where they lie close together.

use super::{Planned, gap, position_before, push_item};
use crate::log::format::{ENTRY, EntryHeader, EntryKind};
use crate::log::lineage::Lineage;
use crate::log::part::Slot;
use crate::log::room::{Room, Segment};
use crate::log::shared::{Missing, Shared};
use arqon_core::port::LogItem;
use arqon_core::{GapReason, Message, Record, codec};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The largest piece that is read at once, unless a single record is larger.
const PIECE: u64 = 256 << 10;
/// A stretch of other records that is rather read than jumped over: a system call costs about as much.
const STRETCH: u64 = 4 << 10;

struct Piece {
    segment: u64,
    at: u64,
    bytes: Bytes,
    /// Mostly other records: what is wanted is copied out, since a record keeps its piece in memory while it lives.
    sparse: bool,
}

impl Piece {
    fn holds(&self, segment: u64, slot: &Slot) -> Option<Bytes> {
        let from = u64::from(slot.pos).checked_sub(self.at).filter(|_| self.segment == segment)?;
        let to = from + slot.bytes();
        if to > self.bytes.len() as u64 {
            return None;
        }
        let (from, to) = (from as usize, to as usize);
        Some(if self.sparse {
            Bytes::copy_from_slice(&self.bytes[from..to])
        } else {
            self.bytes.slice(from..to)
        })
    }
}

/// Reads the records; what turns out damaged becomes a gap.
pub(super) fn materialise(
    shared: &Shared,
    room: &Arc<Room>,
    planned: &[Planned],
    lineage: &Lineage,
) -> Result<Vec<LogItem>, Missing> {
    let mut items = Vec::with_capacity(planned.len());
    let mut piece: Option<Piece> = None;
    for (i, plan) in planned.iter().enumerate() {
        let (offset, slot, segment) = match plan {
            Planned::Gap(gap) => {
                push_item(&mut items, LogItem::Gap(gap.clone()));
                continue;
            }
            Planned::Record { offset, slot, segment } => (*offset, slot, segment),
        };
        let held = piece.as_ref().and_then(|p| p.holds(segment.id, slot));
        let entry = match held {
            Some(entry) => Some(entry),
            None => {
                piece = load(shared, segment, u64::from(slot.pos), reach(&planned[i..], segment))?;
                piece.as_ref().and_then(|p| p.holds(segment.id, slot))
            }
        };
        let message = entry.and_then(|entry| verify(room, segment, offset, entry));
        push_item(
            &mut items,
            match message {
                Some(message) => {
                    let position = lineage.position(offset);
                    LogItem::Record(Arc::new(Record::new(room.key.clone(), position, Arc::new(message))))
                }
                None => LogItem::Gap(damaged(shared, room, (offset, segment), lineage)),
            },
        );
    }
    Ok(items)
}

/// Up to where one piece should be read, to hold the records that come next, and how many of its bytes are theirs.
fn reach(planned: &[Planned], segment: &Arc<Segment>) -> (u64, u64) {
    let mut range: Option<(u64, u64)> = None;
    let mut wanted = 0;
    for plan in planned {
        let Planned::Record { slot, segment: other, .. } = plan else { continue };
        let (pos, end) = (u64::from(slot.pos), u64::from(slot.pos) + slot.bytes());
        range = match range {
            None => Some((pos, end)),
            Some((from, to)) if other.id == segment.id && pos <= to + STRETCH && end - from <= PIECE => {
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
    segment: &Arc<Segment>,
    at: u64,
    (end, wanted): (u64, u64),
) -> Result<Option<Piece>, Missing> {
    let file = shared.data(segment)?;
    let mut bytes = vec![0; usize::try_from(end.saturating_sub(at)).unwrap_or(0)];
    match file.read_at(&mut bytes, at) {
        Ok(n) => {
            bytes.truncate(n);
            let sparse = wanted * 2 < end - at;
            Ok(Some(Piece { segment: segment.id, at, bytes: bytes.into(), sparse }))
        }
        Err(error) => {
            tracing::error!(segment = segment.id, at, %error, "a piece of the log cannot be read");
            Ok(None)
        }
    }
}

/// The message of an entry, if everything about it is as it was written.
fn verify(room: &Room, segment: &Segment, offset: u64, entry: Bytes) -> Option<Message> {
    let header = EntryHeader::read(&entry, segment.seed)?;
    let body = entry.slice(ENTRY..(ENTRY + header.len as usize).min(entry.len()));
    let right = header.kind == EntryKind::Record && header.offset == offset && header.holds(&body);
    right.then(|| codec::decode(&room.key.room, body).ok()).flatten()
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
