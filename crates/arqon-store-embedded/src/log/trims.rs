//! `log/trim.N`: what retention removed, as a journal that begins with a snapshot.
//!
//! It says up to where each room and channel was trimmed, which segments were deleted (so that one that is merely
//! missing is known to be lost), and keeps the lineage and end of rooms whose segments are gone. Invariant: a segment is
//! deleted only after the journal says so durably. Floors only rise, so reading an entry twice changes nothing.

use super::fields::{Fields, Put};
use super::format::{put_room, read_room};
use super::lineage::Lineage;
use crate::disk::{Disk, DiskFile};
use arqon_core::{ChannelName, RoomKey};
use crc32c::crc32c_append;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

const MAGIC: u32 = u32::from_le_bytes(*b"ATRM");
/// A journal shorter than this is never rewritten.
const REWRITE: u64 = 1 << 20;

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
    pub state: TrimState,
}

fn path(number: u64) -> String {
    format!("log/trim.{number}")
}

/// Whether a file of the log's folder is a trim journal, and which.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    name.strip_prefix("trim.")?.parse().ok()
}

/// What the newest journal says; with its number, where it ends, and whether all of it was whole.
pub(crate) fn read(disk: &dyn Disk, log_id: u64, numbers: &[u64]) -> io::Result<(TrimState, u64, u64, bool)> {
    let Some(number) = numbers.iter().max().copied() else { return Ok((TrimState::default(), 0, 0, true)) };
    let file = disk.open(&path(number))?;
    let mut bytes = vec![0; usize::try_from(file.size()?).unwrap_or(usize::MAX)];
    let n = file.read_at(&mut bytes, 0)?;
    bytes.truncate(n);
    let mut state = TrimState::default();
    let (mut at, mut end, mut skipped) = (0, 0, false);
    let mut whole = true;
    while at < bytes.len() {
        match read_entry(&bytes[at..], log_id) {
            Some((body, total)) => {
                whole &= state.apply(body).is_some() && !skipped;
                at += total;
                end = at;
                skipped = false;
            }
            // The last entry may be torn; one that is followed by a good one was damaged.
            None => {
                skipped = true;
                at += 8;
            }
        }
    }
    Ok((state, number, end as u64, whole))
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
    /// Goes on behind what was read.
    pub fn open(disk: Arc<dyn Disk>, log_id: u64, read: (TrimState, u64, u64)) -> io::Result<Self> {
        let (state, number, end) = read;
        let file = if number > 0 { Some(disk.open(&path(number))?) } else { None };
        if let Some(file) = &file {
            file.truncate(end)?;
        }
        Ok(TrimJournal { disk, log_id, number, file, end, snapshot: end, state })
    }

    /// Writes things down; they survive the process, and the machine after `sync`.
    pub fn append(&mut self, trims: &[Trim<'_>]) -> io::Result<()> {
        let mut out = Vec::new();
        for trim in trims {
            put_entry(&mut out, self.log_id, trim);
        }
        match &self.file {
            Some(file) if self.end < REWRITE || self.end < 4 * self.snapshot => {
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
            }
        }
    }

    /// Makes everything written down durable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.sync_data())
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
        self.file = Some(file);
        Ok(())
    }
}
