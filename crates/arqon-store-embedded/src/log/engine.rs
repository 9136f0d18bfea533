//! The engine of the log: takes batches, encodes them into one block, writes it, flushes it, and only then lets anybody
//! know. It has no thread and no clock of its own, so that a simulation can drive it.
//!
//! Invariant: what `commit` answers as stored is durable, and in the views of its readers; what it answers as
//! `Unavailable` will never appear.

mod house;
mod open;
mod retain;
mod roll;
mod seal;
mod stage;

pub(crate) use open::count_disk;
pub use open::{Fault, OpenReport};
pub use retain::Progress;
pub(crate) use roll::Spare;
pub(crate) use seal::{SidecarDone, SidecarJob};

use super::confirmed::ConfirmedFile;
use super::dedup::{DedupLimits, PartDedup, RoomDedup};
use super::format::{BLOCK, BlockHeader, Tail};
use super::held::Held;
use super::lineage::Lineage;
use super::part::Slot;
use super::room::{ActivePart, Room, Segment};
use super::running;
use super::shared::{Shared, unavailable};
use super::sidecar::DedupSource;
use super::trims::TrimJournal;
use super::{Flush, LogConfig};
use crate::disk::{Disk, DiskFile};
use arqon_core::env::{Clock, Random};
use arqon_core::hash::Map;
use arqon_core::port::{Append, Appended, StoreError, StoreErrorKind};
use arqon_core::{Message, Record, RoomKey};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The answer to a batch: as `Log::append` answers.
pub type BatchResult = Result<Vec<Result<Appended, StoreError>>, StoreError>;

/// After a failure the disk is left alone for this long at first, then longer.
const BACK_OFF: Duration = Duration::from_millis(50);
const BACK_OFF_MOST: Duration = Duration::from_secs(2);

/// Whoever uses the log has this file locked.
pub(crate) const LOCK: &str = "lock";
/// A file that is given up when the disk is full, so that what was trimmed can be written down.
const RESERVE: &str = "log/reserve";

/// A room as the engine writes it.
pub(crate) struct Writer {
    pub room: Arc<Room>,
    /// Whether readers can find it: from its first durable record on.
    published: bool,
    lineage: Lineage,
    /// The offset of the next record, counting what is staged.
    next: u64,
    /// Its number in the segment that is being written.
    number: Option<u32>,
    /// What was stored before; loaded at the first message that needs it.
    dedup: Option<Box<RoomDedup>>,
    /// What the segment that is being written adds to that.
    fresh: PartDedup,
    /// Where the rest of it is, oldest first.
    sources: Vec<(Arc<Segment>, DedupSource)>,
}

/// The segment that is being written.
struct Active {
    segment: Arc<Segment>,
    file: Arc<dyn DiskFile>,
    len: u64,
    /// How many rooms were introduced in it.
    rooms: u32,
    /// The writers that were.
    introduced: Vec<usize>,
    /// A write or a flush failed in it: nothing is ever written to it again.
    failed: bool,
    /// Written and not flushed (only with `Flush::Interval`).
    unsynced: bool,
}

struct Staged {
    writer: usize,
    offset: u64,
    pos: u64,
    len: u32,
    message: Arc<Message>,
}

/// The block that is being filled.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    entries: u32,
    staged: Vec<Staged>,
    /// Rooms that were introduced in it.
    introduced: Vec<usize>,
}

/// The log's writing side.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    pub(crate) config: LogConfig,
    /// The end of what is durable.
    tail: Tail,
    active: Option<Active>,
    pub(crate) segments: BTreeMap<u64, Arc<Segment>>,
    writers: Vec<Writer>,
    by_key: Map<Arc<RoomKey>, usize>,
    block: Block,
    /// What was refused for the moment, and holds back what follows it.
    held: Held,
    /// Rooms whose introduction is written a second time at the head of the next block, so that one damaged place does
    /// not make all their records nameless.
    echo: Vec<usize>,
    confirmed: ConfirmedFile,
    pub(crate) trims: TrimJournal,
    ghosts: Vec<house::Ghost>,
    /// How many records may lie in what cannot be read: a room that nobody remembers may have had its past there.
    nameless: u64,
    /// With `Flush::Interval`: a flush failed, so that something may be missing at the next opening.
    unsure: bool,
    /// Segments that were rewritten, or could not be, in the form that they had.
    hopeless: BTreeSet<(u64, u32)>,
    /// Whether the reserve is there.
    reserved: bool,
    /// Whether something was trimmed since the house was last looked after.
    trimmed: bool,
    /// Whether a segment may have become worth rewriting.
    sparse: bool,
    retry_at: Duration,
    back_off: Duration,
    synced_at: Duration,
    /// A segment file made ahead of need.
    pub(crate) spare: Arc<roll::Spare>,
    /// The segment during which a spare was asked for, and up to where.
    asked_spare: (u64, u64),
    /// Sidecars that nobody has begun to write.
    sidecars: VecDeque<SidecarJob>,
    /// The segments whose sidecars are not written yet, begun or not.
    unsettled: BTreeSet<u64>,
    rested_at: Duration,
    _lock: Box<dyn Any + Send + Sync>,
}

