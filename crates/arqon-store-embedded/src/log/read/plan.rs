//! Decides what a page holds, from the index alone.

use super::{Planned, floor_for, gap};
use crate::log::lineage::Lineage;
use crate::log::part::Slot;
use crate::log::room::{Room, RoomView, Run, Segment};
use crate::log::shared::{Missing, Shared};
use crate::log::sidecar::Section;
use arqon_core::port::{ChannelFilter, Read};
use arqon_core::{ChannelName, Gap, GapReason, Position};
use std::sync::Arc;

/// Slots of the active part are copied out in pieces of this size, so that its lock is held for moments.
const PIECE: usize = 4096;

/// Whether there is more to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    More,
    Done,
}

/// One page in the making.
pub(super) struct Walk<'a> {
    shared: &'a Shared,
    room: &'a Arc<Room>,
    read: &'a Read,
    /// Everything up to here was looked at.
    pub cursor: u64,
    /// The end of the log when it was looked at last.
    pub end: u64,
    /// The reader's own position, until something follows it.
    had: Option<Position>,
    /// The reader begins at the first record kept: what was trimmed before that is no gap to it.
    fresh: bool,
    pub planned: Vec<Planned>,
    /// The segments that hold the planned records.
    pub segments: Vec<Arc<Segment>>,
    records: usize,
    bytes: usize,
    pending: Option<Gap>,
}

/// What must hold together for one step: read under one lock.
struct Snapshot {
    lineage: Lineage,
    damaged: Vec<(u64, u64)>,
    /// Up to where everything wanted was trimmed.
    floor: u64,
    /// Up to where what no index knows may have been trimmed, from whatever channel.
    trimmed: u64,
    /// For each channel of the section: whether it is wanted, and its own floor. Empty: all are, at `floor`.
    channels: Vec<(bool, u64)>,
}

impl Snapshot {
    fn take<'n>(
        view: &RoomView,
        filter: &ChannelFilter,
        names: impl Iterator<Item = &'n ChannelName>,
    ) -> Self {
        let simple = view.channel_floors.is_empty() && matches!(filter, ChannelFilter::All);
        let channels = if simple {
            Vec::new()
        } else {
            names.map(|name| (filter.wants(name), view.floor_of(name))).collect()
        };
        Snapshot {
            lineage: view.lineage.clone(),
            damaged: view.damaged.clone(),
            floor: floor_for(view, filter),
            trimmed: view.channel_floors.values().copied().fold(view.floor, u64::max),
            channels,
        }
    }

    fn channel(&self, number: u32) -> (bool, u64) {
        self.channels.get(number as usize).copied().unwrap_or((true, self.floor))
    }
}

impl<'a> Walk<'a> {
    pub fn new(shared: &'a Shared, room: &'a Arc<Room>, read: &'a Read) -> Self {
        Walk {
            shared,
            room,
            read,
            cursor: 0,
            end: 0,
            had: None,
            fresh: false,
            planned: Vec::new(),
            segments: Vec::new(),
            records: 0,
            bytes: 0,
            pending: None,
        }
    }

    /// Begins after an offset; `had` is the reader's own position there, if it has one.
    pub fn start(&mut self, after: u64, had: Option<Position>) {
        self.cursor = after;
        self.fresh = had.is_none();
        self.had = had;
    }

    pub fn say(&mut self, gap: Gap) {
        self.had = Some(gap.to);
        self.fresh = false;
        self.planned.push(Planned::Gap(gap));
    }

    fn is_full(&self) -> bool {
        let gaps = self.planned.len() - self.records;
        let limit = self.read.max_records.max(1);
        self.records >= limit || gaps > limit + 1 || (self.records > 0 && self.bytes > self.read.max_bytes)
    }

    /// Looks at the next stretch of the room: one sealed part, or a piece of the active one.
    pub fn step(&mut self) -> Result<Step, Missing> {
        let run = {
            let view = self.room.view();
            self.end = view.end;
            let next = view.runs.partition_point(|run| run.last <= self.cursor);
            view.runs.get(next).cloned()
        };
        if self.is_full() || self.cursor >= self.end {
            return Ok(Step::Done);
        }
        match run {
            Some(run) => self.sealed(&run),
            None => Ok(self.active()),
        }
    }

    fn sealed(&mut self, run: &Run) -> Result<Step, Missing> {
        let section = self.shared.section(run, &self.room.key)?;
        let snapshot = {
            let view = self.room.view();
            Snapshot::take(&view, &self.read.filter, section.channels.iter())
        };
        let begin = section.slots.seek(self.cursor);
        for (offset, slot) in section.slots.from(begin) {
            if self.is_full() {
                return Ok(Step::Done);
            }
            self.look(&snapshot, (offset, *slot), &run.segment);
        }
        // A section that was made again may end before its run does.
        if self.cursor < run.last {
            self.hole(&snapshot, self.cursor + 1, run.last);
            self.cursor = run.last;
        }
        Ok(Step::More)
    }

