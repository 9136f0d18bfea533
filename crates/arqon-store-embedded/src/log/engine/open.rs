//! Opens a log: looks at the folder, puts the rooms together, cuts a torn tail, goes on.
//!
//! Invariant: only an unfinished block at the very end is ever overwritten. A last segment in which anything else is
//! wrong stays as it is, and the log goes on in a new one.

use super::house::Ghost;
use super::{Engine, LOCK, roll};
use crate::disk::{Disk, DiskFile, Locking};
use crate::log::confirmed::ConfirmedFile;
use crate::log::format::{
    BLOCK, EntryKind, EntryWords, PAGE, Tail, entry_bytes, put_entry, put_room, segment_path,
};
use crate::log::merge::{Merged, lost_with_journal, merge, nameless, unflushed};
use crate::log::room::{ActivePart, Segment};
use crate::log::rooms::Assembly;
use crate::log::running;
use crate::log::scan::ScanPart;
use crate::log::shared::{Shared, unavailable};
use crate::log::survey::{Depth, Found, Survey, survey};
use crate::log::trims::{Trim, TrimJournal};
use crate::log::{Flush, LogConfig};
use arqon_core::RoomKey;
use arqon_core::env::{Clock, Random};
use arqon_core::hash::Map;
use arqon_core::port::{StoreError, StoreErrorKind};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, inside the data folder.
    pub file: String,
    /// What is wrong, for people.
    pub what: String,
}

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Segments that are there.
    pub segments: usize,
    /// Rooms with a log.
    pub rooms: usize,
    /// Records that are kept.
    pub records: u64,
    /// A block that was never confirmed and was cut from the end: the segment, and how many bytes.
    pub torn_tail: Option<(u64, u64)>,
    /// Damage: fenced off, reported to readers as gaps.
    pub faults: Vec<Fault>,
    /// Rooms that got a new epoch, since the end of their history may be lost.
    pub new_epochs: Vec<RoomKey>,
}

