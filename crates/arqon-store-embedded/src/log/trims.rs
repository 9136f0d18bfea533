//! `log/trim.N`: what retention removed, as a journal that begins with a snapshot.
//!
//! It says up to where each room and channel was trimmed, which segments were deleted (so that one that is merely
//! missing is known to be lost), and keeps the lineage and end of rooms whose segments are gone. Invariant: a segment is
//! deleted or rewritten only after the journal says so durably. Floors only rise, so reading an entry twice changes
//! nothing. After each flush the journal says how far it is flushed: what is unreadable before that place was damaged,
//! what is unreadable behind all such places is a torn end, and nothing behind it was acted upon.

use super::fields::{Fields, Put};
use super::format::{put_room, read_room};
use super::lineage::Lineage;
use crate::disk::{Disk, DiskFile};
use arqon_core::{ChannelName, RoomKey};
use crc32c::crc32c_append;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const MAGIC: u32 = u32::from_le_bytes(*b"ATRM");
/// A journal shorter than this is never rewritten.
const REWRITE: u64 = 1 << 20;
/// The kind of the entry that says how far the journal is flushed.
const FLUSHED: u8 = 7;

/// What a room was when a segment of it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grave {
    pub lineage: Lineage,
    pub end: u64,
    /// The segment that was being written then.
    pub as_of: u64,
}

/// What was trimmed of one room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RoomTrim {
    pub floor: u64,
    pub channels: BTreeMap<ChannelName, u64>,
    pub grave: Option<Grave>,
    /// Offsets that were damaged in segments that are deleted now.
    pub damaged: Vec<(u64, u64)>,
}

/// All that the journal says.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrimState {
    pub rooms: BTreeMap<RoomKey, RoomTrim>,
    /// Segments that were deleted on purpose.
    pub removed: BTreeSet<u64>,
    /// Every segment below this was.
    pub removed_below: u64,
    /// How many records rooms can have had of which nothing is left, since the journal was damaged once.
    pub lost: u64,
}

impl TrimState {
    pub fn is_removed(&self, segment: u64) -> bool {
        segment < self.removed_below || self.removed.contains(&segment)
    }

    fn floor(&mut self, key: &RoomKey, floor: u64) {
        let room = self.rooms.entry(key.clone()).or_default();
        room.floor = room.floor.max(floor);
        room.channels.retain(|_, f| *f > room.floor);
        room.damaged.retain(|d| d.1 > room.floor);
    }

    fn channel(&mut self, key: &RoomKey, channel: &ChannelName, floor: u64) {
        let room = self.rooms.entry(key.clone()).or_default();
        if floor > room.floor {
            let kept = room.channels.entry(channel.clone()).or_default();
            *kept = floor.max(*kept);
        }
    }

    fn damage(&mut self, key: &RoomKey, from: u64, to: u64) {
        let room = self.rooms.entry(key.clone()).or_default();
        if to > room.floor && !room.damaged.contains(&(from, to)) {
            room.damaged.push((from, to));
        }
    }

    fn remove(&mut self, segment: u64) {
        self.removed.insert(segment);
        while self.removed.remove(&self.removed_below.max(1)) {
            self.removed_below = self.removed_below.max(1) + 1;
        }
    }

    /// How many segments after one were deleted.
    pub fn removed_after(&self, segment: u64) -> u64 {
        let below = self.removed_below.saturating_sub(segment + 1);
        below + self.removed.range(segment + 1..).count() as u64
    }

