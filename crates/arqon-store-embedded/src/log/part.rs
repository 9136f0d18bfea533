//! What one segment holds of one room: where each record lies, which channel it is of, how long, how old.
//!
//! Invariant: entries stand in the order of their offsets; an extent is a run of offsets without a hole.

use super::fields::{Fields, Put};
use super::lineage::Lineage;
use arqon_core::hash::Map;
use arqon_core::{ChannelName, RoomKey, Timestamp};
use std::sync::Arc;

/// Where a record lies in its segment, and what decides about it without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Position of the entry in the file.
    pub pos: u32,
    /// Length of its body.
    pub len: u32,
    /// The channel, by its number in this part.
    pub channel: u32,
    /// When it was stored.
    pub at: Timestamp,
}

impl Slot {
    /// Bytes that the record takes on disk.
    pub fn bytes(&self) -> u64 {
        super::format::entry_bytes(self.len as usize) as u64
    }
}

/// Offsets without a hole: the first one, and the slot it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub first: u64,
    pub slot: u32,
}

/// One channel of a room in one segment; counts what the segment holds, trimmed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChannelPart {
    pub name: ChannelName,
    pub records: u64,
    pub bytes: u64,
    pub first: u64,
    pub last: u64,
    pub last_at: Timestamp,
}

/// The records of one room in one segment, by offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Slots {
    pub extents: Vec<Extent>,
    pub slots: Vec<Slot>,
}

impl Slots {
    /// Adds a record; its offset is above all others.
    pub fn push(&mut self, offset: u64, slot: Slot) {
        let index = self.slots.len() as u32;
        let follows = self.extents.last().is_some_and(|e| e.first + u64::from(index - e.slot) == offset);
        if !follows {
            self.extents.push(Extent { first: offset, slot: index });
        }
        self.slots.push(slot);
    }

    /// The index of the first record whose offset is above `offset`.
    pub fn seek(&self, offset: u64) -> usize {
        let i = self.extents.partition_point(|e| e.first <= offset);
        let Some(extent) = i.checked_sub(1).map(|i| self.extents[i]) else { return 0 };
        let end = self.extents.get(i).map_or(self.slots.len(), |e| e.slot as usize);
        let inside = usize::try_from(offset - extent.first).unwrap_or(usize::MAX).saturating_add(1);
        (extent.slot as usize).saturating_add(inside).min(end)
    }

    /// The offset of the record at an index.
    pub fn offset(&self, index: usize) -> u64 {
        let i = self.extents.partition_point(|e| e.slot as usize <= index) - 1;
        self.extents[i].first + (index - self.extents[i].slot as usize) as u64
    }

    /// Offsets and slots from an index on.
    pub fn from(&self, index: usize) -> impl Iterator<Item = (u64, &Slot)> {
        let mut extent = self.extents.partition_point(|e| e.slot as usize <= index).saturating_sub(1);
        self.slots[index.min(self.slots.len())..].iter().zip(index..).map(move |(slot, i)| {
            while self.extents.get(extent + 1).is_some_and(|e| e.slot as usize <= i) {
                extent += 1;
            }
            let e = self.extents[extent];
            (e.first + (i - e.slot as usize) as u64, slot)
        })
    }

    pub fn first(&self) -> Option<u64> {
        self.extents.first().map(|e| e.first)
    }

    pub fn last(&self) -> Option<u64> {
        self.slots.len().checked_sub(1).map(|i| self.offset(i))
    }
}

/// Everything that one segment holds of one room.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub key: Arc<RoomKey>,
    pub lineage: Lineage,
    /// The offset that the room's next record had when the segment first mentioned it.
    pub start: u64,
    /// The room's last offset as far as the segment knows, whether or not its record is kept.
    pub end: u64,
    /// Where the first and the last thing about the room lie in the file.
    pub first_pos: u64,
    pub last_pos: u64,
    pub max_at: Timestamp,
    pub bytes: u64,
    pub slots: Slots,
    pub channels: Vec<ChannelPart>,
    /// Offsets that are known to be damaged in this segment, as ranges.
    pub damaged: Vec<(u64, u64)>,
    numbers: Map<ChannelName, u32>,
}

impl Part {
    pub fn new(key: Arc<RoomKey>, lineage: Lineage, start: u64) -> Self {
        Part {
            key,
            lineage,
            start,
            end: start.saturating_sub(1),
            first_pos: 0,
            last_pos: 0,
            max_at: Timestamp(0),
            bytes: 0,
            slots: Slots::default(),
            channels: Vec::new(),
            damaged: Vec::new(),
            numbers: Map::default(),
        }
    }