/// What became of the batches of one commit so far.
struct Answers<'a> {
    batches: &'a [Vec<Append>],
    /// Batches that have failed since producers were last held back.
    refused: Vec<usize>,
    entries: Vec<Vec<Option<Result<Appended, StoreError>>>>,
    failed: Vec<Option<StoreError>>,
    /// Entries whose block is not durable yet.
    pending: Vec<(usize, usize, Appended)>,
    records: Vec<Arc<Record>>,
}

/// Who hears of records that have become durable.
type Told<'a> = &'a dyn Fn(&[Arc<Record>]);

impl<'a> Answers<'a> {
    fn new(batches: &'a [Vec<Append>]) -> Self {
        Answers {
            batches,
            refused: Vec::new(),
            entries: batches.iter().map(|batch| vec![None; batch.len()]).collect(),
            failed: vec![None; batches.len()],
            pending: Vec::new(),
            records: Vec::new(),
        }
    }

    fn confirm(&mut self) {
        for (b, i, appended) in self.pending.drain(..) {
            self.entries[b][i] = Some(Ok(appended));
        }
    }

    fn fail(&mut self, error: &StoreError) {
        let batches: Vec<usize> = self.pending.drain(..).map(|(b, ..)| b).collect();
        batches.into_iter().for_each(|b| self.fail_batch(b, error));
    }

    fn fail_batch(&mut self, b: usize, error: &StoreError) {
        if self.failed[b].is_some() {
            return;
        }
        let applied = self.entries[b].iter().flatten().any(|e| e.as_ref().is_ok_and(|a| !a.duplicate));
        let mut error = error.clone();
        if applied {
            // A batch larger than a block: its first part is stored.
            error.kind = StoreErrorKind::Unknown;
        }
        self.failed[b] = Some(error);
        self.refused.push(b);
    }

    fn finish(self) -> Vec<BatchResult> {
        let missing = || Err(StoreError::new(StoreErrorKind::Unknown, "the log did not come to this entry"));
        let whole = |(entries, failed): (Vec<Option<_>>, Option<StoreError>)| match failed {
            Some(error) => Err(error),
            None => Ok(entries.into_iter().map(|entry| entry.unwrap_or_else(missing)).collect()),
        };
        self.entries.into_iter().zip(self.failed).map(whole).collect()
    }
}

impl Engine {
    /// Stores batches, in order; `told` hears of each block's records once they are durable. Answers in order.
    pub fn commit(&mut self, batches: &[Vec<Append>], told: Told<'_>) -> Vec<BatchResult> {
        let mut answers = Answers::new(batches);
        if !self.held.is_empty() {
            self.held.expire(self.clock.monotonic());
        }
        if let Some(trouble) = self.shared.trouble()
            && self.clock.monotonic() < self.retry_at
        {
            (0..batches.len()).for_each(|b| answers.fail_batch(b, &trouble));
            self.hold(&mut answers);
            return answers.finish();
        }
        for (b, batch) in batches.iter().enumerate() {
            for (i, append) in batch.iter().enumerate() {
                if answers.failed[b].is_none() {
                    self.take(append, (b, i), (&mut answers, told));
                }
            }
        }
        self.flush(&mut answers, told);
        answers.finish()
    }

    fn take(&mut self, append: &Append, at: (usize, usize), to: (&mut Answers<'_>, Told<'_>)) {
        let (answers, told) = to;
        // At most: flush what waits, then begin a new segment, then stage.
        for _ in 0..3 {
            if let Err(error) = self.ready() {
                answers.fail_batch(at.0, &error);
                return self.hold(answers);
            }
            match self.stage(append) {
                stage::Stage::Pending(appended) => return answers.pending.push((at.0, at.1, appended)),
                stage::Stage::Done(result) => return answers.entries[at.0][at.1] = Some(result),
                stage::Stage::BlockFull => self.flush(answers, told),
                stage::Stage::SegmentFull => {
                    if let Err(error) = self.roll() {
                        answers.fail_batch(at.0, &error);
                        return self.hold(answers);
                    }
                }
            }
            if answers.failed[at.0].is_some() {
                return;
            }
        }
        let error = StoreError::new(StoreErrorKind::Refused, "the record does not fit into a segment");
        answers.entries[at.0][at.1] = Some(Err(error));
    }

