//! Gives space back: deletes segments in which nothing is kept, and has those rewritten that are mostly dead.
//!
//! Invariant: a file is deleted only after the journal says durably that it was; a damaged segment is never rewritten.

use super::retain::Progress;
use super::{Engine, RESERVE};
use crate::log::compact::{Compacted, Compaction};
use crate::log::dedup::KEY_AGE;
use crate::log::format::{PAGE, segment_path, sidecar_path};
use crate::log::room::{Room, Run, Segment};
use crate::log::shared::unavailable;
use crate::log::sidecar::DedupSource;
use crate::log::trims::{Grave, Trim};
use arqon_core::port::StoreError;
use arqon_core::{RoomKey, Timestamp};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What is put by so that trimming can be written down on a full disk.
const RESERVE_BYTES: u64 = 256 << 10;
/// How often the rest is done.
const REST: Duration = Duration::from_secs(10);
/// How long a damaged segment is kept when nothing in it is of use any more: the time that rooms keep their messages
/// when no rule says otherwise.
const EVIDENCE_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Rooms looked at under one lock.
const ROOMS: usize = 1024;

/// The sidecar of a deleted segment, kept for deduplication until it is a day old.
pub(crate) struct Ghost {
    pub id: u64,
    pub generation: u32,
    pub max_at: u64,
    pub bytes: u64,
}

impl Engine {
    /// Does one piece of housework.
    pub fn house(&mut self) -> Progress {
        if !self.trimmed {
            return Progress::Done;
        }
        let active = self.active.as_ref().map_or(0, |a| a.segment.id);
        let now = self.clock.now();
        let is_dead = |s: &&Arc<Segment>| {
            s.id != active && s.live_records.load(Relaxed) == 0 && !self.is_evidence(s, now)
        };
        let free =
            |s: &&Arc<Segment>| is_dead(s) && !self.is_under_way(s.id) && !self.is_end_of_another(s.id);
        let dead = self.segments.values().find(free).cloned();
        let Some(dead) = dead else {
            self.trimmed = false;
            return Progress::Done;
        };
        // Its sidecar is what remembers messages that were stored once.
        while self.unsettled.contains(&dead.id) && self.write_sidecar() {}
        if let Err(error) = self.delete(&dead) {
            tracing::warn!(segment = dead.id, %error, "a segment could not be deleted");
            self.trimmed = false;
            return Progress::Done;
        }
        Progress::More
    }

    /// Whether somebody is writing the sidecar of a segment at this moment.
    fn is_under_way(&self, segment: u64) -> bool {
        self.unsettled.contains(&segment) && !self.sidecars.iter().any(|job| job.is_of(segment))
    }

    /// Whether a segment alone knows where the one before it ends: the other one's sidecar, which says it too, could not
    /// be written. Without either, what a failed write left behind that end would pass for something confirmed.
    fn is_end_of_another(&self, id: u64) -> bool {
        let before = id.checked_sub(1).and_then(|before| self.segments.get(&before));
        before.is_some_and(|s| {
            s.generation == 0
                && self.disk.open(&sidecar_path(s.id, 0)).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
        })
    }

    /// Whether a segment is kept although nothing in it can be served: it is damaged, and people, offline checks and
    /// readers of rooms that nobody remembers must be able to learn of that.
    fn is_evidence(&self, segment: &Segment, now: Timestamp) -> bool {
        if !segment.damaged.load(Relaxed) {
            return false;
        }
        // A header that cannot be read has no time; the segment behind it was made later than it.
        let times = self.segments.range(segment.id..).map(|(_, s)| s.created_at);
        let made = times.into_iter().find(|at| *at > Timestamp(0)).unwrap_or(now);
        now.since(made) < EVIDENCE_AGE
    }

    /// Whether `house` has something to look at.
    pub fn has_housework(&self) -> bool {
        self.trimmed
    }

