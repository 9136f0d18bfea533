//! Puts one message into the block that is being filled: room, deduplication, offset, bytes.
//!
//! Invariant: a message that is not staged leaves no trace; what is staged can be taken back by `Engine::undo`.

use super::{Engine, Staged, Writer};
use crate::log::dedup::{KEY_AGE, PartDedup, RoomDedup, Verdict};
use crate::log::format::{BLOCK, ENTRY, EntryKind, EntryWords, PAGE, put_entry, put_room};
use crate::log::merge::unheard_of;
use crate::log::room::{Room, RoomView};
use arqon_core::port::{Append, Appended, StoreError, StoreErrorKind};
use arqon_core::{Message, RoomKey, codec};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Room for the introduction of a room, beside the largest record.
const INTRODUCTION: u64 = 1024;

/// What became of a message.
pub(super) enum Stage {
    /// It is in the block (or a duplicate of what is), and counts once the block is durable.
    Pending(Appended),
    /// It is decided without the block.
    Done(Result<Appended, StoreError>),
    /// The block is full: flush it first.
    BlockFull,
    /// The segment is full: begin another one first.
    SegmentFull,
}

impl Engine {
    pub(super) fn stage(&mut self, append: &Append) -> Stage {
        let limits = self.config;
        if self.block.staged.len() >= limits.block_records || self.block.bytes.len() >= limits.block_bytes {
            return Stage::BlockFull;
        }
        let w = self.writer(&append.room);
        let message = &append.message;
        let remembers = message.idempotency_key().is_some() || message.producer().is_some();
        if remembers {
            self.load_dedup(w, message);
            let writer = &mut self.writers[w];
            match writer.dedup.as_mut().map_or(Verdict::New, |dedup| dedup.check(message)) {
                Verdict::New => {
                    if let Some(error) = self.held_back(append) {
                        return Stage::Done(Err(error));
                    }
                }
                Verdict::Duplicate(offset) => {
                    let position = writer.lineage.position(offset);
                    self.settle_held(append);
                    return Stage::Pending(Appended { position, duplicate: true });
                }
                Verdict::Below => {
                    self.settle_held(append);
                    return Stage::Done(Err(StoreError::new(
                        StoreErrorKind::Conflict,
                        "the producer's sequence is older than the last 1,024: it cannot be told whether it was stored",
                    )));
                }
            }
        }
        let stage = self.encode(w, message);
        if remembers && let Stage::Pending(appended) = &stage {
            let dedup = self.writers[w].dedup.get_or_insert_default();
            dedup.stage(message, appended.position.offset);
        }
        if matches!(stage, Stage::Pending(_) | Stage::Done(_)) {
            self.settle_held(append);
        }
        stage
    }

    /// Why a message must wait for an earlier one of its producer that was refused for the moment.
    fn held_back(&mut self, append: &Append) -> Option<StoreError> {
        if self.held.is_empty() {
            return None;
        }
        self.held.holds(append, self.clock.monotonic())
    }

    /// Nothing waits for this message any more; should its block fail, it is refused anew.
    fn settle_held(&mut self, append: &Append) {
        if !self.held.is_empty() {
            self.held.settle(append, self.clock.monotonic());
        }
    }

    /// The writer of a room, made if the room is new.
    pub(super) fn writer(&mut self, key: &Arc<RoomKey>) -> usize {
        if let Some(last) = self.block.staged.last()
            && Arc::ptr_eq(&self.writers[last.writer].room.key, key)
        {
            return last.writer;
        }
        if let Some(w) = self.by_key.get(key) {
            return *w;
        }
        let (lineage, lost) = unheard_of(self.nameless, || self.random.next_u64());
        let mut view = RoomView::new(lineage);
        view.end = lost;
        view.add_damage(1, lost);
        self.add_writer(Arc::new(Room::new(key.clone(), view)))
    }

    /// Makes a writer of a room that goes on where its view ends.
    pub(super) fn add_writer(&mut self, room: Arc<Room>) -> usize {
        let (lineage, end) = {
            let view = room.view();
            (view.lineage.clone(), view.end)
        };
        let w = self.writers.len();
        self.by_key.insert(room.key.clone(), w);
        self.writers.push(Writer {
            room,
            published: false,
            lineage,
            next: end + 1,
            number: None,
            dedup: None,
            fresh: PartDedup::default(),
            sources: Vec::new(),
        });
        w
    }

