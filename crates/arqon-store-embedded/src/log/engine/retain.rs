//! Retention: decides what goes, writes it down, then lets it go.
//!
//! Invariant: what is removed is always the oldest part of a channel, so that one floor per channel says all. Nothing is
//! removed from a view before the journal holds it. Long work is done in slices, so that appends never wait long.

use super::Engine;
use crate::log::part::Slot;
use crate::log::room::{Room, Segment};
use crate::log::shared::unavailable;
use crate::log::trims::Trim;
use arqon_core::hash::Map;
use arqon_core::port::{Retention, StoreError};
use arqon_core::{ChannelName, Pattern, RoomKey, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Records looked at in one slice: about two milliseconds of work.
const SLICE: usize = 64 << 10;
/// Slots of the active part are copied out in pieces of this size.
const PIECE: usize = 4096;

/// Whether a piece of work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is done.
    Done,
    /// Call again.
    More,
}

/// What goes from a room.
#[derive(Default)]
struct Cut {
    /// Everything up to here, of all channels.
    floor: u64,
    /// Everything up to here, of one channel.
    floors: BTreeMap<ChannelName, u64>,
    /// What that frees: by segment and channel, records and bytes.
    freed: Map<(u64, ChannelName), (Arc<Segment>, u64, u64)>,
    looked_at: usize,
}

impl Cut {
    fn free(&mut self, segment: &Arc<Segment>, channel: &ChannelName, slot: &Slot) {
        let key = (segment.id, channel.clone());
        let freed = self.freed.entry(key).or_insert_with(|| (segment.clone(), 0, 0));
        freed.1 += 1;
        freed.2 += slot.bytes();
    }
}

/// How much of a set of channels must go.
struct Excess {
    records: u64,
    bytes: u64,
    before: Timestamp,
    /// Where the first record of the set may be.
    first: u64,
}

/// One record on the way.
struct Row<'a> {
    offset: u64,
    slot: &'a Slot,
    channel: &'a ChannelName,
    segment: &'a Arc<Segment>,
}

impl Engine {
    /// Removes what the rules do not keep; a slice of it.
    pub fn retain(
        &mut self,
        key: &RoomKey,
        rules: &[(Pattern, Retention)],
        now: Timestamp,
    ) -> Result<Progress, StoreError> {
        let Some(room) = self.shared.room(key) else { return Ok(Progress::Done) };
        let mut cut = Cut::default();
        let mut progress = Progress::Done;
        for (i, (_, retention)) in rules.iter().enumerate() {
            let set = set_of(&room, rules, i);
            let Some(excess) = excess(&room, &set, *retention, now) else { continue };
            if self.cut_set(&room, &set, excess, &mut cut)? == Progress::More {
                progress = Progress::More;
                break;
            }
        }
        self.let_go(&room, &cut)?;
        Ok(progress)
    }

    /// Removes everything up to an offset; a slice of it.
    pub fn trim(&mut self, key: &RoomKey, up_to: u64) -> Result<Progress, StoreError> {
        let Some(room) = self.shared.room(key) else { return Ok(Progress::Done) };
        let (floor, end) = {
            let view = room.view();
            (view.floor, view.end)
        };
        let up_to = up_to.min(end);
        if up_to <= floor {
            return Ok(Progress::Done);
        }
        let mut cut = Cut { floor: up_to, ..Cut::default() };
        let floors = room.view().channel_floors.clone();
        let mut progress = Progress::Done;
        each(self, &room, floor, &mut |row| {
            if row.offset > up_to {
                return false;
            }
            cut.looked_at += 1;
            if cut.looked_at > SLICE {
                cut.floor = row.offset - 1;
                progress = Progress::More;
                return false;
            }
            if row.offset > floors.get(row.channel).copied().unwrap_or(0) {
                cut.free(row.segment, row.channel, row.slot);
            }
            true
        })?;
        self.let_go(&room, &cut)?;
        Ok(progress)
    }

    fn cut_set(
        &self,
        room: &Arc<Room>,
        set: &BTreeMap<ChannelName, u64>,
        excess: Excess,
        cut: &mut Cut,
    ) -> Result<Progress, StoreError> {
        let Excess { mut records, mut bytes, before, first } = excess;
        let (mut progress, mut reached) = (Progress::Done, first);
        each(self, room, first.saturating_sub(1), &mut |row| {
            cut.looked_at += 1;
            if cut.looked_at > SLICE {
                progress = Progress::More;
                return false;
            }
            reached = row.offset;
            match set.get(row.channel) {
                Some(floor) if row.offset > *floor => {}
                _ => return true,
            }
            if records == 0 && bytes == 0 && row.slot.at >= before {
                return false;
            }
            records = records.saturating_sub(1);
            bytes = bytes.saturating_sub(row.slot.bytes());
            cut.floors.insert(row.channel.clone(), row.offset);
            cut.free(row.segment, row.channel, row.slot);
            true
        })?;
        // Looking went on without finding anything: it must get further next time.
        if progress == Progress::More && cut.floors.is_empty() {
            let mut view = room.view();
            for total in view.totals.list.iter_mut().filter(|t| set.contains_key(&t.name)) {
                total.first = total.first.max(reached.min(total.last));
            }
        }
        Ok(progress)
    }