    /// The number of a channel in this part, given at its first record.
    pub fn number(&mut self, name: &ChannelName) -> u32 {
        // Mostly the channel of the record before.
        let last = self.slots.slots.last().map(|slot| slot.channel);
        if let Some(last) = last.filter(|last| self.channels[*last as usize].name == *name) {
            return last;
        }
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.channels.len() as u32;
        self.numbers.insert(name.clone(), number);
        let (last_at, zero) = (Timestamp(0), 0);
        self.channels.push(ChannelPart {
            name: name.clone(),
            records: 0,
            bytes: 0,
            first: zero,
            last: zero,
            last_at,
        });
        number
    }

    /// Adds a record.
    pub fn push(&mut self, offset: u64, slot: Slot) {
        let bytes = slot.bytes();
        self.slots.push(offset, slot);
        self.end = self.end.max(offset);
        self.last_pos = u64::from(slot.pos);
        self.max_at = self.max_at.max(slot.at);
        self.bytes += bytes;
        let channel = &mut self.channels[slot.channel as usize];
        if channel.records == 0 {
            channel.first = offset;
        }
        channel.records += 1;
        channel.bytes += bytes;
        channel.last = offset;
        channel.last_at = channel.last_at.max(slot.at);
    }
}

/// Sorts ranges and joins those that touch.
pub(crate) fn join(ranges: &mut Vec<(u64, u64)>) {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (from, to) in ranges.drain(..) {
        match joined.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    *ranges = joined;
}

/// Bytes of one slot in a sidecar.
const SLOT: usize = 20;

/// Appends the section of a part that only readers need: the slots.
pub(crate) fn put_slots(out: &mut Vec<u8>, slots: &Slots) {
    out.num(slots.extents.len() as u64);
    for extent in &slots.extents {
        out.u64(extent.first);
        out.u32(extent.slot);
    }
    out.num(slots.slots.len() as u64);
    out.reserve(slots.slots.len() * SLOT);
    for slot in &slots.slots {
        out.u32(slot.pos);
        out.u32(slot.len);
        out.u32(slot.channel);
        out.u64(slot.at.0);
    }
}

/// Reads such a section; `channels` is how many the part has.
pub(crate) fn read_slots(bytes: &[u8], channels: usize) -> Option<Slots> {
    let mut f = Fields(bytes);
    let n = f.count(12)?;
    let mut extents = Vec::with_capacity(n);
    for _ in 0..n {
        extents.push(Extent { first: f.u64()?, slot: f.u32()? });
    }
    let n = f.count(SLOT)?;
    let mut slots = Vec::with_capacity(n);
    for _ in 0..n {
        let slot = Slot { pos: f.u32()?, len: f.u32()?, channel: f.u32()?, at: Timestamp(f.u64()?) };
        if slot.channel as usize >= channels {
            return None;
        }
        slots.push(slot);
    }
    let starts_right = extents.first().map_or(n == 0, |e| e.slot == 0);
    let rises = extents.windows(2).all(|w| w[0].slot < w[1].slot && w[0].first < w[1].first)
        && extents.last().is_none_or(|e| (e.slot as usize) < n);
    (starts_right && rises).then_some(Slots { extents, slots })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(offsets: &[u64]) -> Slots {
        let mut slots = Slots::default();
        for (i, offset) in offsets.iter().enumerate() {
            slots.push(*offset, Slot { pos: i as u32, len: 1, channel: 0, at: Timestamp(*offset) });
        }
        slots
    }

    #[test]
    fn offsets_are_found_across_holes() {
        let offsets = [3, 4, 5, 9, 20, 21];
        let s = slots(&offsets);
        assert_eq!(s.extents.len(), 3);
        for after in 0..25 {
            let expect = offsets.iter().position(|o| *o > after).unwrap_or(offsets.len());
            assert_eq!(s.seek(after), expect, "{after}");
            let found: Vec<u64> = s.from(expect).map(|(o, _)| o).collect();
            assert_eq!(found, offsets[expect..]);
        }
        assert_eq!((s.first(), s.last()), (Some(3), Some(21)));
    }

    #[test]
    fn slots_round_trip_and_refuse_what_cannot_be() {
        let s = slots(&[1, 2, 7]);
        let mut bytes = Vec::new();
        put_slots(&mut bytes, &s);
        assert_eq!(read_slots(&bytes, 1).as_ref(), Some(&s));
        assert_eq!(read_slots(&bytes, 0), None);
        assert_eq!(read_slots(&bytes[..bytes.len() - 1], 1), None);
    }
}