    pub(super) fn apply(&mut self, body: &[u8]) -> Option<()> {
        let mut f = Fields(body);
        match f.u8()? {
            1 => {
                let (key, _) = read_room(&mut f)?;
                self.floor(&key, f.counted()?);
            }
            2 => {
                let (key, _) = read_room(&mut f)?;
                let channel = ChannelName::parse(f.text()?).ok()?;
                self.channel(&key, &channel, f.counted()?);
            }
            3 => {
                let (key, lineage) = read_room(&mut f)?;
                let grave = Grave { lineage, end: f.counted()?, as_of: f.counted()? };
                self.rooms.entry((*key).clone()).or_default().grave = Some(grave);
            }
            4 => self.remove(f.counted()?),
            6 => {
                let (key, _) = read_room(&mut f)?;
                self.damage(&key, f.counted()?, f.counted()?);
            }
            5 => self.removed_below = self.removed_below.max(f.counted()?),
            FLUSHED => drop(f.counted()?),
            8 => self.lost = self.lost.max(f.counted()?),
            _ => return None,
        }
        Some(())
    }
}

/// One thing to write down.
pub(crate) enum Trim<'a> {
    Floor(&'a RoomKey, u64),
    Channel(&'a RoomKey, &'a ChannelName, u64),
    Grave(&'a RoomKey, &'a Grave),
    Damaged(&'a RoomKey, u64, u64),
    Removed(u64),
    RemovedBelow(u64),
    /// Everything up to this place of the file is flushed.
    Flushed(u64),
    Lost(u64),
}

impl Trim<'_> {
    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // A room without a lineage of interest is written with a stand-in, so that there is one form of a room.
        let stand_in = Lineage::new(arqon_core::record::Epoch(1));
        match self {
            Trim::Floor(key, floor) => {
                out.push(1);
                put_room(&mut out, key, &stand_in);
                out.num(*floor);
            }
            Trim::Channel(key, channel, floor) => {
                out.push(2);
                put_room(&mut out, key, &stand_in);
                out.text(channel.as_str());
                out.num(*floor);
            }
            Trim::Grave(key, grave) => {
                out.push(3);
                put_room(&mut out, key, &grave.lineage);
                out.num(grave.end);
                out.num(grave.as_of);
            }
            Trim::Damaged(key, from, to) => {
                out.push(6);
                put_room(&mut out, key, &stand_in);
                out.num(*from);
                out.num(*to);
            }
            Trim::Removed(segment) => {
                out.push(4);
                out.num(*segment);
            }
            Trim::RemovedBelow(segment) => {
                out.push(5);
                out.num(*segment);
            }
            Trim::Flushed(end) => {
                out.push(FLUSHED);
                out.num(*end);
            }
            Trim::Lost(records) => {
                out.push(8);
                out.num(*records);
            }
        }
        out
    }
}

/// The journal, open for writing.
pub(crate) struct TrimJournal {
    disk: Arc<dyn Disk>,
    log_id: u64,
    number: u64,
    file: Option<Arc<dyn DiskFile>>,
    end: u64,
    snapshot: u64,
    /// Whether something was written since the last flush.
    unsynced: bool,
    flusher: Arc<Flusher>,
    pub state: TrimState,
}

/// Flushes the journal from another thread.
pub(crate) struct Flusher {
    file: Mutex<Option<Arc<dyn DiskFile>>>,
    /// A flush failed: what the file holds is not trusted any more, and a new one is to be made.
    failed: AtomicBool,
}

impl Flusher {
    fn file(&self) -> MutexGuard<'_, Option<Arc<dyn DiskFile>>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes durable what was written down before the call.
    pub fn sync(&self) -> io::Result<()> {
        let file = self.file();
        if self.failed.load(Relaxed) {
            return Err(io::Error::other("a flush of the trim journal failed"));
        }
        let Some(file) = &*file else { return Ok(()) };
        file.sync_data().inspect_err(|_| self.failed.store(true, Relaxed))
    }
}

/// What reading the journal found, besides its state.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct JournalEnd {
    pub number: u64,
    pub end: u64,
    /// Whether something that it said is lost.
    pub harmed: bool,
    /// Whether it ends with a note that all of it was flushed.
    pub flushed: bool,
}

pub(crate) fn path(number: u64) -> String {
    format!("log/trim.{number}")
}

/// Whether a file of the log's folder is a trim journal, and which.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    name.strip_prefix("trim.")?.parse().ok()
}