    /// Writes down what goes, then lets it go.
    fn let_go(&mut self, room: &Arc<Room>, cut: &Cut) -> Result<(), StoreError> {
        if cut.floor == 0 && cut.floors.is_empty() {
            return Ok(());
        }
        let floor = self.floor_after(room, cut)?;
        let mut trims = vec![Trim::Floor(&room.key, floor)];
        let above = cut.floors.iter().filter(|(_, f)| **f > floor);
        trims.extend(above.map(|(channel, f)| Trim::Channel(&room.key, channel, *f)));
        self.write_trims(&trims).map_err(|e| unavailable("what was trimmed could not be written down", e))?;
        let mut view = room.view();
        view.floor = view.floor.max(floor);
        for (channel, f) in &cut.floors {
            if let Some(place) = view.totals.find(channel) {
                view.totals.list[place].first = view.totals.list[place].first.max(f + 1);
            }
            view.channel_floors.insert(channel.clone(), *f);
        }
        let floor = view.floor;
        view.channel_floors.retain(|_, f| *f > floor);
        for ((_, channel), (segment, records, bytes)) in &cut.freed {
            if let Some(place) = view.totals.find(channel) {
                view.totals.remove(place, *records, *bytes);
            }
            segment.live_records.fetch_sub(*records, Relaxed);
            segment.live_bytes.fetch_sub(*bytes, Relaxed);
            self.shared.counters.records.fetch_sub(*records, Relaxed);
        }
        self.trimmed = true;
        self.sparse = true;
        Ok(())
    }

    /// The floor of the room: just before its first record that is kept.
    fn floor_after(&self, room: &Arc<Room>, cut: &Cut) -> Result<u64, StoreError> {
        let (old, floors, damaged, end) = {
            let view = room.view();
            (view.floor, view.channel_floors.clone(), view.damaged.clone(), view.end)
        };
        let old = old.max(cut.floor);
        let mut floor = None;
        let mut looked_at = 0;
        each(self, room, old, &mut |row| {
            let one = |floors: &BTreeMap<ChannelName, u64>| floors.get(row.channel).copied().unwrap_or(0);
            looked_at += 1;
            if row.offset > one(&floors).max(one(&cut.floors)) || looked_at > SLICE {
                floor = Some(row.offset - 1);
            }
            floor.is_none()
        })?;
        // Damage is told as damage, not as trimmed, while something before it or behind it is kept.
        let floor = floor.map_or(end, |floor| {
            let first = damaged.iter().find(|d| d.1 > old && d.0 <= floor);
            first.map_or(floor, |d| floor.min(d.0.saturating_sub(1)))
        });
        Ok(floor.max(old))
    }

    /// Writes to the journal; on a full disk, with what was put by for that.
    pub(super) fn write_trims(&mut self, trims: &[Trim<'_>]) -> std::io::Result<()> {
        match self.trims.append(trims) {
            Err(e)
                if e.kind() == std::io::ErrorKind::StorageFull
                    && self.disk.remove(super::RESERVE).is_ok() =>
            {
                tracing::warn!("the disk is full: the reserve is used to free space");
                self.trims.append(trims)
            }
            other => other,
        }
    }
}

/// The channels that obey rule `i`, with their floors.
fn set_of(room: &Room, rules: &[(Pattern, Retention)], i: usize) -> BTreeMap<ChannelName, u64> {
    let view = room.view();
    let kept = view.totals.list.iter().filter(|total| total.records > 0);
    let obeys = |name: &ChannelName| rules.iter().position(|(p, _)| p.matches_channel(name)) == Some(i);
    kept.filter(|total| obeys(&total.name)).map(|t| (t.name.clone(), view.floor_of(&t.name))).collect()
}

fn excess(
    room: &Room,
    set: &BTreeMap<ChannelName, u64>,
    retention: Retention,
    now: Timestamp,
) -> Option<Excess> {
    let view = room.view();
    let totals = || view.totals.list.iter().filter(|t| t.records > 0 && set.contains_key(&t.name));
    let (records, bytes) = totals().fold((0, 0), |sum, t| (sum.0 + t.records, sum.1 + t.bytes));
    let excess = Excess {
        records: retention.max_records.map_or(0, |most| records.saturating_sub(most)),
        bytes: retention.max_bytes.map_or(0, |most| bytes.saturating_sub(most)),
        before: retention.max_age.map_or(Timestamp(0), |age| now.minus(age)),
        first: totals().map(|t| t.first).min()?,
    };
    (excess.records > 0 || excess.bytes > 0 || excess.before > Timestamp(0)).then_some(excess)
}

/// Shows the records of a room after an offset, in order, until `visit` has seen enough.
fn each(
    engine: &Engine,
    room: &Arc<Room>,
    after: u64,
    visit: &mut dyn FnMut(Row<'_>) -> bool,
) -> Result<(), StoreError> {
    let runs = room.view().runs.clone();
    let begin = runs.partition_point(|run| run.last <= after);
    for run in &runs[begin..] {
        let section = engine.shared.section(run, &room.key).map_err(StoreError::from)?;
        for (offset, slot) in section.slots.from(section.slots.seek(after)) {
            let channel = &section.channels[slot.channel as usize];
            if !visit(Row { offset, slot, channel, segment: &run.segment }) {
                return Ok(());
            }
        }
    }
    let mut after = after.max(runs.last().map_or(0, |run| run.last));
    loop {
        let (piece, segment) = {
            let view = room.view();
            let Some(active) = &view.active else { return Ok(()) };
            let slots = &active.part.slots;
            let name = |slot: &Slot| active.part.channels[slot.channel as usize].name.clone();
            let rows = slots.from(slots.seek(after)).take(PIECE);
            let piece: Vec<(u64, Slot, ChannelName)> = rows.map(|(o, s)| (o, *s, name(s))).collect();
            (piece, active.segment.clone())
        };
        let Some(last) = piece.last().map(|row| row.0) else { return Ok(()) };
        after = last;
        for (offset, slot, channel) in &piece {
            if !visit(Row { offset: *offset, slot, channel, segment: &segment }) {
                return Ok(());
            }
        }
    }
}