impl Engine {
    /// Opens the log in a folder, made if it is empty.
    pub fn open(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<(Engine, OpenReport), StoreError> {
        config.check()?;
        let cannot = |e: io::Error| unavailable(&format!("the log in {} cannot be opened", disk.name()), e);
        disk.make_dir("log").map_err(cannot)?;
        let lock = match disk.lock(LOCK).map_err(cannot)? {
            Locking::Held(lock) => lock,
            Locking::Taken(pid) => return Err(taken(&*disk, pid)),
        };
        // What a killed process left with the kernel gets durable names before anything is concluded from it.
        disk.sync_dir("log").map_err(cannot)?;
        let mut survey = survey(&*disk, Depth::Opening)?;
        set_aside(&*disk, &survey.unknown).map_err(cannot)?;
        let log_id = survey.log_id.unwrap_or_else(|| random.next_u64() | 1);
        let mut rooms = merge(&survey);
        settle_what_was_found(&*disk, &survey).map_err(cannot)?;
        let torn = cut_torn_tail(&*disk, &survey).map_err(cannot)?;
        let mut report = OpenReport { torn_tail: torn, faults: faults(&survey), ..OpenReport::default() };
        for room in rooms.values_mut() {
            if room.settle(random.next_u64()) {
                report.new_epochs.push((*room.key).clone());
            }
        }
        let trims = open_journal(&disk, log_id, &mut survey, &rooms).map_err(cannot)?;
        remove_strays(&*disk, &survey);
        let parts = take_active(&mut survey);
        let shared = Arc::new(Shared::new(disk.clone(), log_id, config.cache_bytes));
        let assembly = Assembly::build(&shared, &survey, rooms, survey.resumed())?;
        let mut engine = Engine {
            confirmed: ConfirmedFile::open(&*disk, log_id).map_err(cannot)?,
            trims,
            tail: last_tail(&survey),
            active: None,
            segments: BTreeMap::new(),
            writers: Vec::new(),
            by_key: Map::default(),
            block: super::Block::default(),
            held: super::Held::default(),
            echo: Vec::new(),
            ghosts: ghosts(&survey),
            nameless: nameless(&survey),
            unsure: false,
            hopeless: BTreeSet::new(),
            reserved: false,
            trimmed: true,
            sparse: true,
            asked_spare: (0, 0),
            sidecars: VecDeque::new(),
            unsettled: BTreeSet::new(),
            rested_at: clock.monotonic(),
            retry_at: Duration::ZERO,
            back_off: Duration::ZERO,
            synced_at: clock.monotonic(),
            spare: Arc::new(roll::Spare::default()),
            _lock: lock,
            shared,
            disk,
            clock,
            random,
            config,
        };
        engine.trims.state = std::mem::take(&mut survey.trims);
        engine.settle_in(assembly, &survey, parts)?;
        engine.announce(&report.new_epochs)?;
        engine.note_running()?;
        report.segments = engine.segments.len();
        report.rooms = engine.writers.len();
        report.records = engine.shared.stats().records;
        tell(&report);
        Ok((engine, report))
    }

    /// Notes whether what is confirmed from here on is flushed each time.
    fn note_running(&self) -> Result<(), StoreError> {
        let noted = match self.config.flush {
            Flush::Always => running::forget(&*self.disk),
            Flush::Interval(_) => running::note(&*self.disk),
        };
        noted.map_err(|e| unavailable("how the log is flushed could not be noted", e))
    }

    /// Takes the rooms in, and goes on in the last segment if nothing is wrong with it.
    fn settle_in(
        &mut self,
        assembly: Assembly,
        survey: &Survey,
        parts: Option<(usize, Vec<ScanPart>)>,
    ) -> Result<(), StoreError> {
        self.segments = assembly.segments;
        for room in assembly.rooms {
            let w = self.add_writer(room.room);
            self.writers[w].published = true;
            self.writers[w].sources = room.dedup;
        }
        let Some((last, parts)) = parts else { return self.roll() };
        let found = &survey.segments[last];
        let cannot = |e: io::Error| unavailable("the last segment of the log cannot be opened", e);
        let file = self.disk.open(&segment_path(found.id, 0)).map_err(cannot)?;
        let segment = self.segments[&found.id].clone();
        self.shared.keep_data(&segment, file.clone());
        let rooms = parts.iter().map(|p| p.number + 1).max().unwrap_or(0);
        let mut introduced = Vec::new();
        for p in parts {
            introduced.push(self.resume(p, &segment));
        }
        let len = found.header.map_or(self.config.segment_bytes, |h| h.file_len);
        self.active =
            Some(super::Active { segment, file, len, rooms, introduced, failed: false, unsynced: false });
        self.confirmed.write(self.tail).and_then(|()| self.confirmed.sync()).map_err(cannot)
    }

    fn resume(&mut self, p: ScanPart, segment: &Arc<Segment>) -> usize {
        let w = self.writer(&p.part.key);
        let writer = &mut self.writers[w];
        writer.number = Some(p.number);
        writer.fresh = p.dedup;
        let mut view = writer.room.view();
        let totals = p.part.channels.iter().map(|c| view.totals.place(&c.name)).collect();
        view.active = Some(ActivePart { segment: segment.clone(), part: p.part, totals });
        drop(view);
        w
    }

    /// Writes the new epochs down, so that the next opening finds them and draws no others.
    fn announce(&mut self, rooms: &[RoomKey]) -> Result<(), StoreError> {
        if !rooms.is_empty() && self.active.is_some() {
            // A segment that is resumed has parts of these rooms already, and each room has one part of a segment.
            self.roll()?;
        }
        for key in rooms {
            self.ready()?;
            let w = self.by_key[key];
            let mut names = Vec::new();
            put_room(&mut names, key, &self.writers[w].lineage);
            let needed = (self.block.bytes.len() + BLOCK + entry_bytes(names.len()) + 8) as u64;
            let left = self.active.as_ref().map_or(0, |active| active.len.saturating_sub(self.tail.end));
            if needed > left {
                self.write_announcement(true)?;
            }
            if self.block.bytes.is_empty() {
                self.begin_block();
            }
            let writer = &mut self.writers[w];
            let Some(active) = &mut self.active else { continue };
            let number = active.rooms;
            let words = EntryWords {
                kind: EntryKind::Room,
                room: number,
                block: self.tail.block + 1,
                offset: writer.next,
            };
            put_entry(&mut self.block.bytes, words, active.segment.seed, |out| {
                out.extend_from_slice(&names);
            });
            self.block.entries += 1;
            writer.number = Some(number);
            active.rooms += 1;
            active.introduced.push(w);
            self.block.introduced.push(w);
            let left = active.len.saturating_sub(self.tail.end);
            if self.block.bytes.len() as u64 * 2 > left.min(self.config.block_bytes as u64) {
                self.write_announcement(true)?;
            }
        }
        self.write_announcement(false)
    }

    fn write_announcement(&mut self, full: bool) -> Result<(), StoreError> {
        if self.block.entries > 0 {
            self.write_block().map_err(|e| unavailable("the log could not be written", e))?;
            if let Some(active) = &self.active {
                active.file.sync_data().map_err(|e| unavailable("the log could not be flushed", e))?;
            }
            self.echo = std::mem::take(&mut self.block.introduced);
        }
        self.drop_block();
        if full { self.roll() } else { Ok(()) }
    }
}

/// Opens the journal; one that is damaged is begun anew, with what may be missing written down as damaged, so that the
/// next opening knows of it too.
fn open_journal(
    disk: &Arc<dyn Disk>,
    log_id: u64,
    survey: &mut Survey,
    rooms: &BTreeMap<RoomKey, Merged>,
) -> io::Result<TrimJournal> {
    let mut journal = TrimJournal::open(disk.clone(), log_id, survey.journal)?;
    if !survey.journal.harmed && !survey.interrupted {
        return Ok(journal);
    }
    if survey.interrupted {
        tracing::warn!("the machine stopped while `log.flush` was an interval: the last moments may be lost");
    }
    survey.trims.lost = survey.trims.lost.max(lost_with_journal(survey)).max(unflushed(survey));
    journal.state = std::mem::take(&mut survey.trims);
    let damaged = rooms.iter().flat_map(|(key, room)| room.damaged.iter().map(move |d| (key, d)));
    let trims: Vec<Trim<'_>> = damaged.map(|(key, (from, to))| Trim::Damaged(key, *from, *to)).collect();
    if let Err(error) = journal.mend(&trims) {
        tracing::warn!(%error, "the trim journal is damaged and could not be made anew");
    }
    survey.trims = std::mem::take(&mut journal.state);
    Ok(journal)
}

fn taken(disk: &dyn Disk, pid: Option<u32>) -> StoreError {
    let who = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    StoreError::new(StoreErrorKind::Refused, format!("another Arqon is using {}{who}", disk.name()))
}

/// Keeps files that cannot be told from those of another log out of the way, as evidence.
fn set_aside(disk: &dyn Disk, files: &[String]) -> io::Result<()> {
    for path in files {
        disk.rename(path, &format!("{path}.unknown"))?;
    }
    if files.is_empty() { Ok(()) } else { disk.sync_dir("log") }
}

/// Makes durable what a process that was killed may have left with the kernel only: a block that was written and not
/// flushed. From here on it counts as confirmed.
fn settle_what_was_found(disk: &dyn Disk, survey: &Survey) -> io::Result<()> {
    let Some(found) = survey.segments.last().filter(|found| found.present) else { return Ok(()) };
    let file = disk.open(&segment_path(found.id, found.generation))?;
    let noted = survey.confirmed.filter(|noted| noted.tail.segment == found.id);
    write_again(&*file, noted.map_or(0, |noted| noted.tail.end)..found.tail.end)?;
    file.sync_data()
}

/// Writes what is there once more. After a flush that failed, the kernel takes what it could not write for written: the
/// next flush says that all is well and writes nothing of it, and later it is gone.
fn write_again(file: &dyn DiskFile, range: Range<u64>) -> io::Result<()> {
    const AT_ONCE: u64 = 256 << 10;
    let mut at = range.start;
    while at < range.end {
        let mut bytes = vec![0; (range.end - at).min(AT_ONCE) as usize];
        let n = file.read_at(&mut bytes, at)?;
        if n == 0 {
            return Ok(());
        }
        file.write_at(&bytes[..n], at)?;
        at += n as u64;
    }
    Ok(())
}

/// Zeros what an unfinished block left behind: nothing in it was confirmed, and nothing of it may be found later.
fn cut_torn_tail(disk: &dyn Disk, survey: &Survey) -> io::Result<Option<(u64, u64)>> {
    let Some(found) = survey.segments.last().filter(|f| f.is_sound()) else { return Ok(None) };
    let Some((from, to)) = found.torn else { return Ok(None) };
    let file = disk.open(&segment_path(found.id, found.generation))?;
    let zeros = vec![0; 1 << 20];
    let mut at = from;
    while at < to {
        let n = usize::try_from(to - at).unwrap_or(zeros.len()).min(zeros.len());
        file.write_at(&zeros[..n], at)?;
        at += n as u64;
    }
    file.sync_data()?;
    Ok(Some((found.id, to - from)))
}

fn faults(survey: &Survey) -> Vec<Fault> {
    let mut faults: Vec<Fault> =
        survey.faults.iter().map(|what| Fault { file: "log".to_owned(), what: what.clone() }).collect();
    for found in &survey.segments {
        faults.extend(found.faults());
    }
    faults
}

impl Found {
    /// What is wrong with the segment, for people.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let file = segment_path(self.id, self.generation);
        let say = |what: String| Fault { file: file.clone(), what };
        let mut faults: Vec<Fault> = self.faults.iter().cloned().map(say).collect();
        if self.present {
            faults.extend(
                self.regions
                    .iter()
                    .map(|(from, to)| say(format!("bytes {from} to {to} cannot be read and are fenced off"))),
            );
        }
        for head in &self.heads {
            for (from, to) in &head.damaged {
                faults.push(say(format!("{}: records {from} to {to} are damaged", head.key)));
            }
        }
        faults
    }
}

