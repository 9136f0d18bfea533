//! Gathers the entries of a segment by room. A room's introduction may come after its records, since it is written twice
//! and the first copy may be the one that is damaged.

use super::Scan;
use crate::log::dedup::PartDedup;
use crate::log::fields::Fields;
use crate::log::format::{EntryHeader, EntryKind, read_room};
use crate::log::lineage::Lineage;
use crate::log::part::{Part, Slot, join};
use crate::log::sidecar::PartContents;
use arqon_core::{RoomKey, codec};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One room of the segment.
#[derive(Debug)]
pub(crate) struct ScanPart {
    pub part: Part,
    pub dedup: PartDedup,
    /// Its number in the segment.
    pub number: u32,
}

impl ScanPart {
    /// What a sidecar is to say of it.
    pub fn contents(&self) -> PartContents<'_> {
        PartContents { part: &self.part, slots: &self.part.slots, dedup: self.dedup.encoded() }
    }
}

struct Row {
    offset: u64,
    pos: u64,
    total: u64,
    /// Absent when the record is damaged.
    body: Option<Bytes>,
}

#[derive(Default)]
struct Rows {
    intro: Option<(Arc<RoomKey>, Lineage, u64)>,
    /// The highest offset that an introduction says was given out.
    end: u64,
    first_intro: u64,
    last_intro: u64,
    rows: Vec<Row>,
}

#[derive(Default)]
pub(super) struct Builder {
    rooms: BTreeMap<u32, Rows>,
}

impl Builder {
    pub fn add(&mut self, header: &EntryHeader, pos: u64, body: Bytes) {
        let room = self.rooms.entry(header.room).or_default();
        if header.kind == EntryKind::Room {
            let intro = read_room(&mut Fields(&body)).map(|(key, lineage)| (key, lineage, header.offset));
            // The copy tells the same names with a later offset; the first one tells where the room stood.
            if room.intro.is_none() {
                room.intro = intro;
                room.first_intro = pos;
            }
            room.end = room.end.max(header.offset.saturating_sub(1));
            room.last_intro = pos;
            return;
        }
        room.rows.push(Row { offset: header.offset, pos, total: header.total(), body: Some(body) });
    }

    /// Notes a record whose body is damaged.
    pub fn lose(&mut self, header: &EntryHeader, pos: u64) {
        let row = Row { offset: header.offset, pos, total: header.total(), body: None };
        self.rooms.entry(header.room).or_default().rows.push(row);
    }

    pub fn finish(self, out: &mut Scan) {
        for (number, rows) in self.rooms {
            let Some((key, lineage, start)) = rows.intro else {
                // Nobody knows whose these are.
                out.regions.extend(rows.rows.iter().map(|row| (row.pos, row.pos + row.total)));
                continue;
            };
            let start = rows.rows.first().map_or(start, |row| row.offset.min(start));
            let first_pos = rows.rows.first().map_or(rows.first_intro, |row| row.pos.min(rows.first_intro));
            let mut part = Part::new(key, lineage, start);
            let mut dedup = PartDedup::default();
            for row in rows.rows {
                take(&mut part, &mut dedup, row, out);
            }
            part.end = part.end.max(rows.end);
            part.first_pos = first_pos;
            part.last_pos = part.last_pos.max(rows.last_intro);
            out.parts.push(ScanPart { part, dedup, number });
        }
        out.regions.sort_unstable();
        if !out.regions.is_empty() {
            out.parts.iter_mut().for_each(|p| note_holes(&mut p.part));
        }
        out.parts.iter_mut().for_each(|p| join(&mut p.part.damaged));
    }
}

/// In a segment with damaged regions, offsets that are missing were in them.
fn note_holes(part: &mut Part) {
    let mut next = part.start;
    let mut holes = Vec::new();
    for (i, extent) in part.slots.extents.iter().enumerate() {
        if extent.first > next {
            holes.push((next, extent.first - 1));
        }
        let end = part.slots.extents.get(i + 1).map_or(part.slots.slots.len(), |e| e.slot as usize);
        next = extent.first + (end - extent.slot as usize) as u64;
    }
    if next <= part.end {
        holes.push((next, part.end));
    }
    part.damaged.extend(holes);
}

fn take(part: &mut Part, dedup: &mut PartDedup, row: Row, out: &mut Scan) {
    part.last_pos = part.last_pos.max(row.pos);
    if part.slots.last().is_some_and(|last| last >= row.offset) {
        return;
    }
    let len = row.body.as_ref().map_or(0, Bytes::len) as u32;
    let message = row.body.and_then(|body| codec::decode(part.key.room(), body).ok());
    let Some(message) = message else {
        part.damaged.push((row.offset, row.offset));
        part.end = part.end.max(row.offset);
        out.lost_records += 1;
        return;
    };
    let channel = part.number(&message.address.channel);
    dedup.add(&message, row.offset);
    part.push(row.offset, Slot { pos: row.pos as u32, len, channel, at: message.stored_at });
    out.records += 1;
}