/// What the newest journal says.
pub(crate) fn read(disk: &dyn Disk, log_id: u64, numbers: &[u64]) -> io::Result<(TrimState, JournalEnd)> {
    let mut found = JournalEnd::default();
    let mut state = TrimState::default();
    let Some(number) = numbers.iter().max().copied() else { return Ok((state, found)) };
    let file = disk.open(&path(number))?;
    let mut bytes = vec![0; usize::try_from(file.size()?).unwrap_or(usize::MAX)];
    let n = file.read_at(&mut bytes, 0)?;
    bytes.truncate(n);
    let entries = entries(&bytes, log_id);
    let flushed = entries.iter().filter_map(|(at, body, _)| flushed(body).filter(|f| *f <= *at as u64)).max();
    found.number = number;
    let mut end = 0;
    for (at, body, total) in entries {
        if at != end {
            if flushed.is_some_and(|flushed| end as u64 >= flushed) {
                // The machine stopped before this was flushed, and kept the later part only: nothing relies on it.
                break;
            }
            found.harmed = true;
        }
        found.harmed |= state.apply(body).is_none();
        found.flushed = body.first() == Some(&FLUSHED);
        end = at + total;
    }
    // It gets its name when it is whole.
    found.harmed |= end == 0;
    found.end = end as u64;
    Ok((state, found))
}

fn flushed(body: &[u8]) -> Option<u64> {
    let mut f = Fields(body);
    (f.u8()? == FLUSHED).then(|| f.counted())?
}

/// All entries that can be read: where each begins, its body, and its length.
fn entries(bytes: &[u8], log_id: u64) -> Vec<(usize, &[u8], usize)> {
    let (mut at, mut entries) = (0, Vec::new());
    while at < bytes.len() {
        match read_entry(&bytes[at..], log_id) {
            Some((body, total)) => {
                entries.push((at, body, total));
                at += total;
            }
            None => at += 8,
        }
    }
    entries
}

fn read_entry(bytes: &[u8], log_id: u64) -> Option<(&[u8], usize)> {
    let mut f = Fields(bytes);
    if f.u32()? != MAGIC {
        return None;
    }
    let (len, crc) = (f.u32()? as usize, f.u32()?);
    let body = f.take(len)?;
    (crc32c_append(log_id as u32, body) == crc).then_some((body, (12 + len).next_multiple_of(8)))
}

fn put_entry(out: &mut Vec<u8>, log_id: u64, trim: &Trim<'_>) {
    let body = trim.body();
    out.u32(MAGIC);
    out.u32(body.len() as u32);
    out.u32(crc32c_append(log_id as u32, &body));
    out.extend_from_slice(&body);
    out.resize(out.len().next_multiple_of(8), 0);
}

impl TrimJournal {
    /// Goes on behind what was read; what it says is durable then. The state comes later.
    pub fn open(disk: Arc<dyn Disk>, log_id: u64, read: JournalEnd) -> io::Result<Self> {
        let JournalEnd { number, end, flushed, .. } = read;
        let file = if number > 0 { Some(disk.open(&path(number))?) } else { None };
        if let Some(file) = &file {
            file.truncate(end)?;
        }
        let flusher = Arc::new(Flusher { file: Mutex::new(file.clone()), failed: AtomicBool::new(false) });
        let (snapshot, state) = (end, TrimState::default());
        let mut journal =
            TrimJournal { disk, log_id, number, file, end, snapshot, unsynced: !flushed, flusher, state };
        journal.sync()?;
        Ok(journal)
    }

    /// What flushes it from another thread.
    pub fn flusher(&self) -> Arc<Flusher> {
        self.flusher.clone()
    }

