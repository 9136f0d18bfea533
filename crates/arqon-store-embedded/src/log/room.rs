//! One room as readers see it: what is confirmed, where it lies, what is gone and why.
//!
//! Invariant: nothing stands in a view before it is durable. Only the committer changes a view; its lock is held for
//! moments, never across a read or a flush.

use super::lineage::Lineage;
use super::part::{ChannelPart, Part, Slot, join};
use super::sidecar::{PartHead, Source};
use arqon_core::hash::Map;
use arqon_core::{ChannelName, RoomKey, Timestamp};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One segment file, as rooms refer to it.
#[derive(Debug)]
pub(crate) struct Segment {
    pub id: u64,
    pub generation: u32,
    pub seed: u32,
    pub created_at: Timestamp,
    /// Where its data ends.
    pub used: AtomicU64,
    /// Bytes of its files.
    pub disk_bytes: AtomicU64,
    pub live_records: AtomicU64,
    pub live_bytes: AtomicU64,
    /// Whether something in it could not be read: then it is never rewritten.
    pub damaged: AtomicBool,
    /// When its newest record was stored, µs.
    pub max_at: AtomicU64,
}

/// The records of a room in one sealed segment.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub segment: Arc<Segment>,
    pub source: Source,
    pub first: u64,
    pub last: u64,
}

/// The records of a room in the segment that is being written.
pub(crate) struct ActivePart {
    pub segment: Arc<Segment>,
    pub part: Part,
    /// For each channel of the part, its place in the totals.
    pub totals: Vec<usize>,
}

/// One channel of a room, over all segments; counts what is kept.
#[derive(Debug, Clone)]
pub(crate) struct ChannelTotal {
    pub name: ChannelName,
    pub records: u64,
    pub bytes: u64,
    /// Not above the offset of its first record kept.
    pub first: u64,
    pub last: u64,
    pub last_at: Timestamp,
}

/// What is kept, by channel.
#[derive(Default)]
pub(crate) struct Totals {
    pub list: Vec<ChannelTotal>,
    by_name: Map<ChannelName, usize>,
    pub records: u64,
    pub bytes: u64,
}

impl Totals {
    pub fn find(&self, name: &ChannelName) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The place of a channel, made if it is new.
    pub fn place(&mut self, name: &ChannelName) -> usize {
        if let Some(place) = self.find(name) {
            return place;
        }
        let place = self.list.len();
        self.by_name.insert(name.clone(), place);
        self.list.push(ChannelTotal {
            name: name.clone(),
            records: 0,
            bytes: 0,
            first: 0,
            last: 0,
            last_at: Timestamp(0),
        });
        place
    }

    /// Counts records of a channel in.
    pub fn add(&mut self, place: usize, part: &ChannelPart) {
        let total = &mut self.list[place];
        if total.records == 0 {
            total.first = part.first;
        }
        total.records += part.records;
        total.bytes += part.bytes;
        total.last = total.last.max(part.last);
        total.last_at = total.last_at.max(part.last_at);
        self.records += part.records;
        self.bytes += part.bytes;
    }

    /// Counts records of a channel out.
    pub fn remove(&mut self, place: usize, records: u64, bytes: u64) {
        let total = &mut self.list[place];
        total.records = total.records.saturating_sub(records);
        total.bytes = total.bytes.saturating_sub(bytes);
        self.records = self.records.saturating_sub(records);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Forgets channels without records. Places change: nothing may hold one.
    pub fn tidy(&mut self) {
        if self.list.iter().all(|c| c.records > 0) {
            return;
        }
        self.list.retain(|c| c.records > 0);
        self.by_name = self.list.iter().enumerate().map(|(i, c)| (c.name.clone(), i)).collect();
    }
}

/// What readers see of a room.
pub(crate) struct RoomView {
    pub lineage: Lineage,
    /// The last offset of the log, whether or not its record survived.
    pub end: u64,
    /// Everything up to here was trimmed.
    pub floor: u64,
    /// For single channels, everything up to here was trimmed; only values above `floor`.
    pub channel_floors: BTreeMap<ChannelName, u64>,
    /// Offsets that were damaged, as ranges in order.
    pub damaged: Vec<(u64, u64)>,
    pub runs: Vec<Run>,
    pub active: Option<ActivePart>,
    pub totals: Totals,
}

impl RoomView {
    pub fn new(lineage: Lineage) -> Self {
        RoomView {
            lineage,
            end: 0,
            floor: 0,
            channel_floors: BTreeMap::new(),
            damaged: Vec::new(),
            runs: Vec::new(),
            active: None,
            totals: Totals::default(),
        }
    }

    /// The floor of one channel.
    pub fn floor_of(&self, channel: &ChannelName) -> u64 {
        self.channel_floors.get(channel).copied().unwrap_or(0).max(self.floor)
    }

    /// Notes damaged offsets; answers whether they are news.
    pub fn add_damage(&mut self, from: u64, to: u64) -> bool {
        if from > to || self.damaged.iter().any(|d| d.0 <= from && to <= d.1) {
            return false;
        }
        self.damaged.push((from, to));
        join(&mut self.damaged);
        true
    }

    /// Takes in what a sealed segment holds; segments come oldest first. Counts nothing: see `Totals`.
    pub fn add_run(&mut self, segment: &Arc<Segment>, head: &PartHead) {
        if head.records > 0 {
            self.runs.push(Run {
                segment: segment.clone(),
                source: head.source.clone(),
                first: head.first,
                last: head.last,
            });
        }
    }

    /// Adds a durable record to the active part.
    pub fn push(&mut self, offset: u64, slot: Slot) {
        self.end = offset;
        let Some(active) = &mut self.active else { return };
        active.part.push(offset, slot);
        let total = &mut self.totals.list[active.totals[slot.channel as usize]];
        if total.records == 0 {
            total.first = offset;
        }
        total.records += 1;
        total.bytes += slot.bytes();
        total.last = offset;
        total.last_at = total.last_at.max(slot.at);
        self.totals.records += 1;
        self.totals.bytes += slot.bytes();
    }
}

impl ActivePart {
    pub fn new(segment: Arc<Segment>, part: Part) -> Self {
        ActivePart { segment, part, totals: Vec::new() }
    }

    /// The number of a channel in the part, with its place in the totals.
    pub fn number(&mut self, totals: &mut Totals, name: &ChannelName) -> u32 {
        let number = self.part.number(name);
        if number as usize == self.totals.len() {
            self.totals.push(totals.place(name));
        }
        number
    }
}

/// A room with a log.
pub(crate) struct Room {
    pub key: Arc<RoomKey>,
    view: Mutex<RoomView>,
}

impl Room {
    pub fn new(key: Arc<RoomKey>, view: RoomView) -> Self {
        Room { key, view: Mutex::new(view) }
    }

    /// The view, locked.
    pub fn view(&self) -> MutexGuard<'_, RoomView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
