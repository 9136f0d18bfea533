//! Puts the rooms together from what the segments hold, oldest first: lineage, end, what is damaged, and whose tail is in
//! doubt.
//!
//! A hole in a room is known when the room is mentioned again behind it. A room that is not mentioned again behind a
//! damaged region may have lost its tail there: it gets a new epoch, far above any offset that it can have given out.
//! Invariant: within one epoch no offset is given out twice.

use super::format::RECORD_LEAST;
use super::lineage::Lineage;
use super::survey::{Found, Survey};
use super::trims::RoomTrim;
use arqon_core::RoomKey;
use arqon_core::record::Epoch;
use std::collections::BTreeMap;
use std::sync::Arc;

/// New epochs begin after a multiple of this, so that people see the break.
const EPOCH_STEP: u64 = 1_000_000;

/// One room over all segments.
#[derive(Debug)]
pub(crate) struct Merged {
    pub key: Arc<RoomKey>,
    pub lineage: Lineage,
    pub end: u64,
    pub damaged: Vec<(u64, u64)>,
    /// Where its records are: (index of the segment, index of the head), oldest first.
    pub heads: Vec<(usize, usize)>,
    /// How many records may have been lost before the last mention.
    seen: u64,
    /// How many records may have been lost behind its last record; not 0 means that it needs a new epoch.
    pub doubt: u64,
}

impl Merged {
    fn new(key: Arc<RoomKey>, lineage: Lineage) -> Self {
        Merged { key, lineage, end: 0, damaged: Vec::new(), heads: Vec::new(), seen: 0, doubt: 0 }
    }

    /// The room's next offset was `start` when `lost` records may have been lost so far.
    fn mention(&mut self, lineage: &Lineage, start: u64, lost: u64) {
        if start > self.end + 1 {
            // Without damage in between, what is missing was trimmed.
            if lost > self.seen {
                self.damaged.push((self.end + 1, start - 1));
            }
            self.end = start - 1;
        }
        if lineage.is_later(&self.lineage) {
            self.lineage = lineage.clone();
        }
        self.seen = lost;
    }

    /// Begins a new epoch if the tail is in doubt.
    pub fn settle(&mut self, random: u64) -> bool {
        if self.doubt == 0 {
            return false;
        }
        let above = (self.end + self.doubt + 1) / EPOCH_STEP + 1;
        let first = above * EPOCH_STEP + 1;
        self.lineage = self.lineage.extended(Epoch::durable(random), first);
        self.damaged.push((self.end + 1, first - 1));
        self.end = first - 1;
        self.doubt = 0;
        true
    }
}

/// How many records a region can have held.
fn held(region: &(u64, u64)) -> u64 {
    records_most(region.1.saturating_sub(region.0))
}

/// How many records fit into so many bytes at most.
pub(crate) fn records_most(bytes: u64) -> u64 {
    bytes / RECORD_LEAST
}

/// How many records may have been lost in all that cannot be read: rooms of which nothing else is left had theirs there.
pub(crate) fn nameless(survey: &Survey) -> u64 {
    let unread: u64 = survey.segments.iter().flat_map(|found| &found.regions).map(held).sum();
    unread + survey.trims.lost.max(lost_with_journal(survey))
}

/// How many records can be missing at the end because they were not flushed: each segment is, before the next one begins.
pub(crate) fn unflushed(survey: &Survey) -> u64 {
    if survey.interrupted { records_most(survey.segment_bytes) } else { 0 }
}

/// How many records rooms can have had of which only the journal knew, where it is damaged.
pub(crate) fn lost_with_journal(survey: &Survey) -> u64 {
    match survey.journal.harmed {
        false => 0,
        true => survey.trims.removed_after(0).saturating_add(1) * records_most(survey.segment_bytes),
    }
}

/// The lineage of a room that was never heard of, in a log of which `nameless` records cannot be read, and the last
/// offset that it may have lost there; 0 where nothing can have been lost.
pub(crate) fn unheard_of(nameless: u64, mut random: impl FnMut() -> u64) -> (Lineage, u64) {
    let lineage = Lineage::new(Epoch::durable(random()));
    if nameless == 0 {
        return (lineage, 0);
    }
    let lost = (nameless / EPOCH_STEP + 1) * EPOCH_STEP;
    (lineage.extended(Epoch::durable(random()), lost + 1), lost)
}