    /// What is to be done now and then.
    pub fn rest(&mut self) {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.rested_at) < REST {
            return;
        }
        self.rested_at = now;
        if let Err(error) = self.confirmed.sync() {
            tracing::warn!(%error, "the confirmed end could not be made durable");
        }
        let now = self.clock.now().0;
        let old = |at: u64| now.saturating_sub(at) >= KEY_AGE.as_micros() as u64;
        let (gone, kept) = std::mem::take(&mut self.ghosts).into_iter().partition(|g| old(g.max_at));
        self.ghosts = kept;
        for ghost in gone {
            self.remove_file(&sidecar_path(ghost.id, ghost.generation), ghost.bytes);
        }
        if !self.reserved && !self.is_troubled() {
            self.reserved = self.reserve().is_ok();
        }
    }

    fn reserve(&self) -> io::Result<()> {
        if self.disk.open(RESERVE).and_then(|file| file.size()).is_ok_and(|size| size == RESERVE_BYTES) {
            return Ok(());
        }
        let file = self.disk.create(RESERVE)?;
        file.preallocate(RESERVE_BYTES).inspect_err(|_| {
            // Half a reserve is none.
            let _ = self.disk.remove(RESERVE);
        })
    }

    pub(super) fn remove_file(&self, path: &str, bytes: u64) {
        match self.disk.remove(path) {
            Ok(()) => {
                self.shared.counters.disk_bytes.fetch_sub(bytes, Relaxed);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(path, %error, "a file of no use could not be removed"),
        }
    }

    fn delete(&mut self, segment: &Arc<Segment>) -> Result<(), StoreError> {
        let mut graves: Vec<(Arc<RoomKey>, Grave)> = Vec::new();
        let mut damaged: Vec<(Arc<RoomKey>, u64, u64)> = Vec::new();
        let as_of = self.tail.segment;
        let note_damage = segment.damaged.load(Relaxed);
        self.each_room(&mut |room| {
            let view = room.view();
            let last = view.runs.last().map_or(0, |run| run.segment.id);
            if last <= segment.id && view.active.is_none() {
                let grave = Grave { lineage: view.lineage.clone(), end: view.end, as_of };
                graves.push((room.key.clone(), grave));
            }
            if note_damage {
                let kept = view.damaged.iter().filter(|d| d.1 > view.floor);
                damaged.extend(kept.map(|d| (room.key.clone(), d.0, d.1)));
            }
        });
        // A grave that the journal has already says nothing new.
        let known = |key: &RoomKey, grave: &Grave| {
            let kept = self.trims.state.rooms.get(key).and_then(|trim| trim.grave.as_ref());
            kept.is_some_and(|k| k.end == grave.end && k.lineage == grave.lineage && k.as_of > segment.id)
        };
        graves.retain(|(key, grave)| !known(key, grave));
        let mut trims: Vec<Trim<'_>> = graves.iter().map(|(key, grave)| Trim::Grave(key, grave)).collect();
        trims.extend(damaged.iter().map(|(key, from, to)| Trim::Damaged(key, *from, *to)));
        trims.push(Trim::Removed(segment.id));
        let cannot = |e| unavailable("what was trimmed could not be written down", e);
        self.write_trims(&trims).map_err(cannot)?;
        self.trims.sync().map_err(cannot)?;
        self.each_room(&mut |room| room.view().runs.retain(|run| run.segment.id != segment.id));
        self.segments.remove(&segment.id);
        self.drop_files(segment);
        tracing::debug!(segment = segment.id, "a segment in which nothing was kept was deleted");
        Ok(())
    }

    fn drop_files(&mut self, segment: &Segment) {
        let (id, generation) = (segment.id, segment.generation);
        let all = segment.disk_bytes.load(Relaxed);
        let sidecar = self.disk.open(&sidecar_path(id, generation)).and_then(|f| f.size()).unwrap_or(0);
        self.remove_file(&segment_path(id, generation), all.saturating_sub(sidecar));
        self.shared.forget(id, generation);
        let young =
            self.clock.now().0.saturating_sub(segment.max_at.load(Relaxed)) < KEY_AGE.as_micros() as u64;
        let remembered = self.writers.iter().any(|w| w.sources.iter().any(|(s, _)| s.id == id));
        if young && remembered && sidecar > 0 {
            let max_at = segment.max_at.load(Relaxed);
            self.ghosts.push(Ghost { id, generation, max_at, bytes: sidecar });
        } else {
            self.remove_file(&sidecar_path(id, generation), sidecar);
        }
    }

    fn each_room(&self, visit: &mut dyn FnMut(&Arc<Room>)) {
        let mut after: Option<Arc<RoomKey>> = None;
        loop {
            let rooms = self.shared.rooms_after(after.as_deref(), ROOMS);
            let Some(last) = rooms.last() else { return };
            after = Some(last.key.clone());
            rooms.iter().for_each(&mut *visit);
        }
    }

    /// A segment that is worth rewriting: sealed, whole, and more than half of it dead.
    pub(crate) fn compaction(&mut self) -> Option<Compaction> {
        if !std::mem::take(&mut self.sparse) {
            return None;
        }
        let active = self.active.as_ref()?.segment.id;
        let worth = |s: &&Arc<Segment>| {
            let used = s.used.load(Relaxed).saturating_sub(PAGE);
            s.id != active
                && !self.unsettled.contains(&s.id)
                && !s.damaged.load(Relaxed)
                && s.live_records.load(Relaxed) > 0
                && s.live_bytes.load(Relaxed) * 2 < used
                && !self.hopeless.contains(&(s.id, s.generation))
        };
        let segment = self.segments.values().find(worth)?.clone();
        // There may be another one after it.
        self.sparse = true;
        // Whatever becomes of it, it is not tried twice in the same form.
        self.hopeless.insert((segment.id, segment.generation));
        let journal = self.trims.flusher();
        Some(Compaction { shared: self.shared.clone(), disk: self.disk.clone(), segment, journal })
    }

    /// Rewrites one segment that is worth it, here and now; answers whether there was one.
    pub fn compact(&mut self) -> Result<bool, StoreError> {
        while self.write_sidecar() {}
        let Some(compaction) = self.compaction() else { return Ok(false) };
        let outcome = compaction.run().map_err(|e| unavailable("a segment could not be rewritten", e))?;
        let done = outcome.is_some();
        if let Some(compacted) = outcome {
            self.install(compacted);
        }
        Ok(done)
    }

    /// Puts a rewritten segment in the place of the old one.
    pub(crate) fn install(&mut self, compacted: Compacted) {
        let Compacted { old, segment, directory, parts } = compacted;
        if !self.segments.get(&old.id).is_some_and(|s| Arc::ptr_eq(s, &old)) {
            // It was deleted meanwhile.
            self.remove_file(&segment_path(segment.id, segment.generation), 0);
            self.remove_file(&sidecar_path(segment.id, segment.generation), 0);
            return;
        }
        let (mut live_records, mut live_bytes) = (0, 0);
        for (part, head) in parts.iter().zip(&directory.parts) {
            let Some(room) = self.shared.room(&part.key) else { continue };
            let mut view = room.view();
            let floors: Vec<u64> = part.channels.iter().map(|c| view.floor_of(&c.name)).collect();
            for (offset, slot) in part.slots.from(0) {
                if offset > floors[slot.channel as usize] {
                    live_records += 1;
                    live_bytes += slot.bytes();
                }
            }
            let at = view.runs.iter().position(|run| run.segment.id == old.id);
            match (at, head.records) {
                (Some(at), 0) => drop(view.runs.remove(at)),
                (Some(at), _) => {
                    let (first, last) = (head.first, head.last);
                    view.runs[at] =
                        Run { segment: segment.clone(), source: head.source.clone(), first, last };
                }
                (None, _) => {}
            }
            drop(view);
            self.point_dedup(&part.key, (&old, &segment), head.dedup.clone());
        }
        segment.live_records.store(live_records, Relaxed);
        segment.live_bytes.store(live_bytes, Relaxed);
        self.shared.counters.disk_bytes.fetch_add(segment.disk_bytes.load(Relaxed), Relaxed);
        self.segments.insert(segment.id, segment);
        self.remove_file(&segment_path(old.id, old.generation), old.disk_bytes.load(Relaxed));
        self.remove_file(&sidecar_path(old.id, old.generation), 0);
        self.shared.forget(old.id, old.generation);
        self.trimmed = true;
    }

    fn point_dedup(&mut self, key: &RoomKey, segments: (&Segment, &Arc<Segment>), to: Option<DedupSource>) {
        let Some(w) = self.by_key.get(key) else { return };
        for (segment, source) in &mut self.writers[*w].sources {
            if segment.id == segments.0.id
                && let Some(to) = &to
            {
                *segment = segments.1.clone();
                *source = to.clone();
            }
        }
    }
}