    /// Makes the staged block durable, shows it to readers, tells of it, and settles what waits for it.
    fn flush(&mut self, answers: &mut Answers<'_>, told: Told<'_>) {
        if self.block.staged.is_empty() {
            // Nothing but duplicates of what is durable.
            self.drop_block();
            answers.confirm();
            return;
        }
        match self.write_block() {
            Ok(()) => {
                self.apply(&mut answers.records);
                self.succeeded();
                told(&answers.records);
                answers.records.clear();
                answers.confirm();
            }
            Err(error) => {
                self.undo();
                let error = self.failed(error);
                answers.fail(&error);
                self.hold(answers);
            }
        }
    }

    /// Remembers what has just been refused for the moment, before anything that was sent behind it is looked at.
    fn hold(&mut self, answers: &mut Answers<'_>) {
        let now = self.clock.monotonic();
        for b in answers.refused.drain(..) {
            for (append, entry) in answers.batches[b].iter().zip(&answers.entries[b]) {
                if entry.is_none() {
                    self.held.refuse(append, now);
                }
            }
        }
    }

    /// Remembers what was refused before it came here.
    pub(crate) fn hold_noted(&mut self, noted: Held) {
        self.held.absorb(noted, self.clock.monotonic());
    }

    fn write_block(&mut self) -> std::io::Result<()> {
        let Some(active) = &mut self.active else { return Err(std::io::Error::other("no segment is open")) };
        let header = BlockHeader {
            number: self.tail.block + 1,
            len: (self.block.bytes.len() - BLOCK) as u32,
            count: self.block.entries,
            chain: self.tail.chain,
            at: self.clock.now(),
        };
        let (bytes, crc) = header.bytes(active.segment.seed);
        self.block.bytes[..BLOCK].copy_from_slice(&bytes);
        let sync = match self.config.flush {
            Flush::Always => {
                active.file.append_at(&self.block.bytes, self.tail.end)?;
                true
            }
            Flush::Interval(every) => {
                active.file.write_at(&self.block.bytes, self.tail.end)?;
                self.clock.monotonic().saturating_sub(self.synced_at) >= every
            }
        };
        if sync {
            active.file.sync_data()?;
            self.synced_at = self.clock.monotonic();
        }
        active.unsynced = !sync;
        let end = self.tail.end + self.block.bytes.len() as u64;
        self.tail = Tail { segment: active.segment.id, end, block: header.number, chain: crc };
        active.segment.used.store(end, Relaxed);
        self.shared.counters.flushes.fetch_add(1, Relaxed);
        if let Err(error) = self.confirmed.write(self.tail) {
            // It says less than is true now, which costs nothing but certainty about the last block after a crash.
            tracing::warn!(%error, "the confirmed end could not be noted");
        }
        Ok(())
    }

    /// Shows a durable block to readers.
    fn apply(&mut self, records: &mut Vec<Arc<Record>>) {
        let Some(active) = &self.active else { return };
        let segment = &active.segment;
        let staged = std::mem::take(&mut self.block.staged);
        let (mut bytes, mut max_at) = (0, segment.max_at.load(Relaxed));
        for group in staged.chunk_by(|a, b| a.writer == b.writer) {
            let writer = &mut self.writers[group[0].writer];
            let epoch = writer.lineage.current().epoch;
            let mut view = writer.room.view();
            for s in group {
                let number = number_in(&mut view, segment, (&writer.room.key, &writer.lineage), s);
                let slot = Slot { pos: s.pos as u32, len: s.len, channel: number, at: s.message.stored_at };
                view.push(s.offset, slot);
                bytes += slot.bytes();
                max_at = max_at.max(s.message.stored_at.0);
                let position = arqon_core::Position::new(epoch, s.offset);
                records.push(Arc::new(Record::new(writer.room.key.clone(), position, s.message.clone())));
            }
            drop(view);
            if !writer.published {
                writer.published = true;
                self.shared.add_room(writer.room.clone());
            }
        }
        segment.live_records.fetch_add(staged.len() as u64, Relaxed);
        segment.live_bytes.fetch_add(bytes, Relaxed);
        segment.max_at.store(max_at, Relaxed);
        self.shared.counters.records.fetch_add(staged.len() as u64, Relaxed);
        self.remember(&staged);
        self.echo = std::mem::take(&mut self.block.introduced);
        self.block.staged = staged;
        self.block.staged.clear();
        self.drop_block();
    }

    /// What deduplication needs to know of durable records.
    fn remember(&mut self, staged: &[Staged]) {
        let limits = self.dedup_limits();
        for s in staged.iter().filter(|s| s.message.extras.is_some()) {
            let writer = &mut self.writers[s.writer];
            writer.fresh.add(&s.message, s.offset);
            let Some(dedup) = &mut writer.dedup else { continue };
            if let Some(producer) = s.message.producer() {
                dedup.settle_producer(&producer.id);
            }
            let early = dedup.settle(s.message.stored_at, limits);
            if early > 0 {
                self.shared.counters.evicted_keys.fetch_add(early, Relaxed);
            }
        }
    }