/// Puts the rooms together.
pub(crate) fn merge(survey: &Survey) -> BTreeMap<RoomKey, Merged> {
    let mut rooms: BTreeMap<RoomKey, Merged> = BTreeMap::new();
    let mut graves: Vec<(&RoomKey, &RoomTrim)> = survey.trims.rooms.iter().collect();
    graves.retain(|(_, trim)| trim.grave.is_some());
    graves.sort_by_key(|(_, trim)| trim.grave.as_ref().map(|g| g.as_of));
    let mut graves = graves.into_iter().peekable();
    let mut lost = 0;
    for (i, found) in survey.segments.iter().enumerate() {
        while let Some((key, trim)) =
            graves.next_if(|(_, t)| t.grave.as_ref().is_some_and(|g| g.as_of <= found.id))
        {
            bury(&mut rooms, key, trim, lost);
        }
        take_segment(&mut rooms, i, found, lost);
        lost += found.regions.iter().map(held).sum::<u64>();
    }
    for (key, trim) in graves {
        bury(&mut rooms, key, trim, lost);
    }
    for (key, trim) in &survey.trims.rooms {
        reach_trimmed(survey, &mut rooms, key, trim);
    }
    for (key, room) in &mut rooms {
        room.doubt = room.doubt.saturating_add(lost - room.seen).saturating_add(unflushed(survey));
        let noted = survey.trims.rooms.get(key).map(|trim| &trim.damaged);
        room.damaged.extend(noted.into_iter().flatten());
        if survey.journal.harmed {
            distrust(survey, room, survey.trims.rooms.get(key));
        }
    }
    rooms
}

/// Where the journal is damaged, what is missing between the records that are kept may have been anything, and so may
/// what the room had in segments that were deleted after it was mentioned last.
fn distrust(survey: &Survey, room: &mut Merged, trim: Option<&RoomTrim>) {
    let mut next = trim.map_or(0, |trim| trim.floor) + 1;
    for (i, j) in &room.heads {
        let head = &survey.segments[*i].heads[*j];
        if head.records == 0 || head.last < next {
            continue;
        }
        if next < head.first {
            room.damaged.push((next, head.first - 1));
        }
        if head.records < head.last - head.first + 1 {
            room.damaged.push((head.first, head.last));
        }
        next = head.last + 1;
    }
    if next <= room.end {
        room.damaged.push((next, room.end));
    }
    let grave = trim.and_then(|trim| trim.grave.as_ref()).map_or(0, |grave| grave.as_of);
    let last = room.heads.iter().map(|(i, _)| survey.segments[*i].id).fold(grave, u64::max);
    room.doubt += survey.trims.removed_after(last) * records_most(survey.segment_bytes);
}

/// Offsets that were trimmed had been given out. Where the records do not come so far, the end is gone and nothing else may
/// be left that says so: what is written next must not be taken for trimmed.
fn reach_trimmed(survey: &Survey, rooms: &mut BTreeMap<RoomKey, Merged>, key: &RoomKey, trim: &RoomTrim) {
    let trimmed = trim.channels.values().copied().fold(trim.floor, u64::max);
    let nothing = || Merged::new(Arc::new(key.clone()), Lineage::new(Epoch::durable(0)));
    let end = rooms.get(key).map_or(0, |room| room.end);
    if trimmed > end {
        let room = rooms.entry(key.clone()).or_insert_with(nothing);
        room.damaged.push((room.end + 1, trimmed));
        room.end = trimmed;
        // What was behind it is not known either: as much as a segment holds.
        room.doubt = records_most(survey.segment_bytes).max(1);
    }
}

fn bury(rooms: &mut BTreeMap<RoomKey, Merged>, key: &RoomKey, trim: &RoomTrim, lost: u64) {
    let Some(grave) = &trim.grave else { return };
    let room =
        rooms.entry(key.clone()).or_insert_with(|| Merged::new(Arc::new(key.clone()), grave.lineage.clone()));
    // A grave is a mention of the room at its time, unless later segments say more than it does.
    if grave.end >= room.end {
        room.mention(&grave.lineage, grave.end + 1, lost);
    }
}

fn take_segment(rooms: &mut BTreeMap<RoomKey, Merged>, i: usize, found: &Found, lost: u64) {
    for (j, head) in found.heads.iter().enumerate() {
        let room = rooms
            .entry((*head.key).clone())
            .or_insert_with(|| Merged::new(head.key.clone(), head.lineage.clone()));
        let before_first = |r: &&(u64, u64)| r.0 < head.first_pos;
        let lost_before = lost + found.regions.iter().filter(before_first).map(held).sum::<u64>();
        room.mention(&head.lineage, head.start, lost_before);
        room.damaged.extend_from_slice(&head.damaged);
        room.end = head.damaged.iter().map(|d| d.1).fold(room.end.max(head.end), u64::max);
        if found.present {
            room.heads.push((i, j));
        } else if head.records > 0 {
            room.damaged.push((head.first, head.last));
        }
        let before = |r: &&(u64, u64)| r.0 < head.last_pos;
        room.seen = lost + found.regions.iter().filter(before).map(held).sum::<u64>();
    }
}
