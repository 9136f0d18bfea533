//! Begins segments.
//!
//! Invariant: a segment's header says where the log stood before it, so what a failed write may have left behind that
//! point is void. The new segment is durable before anything is written to it.

use super::{Active, Engine};
use crate::disk::{Disk, DiskFile};
use crate::log::format::{PAGE, SegmentHeader, Tail, seed, segment_path};
use crate::log::room::Segment;
use crate::log::shared::unavailable;
use arqon_core::port::StoreError;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much of a segment that is made ahead is made at a time: little enough that a flush beside it waits for little.
const SLICE: u64 = 2 << 20;

/// A segment file without a number.
struct Blank {
    file: Arc<dyn DiskFile>,
    path: String,
    len: u64,
    /// How far it is made.
    made: u64,
}

impl Blank {
    /// Makes a little more of it, at most up to `to`; answers whether it is whole.
    fn grow(&mut self, to: u64) -> io::Result<bool> {
        if self.made < self.len {
            let to = to.min(self.made + SLICE).min(self.len);
            self.made = self.file.preallocate_part(self.made, to, self.len)?;
        }
        Ok(self.made >= self.len)
    }
}

#[derive(Default)]
struct SpareState {
    blank: Option<Blank>,
    /// It could not be made: not tried again until the segment is needed.
    given_up: bool,
}

/// A blank made ahead by another thread, so that beginning a segment does not wait for its zeros to be written.
#[derive(Default)]
pub(crate) struct Spare {
    state: Mutex<SpareState>,
    /// Each blank has a name of its own: one that was taken keeps its name until it gets its number.
    names: AtomicU64,
}

impl Spare {
    fn lock(&self) -> MutexGuard<'_, SpareState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the blank up to `to` at least, a slice at a time: who takes it meanwhile waits for one slice at most.
    pub fn prepare(&self, disk: &dyn Disk, to: u64, len: u64) -> io::Result<()> {
        loop {
            let mut state = self.lock();
            if state.given_up || state.blank.as_ref().is_some_and(|blank| blank.made >= to.min(len)) {
                return Ok(());
            }
            let blank = match state.blank.take() {
                Some(blank) => Ok(blank),
                None => self.create(disk, len),
            };
            match blank.and_then(|blank| Self::grown(disk, blank, to)) {
                Ok(blank) => state.blank = Some(blank),
                Err(e) => {
                    state.given_up = true;
                    return Err(e);
                }
            }
        }
    }

    fn take(&self, disk: &dyn Disk, len: u64) -> io::Result<Blank> {
        let mut state = self.lock();
        state.given_up = false;
        let mut blank = match state.blank.take() {
            Some(ready) if ready.len == len => ready,
            _ => self.create(disk, len)?,
        };
        while blank.made < len {
            blank = Self::grown(disk, blank, len)?;
        }
        Ok(blank)
    }

    fn create(&self, disk: &dyn Disk, len: u64) -> io::Result<Blank> {
        let path = format!("log/blank-{}.tmp", self.names.fetch_add(1, Relaxed));
        Ok(Blank { file: disk.create(&path)?, path, len, made: 0 })
    }

    fn grown(disk: &dyn Disk, mut blank: Blank, to: u64) -> io::Result<Blank> {
        match blank.grow(to) {
            Ok(_) => Ok(blank),
            Err(e) => {
                // A half-made file would only take space from what is needed to free some.
                let _ = disk.remove(&blank.path);
                Err(e)
            }
        }
    }
}

impl Engine {
    /// Up to where the next segment should be made now, so that nobody waits for it: twice as fast as this one is used,
    /// from a quarter on. Nothing where that was asked for already.
    pub(crate) fn wants_spare(&mut self) -> Option<u64> {
        let active = self.active.as_ref()?;
        let (asked_in, asked) = self.asked_spare;
        let asked = if asked_in == active.segment.id { asked } else { 0 };
        let used = self.tail.end.checked_sub(active.len / 4)?;
        let to = (used * 2).next_multiple_of(SLICE).clamp(SLICE, self.config.segment_bytes.max(SLICE));
        if to <= asked {
            return None;
        }
        self.asked_spare = (active.segment.id, to);
        Some(to)
    }

    /// Begins a new segment and seals the one before.
    pub(super) fn roll(&mut self) -> Result<(), StoreError> {
        if let Some(trouble) = self.shared.trouble()
            && self.clock.monotonic() < self.retry_at
        {
            return Err(trouble);
        }
        self.begin_segment().map_err(|e| {
            let error = unavailable("no new segment of the log can be made", e);
            if !self.is_troubled() {
                tracing::error!(error = %error, source = ?error.source, "the log refuses appends");
            }
            self.trouble(&error);
            error
        })?;
        self.succeeded();
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        self.sync(true);
        let id = self.segments.keys().next_back().copied().unwrap_or(0).max(self.tail.segment) + 1;
        let len = self.config.segment_bytes;
        let header = SegmentHeader {
            log_id: self.shared.log_id,
            segment: id,
            generation: 0,
            file_len: len,
            created_at: self.clock.now(),
            before: self.tail,
        };
        let Blank { file, path, .. } = self.spare.take(&*self.disk, len)?;
        if let Err(e) = file.write_at(&header.page(), 0).and_then(|()| file.sync_data()) {
            let _ = self.disk.remove(&path);
            return Err(e);
        }
        if let Some(active) = &mut self.active {
            // From the renaming on, a reopening may take the new segment for the one that the log went on in, and what
            // lies behind its `before` for void: nothing more may be written to the old one, whatever becomes of this.
            active.failed = true;
        }
        self.disk.rename(&path, &segment_path(id, 0))?;
        self.disk.sync_dir("log")?;
        self.seal();
        self.tail = Tail { segment: id, end: PAGE, ..self.tail };
        let segment = Arc::new(Segment {
            id,
            generation: 0,
            seed: seed(self.shared.log_id, id),
            created_at: header.created_at,
            used: AtomicU64::new(PAGE),
            disk_bytes: AtomicU64::new(len),
            live_records: AtomicU64::new(0),
            live_bytes: AtomicU64::new(0),
            damaged: AtomicBool::new(false),
            max_at: AtomicU64::new(0),
        });
        self.shared.keep_data(&segment, file.clone());
        self.shared.counters.disk_bytes.fetch_add(len, Relaxed);
        self.segments.insert(id, segment.clone());
        self.active = Some(Active {
            segment,
            file,
            len,
            rooms: 0,
            introduced: Vec::new(),
            failed: false,
            unsynced: false,
        });
        let noted = self.confirmed.write(self.tail).and_then(|()| self.confirmed.sync());
        if let Err(error) = noted {
            tracing::warn!(%error, "the confirmed end could not be noted");
        }
        Ok(())
    }
}