    fn dedup_limits(&self) -> DedupLimits {
        DedupLimits { keys: self.config.keys_per_room, producers: self.config.producers_per_room }
    }

    /// Takes a block back that did not become durable.
    fn undo(&mut self) {
        while let Some(s) = self.block.staged.pop() {
            let writer = &mut self.writers[s.writer];
            writer.next = s.offset;
            if let Some(dedup) = &mut writer.dedup {
                dedup.undo(&s.message);
            }
        }
        self.drop_block();
        if let Some(active) = &mut self.active {
            // What the kernel holds of its pages is unknown from here on; a second flush would prove nothing.
            active.failed = true;
        }
    }

    fn drop_block(&mut self) {
        self.block.bytes.clear();
        self.block.entries = 0;
        self.block.introduced.clear();
    }

    /// After a block failed: a new segment says that it is void. If that cannot be written either, it may come back.
    fn failed(&mut self, error: std::io::Error) -> StoreError {
        let error = unavailable("the log could not be written", error);
        tracing::error!(error = %error, source = ?error.source, "a block could not be written; going on in a new segment");
        match self.roll() {
            Ok(()) => error,
            Err(_) => StoreError { kind: StoreErrorKind::Unknown, ..error },
        }
    }

    fn succeeded(&mut self) {
        if self.back_off > Duration::ZERO {
            self.back_off = Duration::ZERO;
            self.shared.set_trouble(None);
            tracing::info!("the log can be written again");
        }
    }

    fn trouble(&mut self, error: &StoreError) {
        self.back_off = (self.back_off * 2).clamp(BACK_OFF, BACK_OFF_MOST);
        self.retry_at = self.clock.monotonic() + self.back_off;
        self.shared.set_trouble(Some(error.clone()));
    }

    /// Makes sure that there is a segment to write to.
    fn ready(&mut self) -> Result<(), StoreError> {
        if self.active.as_ref().is_some_and(|active| !active.failed) { Ok(()) } else { self.roll() }
    }

    /// Whether something failed and has not worked since.
    pub fn is_troubled(&self) -> bool {
        self.back_off > Duration::ZERO
    }

    /// Tries again what failed, so that the log comes back without waiting for an append.
    pub fn probe(&mut self) {
        if self.is_troubled() && self.clock.monotonic() >= self.retry_at && self.ready().is_ok() {
            self.succeeded();
        }
    }

    /// With `Flush::Interval`: flushes what was written, if it is time (or at once).
    pub fn sync(&mut self, now: bool) {
        let Flush::Interval(every) = self.config.flush else { return };
        let due = now || self.clock.monotonic().saturating_sub(self.synced_at) >= every;
        let Some(active) = self.active.as_mut().filter(|a| due && a.unsynced && !a.failed) else { return };
        let result = active.file.sync_data();
        active.unsynced = false;
        self.synced_at = self.clock.monotonic();
        if let Err(e) = result {
            active.failed = true;
            let error = unavailable("the log could not be flushed", e);
            tracing::error!(error = %error, "a flush failed; the last interval may be lost");
            self.unsure = true;
            if let Err(error) = running::doubt(&*self.disk) {
                tracing::warn!(%error, "that the end of the log may be missing could not be noted");
            }
            if self.roll().is_err() {
                self.trouble(&error);
            }
        }
    }

    /// Makes everything durable; nothing is appended afterwards.
    pub fn close(&mut self) -> Result<(), StoreError> {
        self.sync(true);
        while self.write_sidecar() {}
        let noted = self.confirmed.write(self.tail).and_then(|()| self.confirmed.sync());
        let synced = noted.and_then(|()| self.trims.sync());
        let forgotten = synced.and_then(|()| if self.unsure { Ok(()) } else { running::forget(&*self.disk) });
        forgotten.map_err(|e| unavailable("the log could not be closed", e))
    }
}

/// The number of a record's channel in the room's active part, which is made if this is the room's first record in it.
fn number_in(
    view: &mut super::room::RoomView,
    segment: &Arc<Segment>,
    room: (&Arc<RoomKey>, &Lineage),
    staged: &Staged,
) -> u32 {
    let super::room::RoomView { active, totals, .. } = view;
    let active = active.get_or_insert_with(|| {
        let mut part = super::part::Part::new(room.0.clone(), room.1.clone(), staged.offset);
        part.first_pos = staged.pos;
        ActivePart::new(segment.clone(), part)
    });
    active.number(totals, &staged.message.address.channel)
}