    /// The longest body that fits into a segment and is allowed.
    fn body_most(&self) -> usize {
        let room = self.config.segment_bytes.saturating_sub(PAGE + (BLOCK + ENTRY) as u64 + INTRODUCTION);
        self.config.max_record_bytes.min(usize::try_from(room).unwrap_or(usize::MAX))
    }

    fn encode(&mut self, w: usize, message: &Arc<Message>) -> Stage {
        if self.block.bytes.is_empty() {
            self.begin_block();
        }
        let most = self.body_most();
        let Some(active) = &mut self.active else { return Stage::SegmentFull };
        let (mark, entries) = (self.block.bytes.len(), self.block.entries);
        let block = self.tail.block + 1;
        let writer = &mut self.writers[w];
        let offset = writer.next;
        let known = writer.number;
        let number = known.unwrap_or(active.rooms);
        let words = EntryWords { kind: EntryKind::Room, room: number, block, offset };
        if known.is_none() {
            put_entry(&mut self.block.bytes, words, active.segment.seed, |out| {
                put_room(out, &writer.room.key, &writer.lineage);
            });
            self.block.entries += 1;
        }
        let pos = self.tail.end + self.block.bytes.len() as u64;
        let words = EntryWords { kind: EntryKind::Record, ..words };
        let len =
            put_entry(&mut self.block.bytes, words, active.segment.seed, |out| codec::encode(message, out));
        self.block.entries += 1;
        let too_large = len as usize > most;
        if too_large || self.tail.end + self.block.bytes.len() as u64 > active.len {
            self.block.bytes.truncate(mark);
            self.block.entries = entries;
            return match (too_large, self.block.staged.is_empty()) {
                (true, _) => Stage::Done(Err(StoreError::new(
                    StoreErrorKind::Refused,
                    format!("the message takes {len} bytes; at most {most} fit into the log"),
                ))),
                (false, true) => Stage::SegmentFull,
                (false, false) => Stage::BlockFull,
            };
        }
        if known.is_none() {
            writer.number = Some(number);
            active.rooms += 1;
            active.introduced.push(w);
            self.block.introduced.push(w);
        }
        writer.next += 1;
        let position = arqon_core::Position::new(writer.lineage.current().epoch, offset);
        self.block.staged.push(Staged { writer: w, offset, pos, len, message: message.clone() });
        Stage::Pending(Appended { position, duplicate: false })
    }

    /// Begins a block: room for its header, then the second copies of the introductions in the block before.
    pub(super) fn begin_block(&mut self) {
        self.block.bytes.resize(BLOCK, 0);
        let Some(active) = &self.active else { return };
        let left = usize::try_from(active.len.saturating_sub(self.tail.end)).unwrap_or(usize::MAX);
        let (seed, block) = (active.segment.seed, self.tail.block.wrapping_add(1));
        for w in std::mem::take(&mut self.echo) {
            let writer = &self.writers[w];
            let Some(room) = writer.number.filter(|_| self.block.bytes.len() < left / 4) else { continue };
            let words = EntryWords { kind: EntryKind::Room, room, block, offset: writer.next };
            put_entry(&mut self.block.bytes, words, seed, |out| {
                put_room(out, &writer.room.key, &writer.lineage);
            });
            self.block.entries += 1;
        }
    }

    /// Fetches what a room has stored before, at the first message that asks.
    fn load_dedup(&mut self, w: usize, message: &Message) {
        let limits = self.dedup_limits();
        let writer = &mut self.writers[w];
        if writer.dedup.is_some() {
            return;
        }
        let mut dedup = Box::<RoomDedup>::default();
        let young = |at: u64| message.stored_at.0.saturating_sub(at) < KEY_AGE.as_micros() as u64;
        writer.sources.retain(|(segment, _)| young(segment.max_at.load(Relaxed)));
        for (segment, source) in &writer.sources {
            match self.shared.dedup(segment, source, &writer.room.key) {
                Some(part) => dedup.absorb(&part, limits),
                None => tracing::warn!(segment = segment.id, "deduplication data could not be read"),
            }
        }
        dedup.absorb(&writer.fresh, limits);
        writer.dedup = Some(dedup);
    }
}