    /// Begins anew after damage, with all that is still known and what is known to be lost.
    pub fn mend(&mut self, trims: &[Trim<'_>]) -> io::Result<()> {
        self.take(trims);
        self.rewrite()
    }

    /// Writes things down; they survive the process, and the machine after `sync`.
    pub fn append(&mut self, trims: &[Trim<'_>]) -> io::Result<()> {
        let mut out = Vec::new();
        for trim in trims {
            put_entry(&mut out, self.log_id, trim);
        }
        match &self.file {
            Some(file)
                if (self.end < REWRITE || self.end < 4 * self.snapshot)
                    && !self.flusher.failed.load(Relaxed) =>
            {
                self.unsynced = true;
                file.write_at(&out, self.end)?;
                self.end += out.len() as u64;
                self.take(trims);
                Ok(())
            }
            _ => {
                let old = self.state.clone();
                self.take(trims);
                self.rewrite().inspect_err(|_| self.state = old)
            }
        }
    }

    fn take(&mut self, trims: &[Trim<'_>]) {
        for trim in trims {
            match trim {
                Trim::Floor(key, floor) => self.state.floor(key, *floor),
                Trim::Channel(key, channel, floor) => self.state.channel(key, channel, *floor),
                Trim::Grave(key, grave) => {
                    self.state.rooms.entry((*key).clone()).or_default().grave = Some((*grave).clone());
                }
                Trim::Damaged(key, from, to) => self.state.damage(key, *from, *to),
                Trim::Removed(segment) => self.state.remove(*segment),
                Trim::RemovedBelow(segment) => {
                    self.state.removed_below = self.state.removed_below.max(*segment);
                }
                Trim::Lost(records) => self.state.lost = self.state.lost.max(*records),
                Trim::Flushed(_) => {}
            }
        }
    }

    /// Makes everything written down durable.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.flusher.failed.load(Relaxed) {
            return self.rewrite();
        }
        if !self.unsynced {
            return Ok(());
        }
        self.flusher.sync()?;
        self.unsynced = false;
        let Some(file) = &self.file else { return Ok(()) };
        let mut out = Vec::new();
        put_entry(&mut out, self.log_id, &Trim::Flushed(self.end));
        // Without this note a later damage may pass for a torn end; what was to be durable is.
        match file.write_at(&out, self.end) {
            Ok(()) => self.end += out.len() as u64,
            Err(error) => tracing::warn!(%error, "that the trim journal is flushed could not be noted"),
        }
        Ok(())
    }

    /// Begins a new file with a snapshot.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        put_entry(&mut out, self.log_id, &Trim::RemovedBelow(self.state.removed_below));
        for segment in &self.state.removed {
            put_entry(&mut out, self.log_id, &Trim::Removed(*segment));
        }
        for (key, room) in &self.state.rooms {
            if let Some(grave) = &room.grave {
                put_entry(&mut out, self.log_id, &Trim::Grave(key, grave));
            }
            put_entry(&mut out, self.log_id, &Trim::Floor(key, room.floor));
            for (from, to) in &room.damaged {
                put_entry(&mut out, self.log_id, &Trim::Damaged(key, *from, *to));
            }
            for (channel, floor) in &room.channels {
                put_entry(&mut out, self.log_id, &Trim::Channel(key, channel, *floor));
            }
        }
        if self.state.lost > 0 {
            put_entry(&mut out, self.log_id, &Trim::Lost(self.state.lost));
        }
        let all = out.len() as u64;
        put_entry(&mut out, self.log_id, &Trim::Flushed(all));
        let number = self.number + 1;
        let temporary = format!("{}.tmp", path(number));
        let file = self.disk.create(&temporary)?;
        file.write_at(&out, 0)?;
        file.sync_data()?;
        self.disk.rename(&temporary, &path(number))?;
        self.disk.sync_dir("log")?;
        if self.number > 0 {
            // What it said is in the new one; should it stay, the higher number wins.
            let _ = self.disk.remove(&path(self.number));
        }
        self.number = number;
        self.end = out.len() as u64;
        self.snapshot = self.end;
        self.unsynced = false;
        *self.flusher.file() = Some(file.clone());
        self.flusher.failed.store(false, Relaxed);
        self.file = Some(file);
        Ok(())
    }
}