    fn active(&mut self) -> Step {
        let view = self.room.view();
        if view.runs.last().is_some_and(|run| run.last > self.cursor) {
            // What was active a moment ago is sealed now.
            return Step::More;
        }
        self.end = view.end;
        let piece = view.active.as_ref().and_then(|active| {
            let slots = &active.part.slots;
            let begin = slots.seek(self.cursor);
            // No more than the page can hold, if it wants all.
            let most = self.read.max_records.saturating_sub(self.records).clamp(1, PIECE);
            let piece: Vec<(u64, Slot)> = slots.from(begin).take(most).map(|(o, s)| (o, *s)).collect();
            let names = active.part.channels.iter().map(|c| &c.name);
            let snapshot = Snapshot::take(&view, &self.read.filter, names);
            (!piece.is_empty()).then(|| (piece, active.segment.clone(), snapshot))
        });
        let Some((piece, segment, snapshot)) = piece else {
            // Nothing is left but what is missing at the end.
            let snapshot = Snapshot::take(&view, &self.read.filter, std::iter::empty());
            drop(view);
            self.hole(&snapshot, self.cursor + 1, self.end);
            self.cursor = self.end;
            return Step::More;
        };
        drop(view);
        for row in piece {
            if self.is_full() {
                return Step::Done;
            }
            self.look(&snapshot, row, &segment);
        }
        Step::More
    }

    /// Looks at one record.
    fn look(&mut self, snapshot: &Snapshot, row: (u64, Slot), segment: &Arc<Segment>) {
        let (offset, slot) = row;
        if offset > self.cursor + 1 {
            self.hole(snapshot, self.cursor + 1, offset - 1);
        }
        let (wanted, floor) = snapshot.channel(slot.channel);
        if wanted && offset <= floor {
            self.missing(snapshot, (offset, offset), GapReason::Trimmed);
        } else if wanted {
            self.flush_gap();
            if self.segments.last().is_none_or(|last| last.id != segment.id) {
                self.segments.push(segment.clone());
            }
            let segment = self.segments.len() - 1;
            self.planned.push(Planned::Record { offset, slot, segment });
            self.records += 1;
            self.bytes += slot.len as usize;
            self.had = None;
            self.fresh = false;
        }
        self.cursor = offset;
    }

    /// Says what is to be said of offsets that no index knows.
    fn hole(&mut self, snapshot: &Snapshot, from: u64, to: u64) {
        let trimmed = to.min(snapshot.floor);
        if from <= trimmed {
            self.missing(snapshot, (from, trimmed), GapReason::Trimmed);
        }
        let from = from.max(trimmed + 1);
        if from > to {
            return;
        }
        if snapshot.lineage.breaks_within(from, to) {
            self.missing(snapshot, (from, to), GapReason::Damaged);
            return;
        }
        // What is left was trimmed from channels that this reader does not want, unless it was damaged.
        for (a, b) in &snapshot.damaged {
            let (a, b) = ((*a).max(from), (*b).min(to));
            if a <= b {
                self.missing(snapshot, (a, b), GapReason::Damaged);
            }
        }
        // Above every floor nothing was trimmed: whatever was there is lost, and so is what was known of it.
        if to > snapshot.trimmed {
            self.missing(snapshot, (from.max(snapshot.trimmed + 1), to), GapReason::Damaged);
        }
    }

    /// Adds offsets to the gap that is open, or opens one.
    fn missing(&mut self, snapshot: &Snapshot, range: (u64, u64), reason: GapReason) {
        if self.fresh && reason == GapReason::Trimmed {
            return;
        }
        let to = snapshot.lineage.position(range.1);
        match &mut self.pending {
            Some(gap) if gap.reason == reason => gap.to = to,
            _ => {
                self.flush_gap();
                let before = snapshot.lineage.position(range.0 - 1);
                let from = self.had.take().or((!self.fresh).then_some(before));
                self.pending = Some(gap(self.room, from, to, reason));
            }
        }
        self.fresh = false;
    }

    pub fn flush_gap(&mut self) {
        self.planned.extend(self.pending.take().map(Planned::Gap));
    }
}

/// The offset after which exactly the last `n` records lie that a filter wants.
pub(super) fn before_last(
    shared: &Shared,
    room: &Arc<Room>,
    filter: &ChannelFilter,
    n: usize,
) -> Result<u64, Missing> {
    let (mut left, runs, mut after) = {
        let view = room.view();
        let kept = view.totals.list.iter().filter(|c| filter.wants(&c.name)).map(|c| c.records).sum::<u64>();
        let left = usize::try_from(kept).unwrap_or(usize::MAX).min(n);
        if left == 0 {
            return Ok(view.end);
        }
        let mut after = view.end;
        let mut left = left;
        if let Some(active) = &view.active {
            let names: Vec<ChannelName> = active.part.channels.iter().map(|c| c.name.clone()).collect();
            let snapshot = Snapshot::take(&view, filter, names.iter());
            back(&snapshot, &active.part.slots, (&mut left, &mut after));
        }
        (left, view.runs.clone(), after)
    };
    for run in runs.iter().rev() {
        if left == 0 {
            break;
        }
        let section: Arc<Section> = shared.section(run, &room.key)?;
        let view = room.view();
        let snapshot = Snapshot::take(&view, filter, section.channels.iter());
        drop(view);
        back(&snapshot, &section.slots, (&mut left, &mut after));
    }
    Ok(after)
}

/// Walks back over wanted records until `left` is used up; `after` is then the offset before the last one met.
fn back(snapshot: &Snapshot, slots: &crate::log::part::Slots, (left, after): (&mut usize, &mut u64)) {
    for i in (0..slots.slots.len()).rev() {
        if *left == 0 {
            return;
        }
        let (wanted, floor) = snapshot.channel(slots.slots[i].channel);
        if !wanted {
            continue;
        }
        let offset = slots.offset(i);
        if offset > floor {
            *left -= 1;
            *after = offset - 1;
        }
    }
}