fn remove_strays(disk: &dyn Disk, survey: &Survey) {
    for path in &survey.strays {
        if let Err(error) = disk.remove(path) {
            tracing::warn!(path, %error, "a file of no use could not be removed");
        }
    }
}

/// The parts of the last segment, if the log can go on in it; its heads then stand for nothing.
fn take_active(survey: &mut Survey) -> Option<(usize, Vec<ScanPart>)> {
    let last = survey.resumed()?;
    Some((last, std::mem::take(&mut survey.segments[last].parts)))
}

fn ghosts(survey: &Survey) -> Vec<Ghost> {
    let ghost = |(id, generation, directory): &(u64, u32, crate::log::sidecar::Directory)| Ghost {
        id: *id,
        generation: *generation,
        max_at: directory.max_at.0,
        bytes: directory.bytes,
    };
    survey.ghosts.iter().map(ghost).collect()
}

fn last_tail(survey: &Survey) -> Tail {
    let confirmed = survey.confirmed.map(|c| c.tail).unwrap_or_default();
    let Some(found) = survey.segments.last() else { return confirmed };
    let mut tail = found.tail;
    // Numbers rise, whatever was lost.
    tail.block = survey.segments.iter().map(|found| found.tail.block).fold(confirmed.block, u64::max);
    tail.end = tail.end.max(PAGE);
    tail
}

fn tell(report: &OpenReport) {
    if let Some((segment, bytes)) = report.torn_tail {
        tracing::warn!(segment, bytes, "a block that was never confirmed was cut from the end of the log");
    }
    for fault in &report.faults {
        tracing::error!(file = fault.file, what = fault.what, "the log is damaged");
    }
    for room in &report.new_epochs {
        tracing::warn!(%room, "the end of a room's history may be lost; it goes on in a new epoch");
    }
    tracing::info!(segments = report.segments, rooms = report.rooms, records = report.records, "log opened");
}

/// Counts what opening found among the numbers of the log.
pub(crate) fn count_disk(shared: &Shared, survey: &Survey) {
    let ghosts: u64 = survey.ghosts.iter().map(|(.., directory)| directory.bytes).sum();
    let bytes = survey.segments.iter().map(|f| f.disk_bytes).sum::<u64>() + ghosts;
    shared.counters.disk_bytes.store(bytes, Relaxed);
}
