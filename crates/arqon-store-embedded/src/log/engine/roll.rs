//! Begins segments and seals them.
//!
//! Invariant: a segment's header says where the log stood before it, so what a failed write may have left behind that
//! point is void. The new segment is durable before anything is written to it.

use super::{Active, Engine};
use crate::disk::{Disk, DiskFile};
use crate::log::format::{PAGE, SegmentHeader, Tail, seed, segment_path};
use crate::log::part::Part;
use crate::log::room::Segment;
use crate::log::shared::unavailable;
use crate::log::sidecar::{
    self, Contents, DedupSource, Directory, Identity, PartContents, PartHead, Section, Source,
};
use arqon_core::port::StoreError;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

/// A segment file without a number.
struct Blank {
    file: Arc<dyn DiskFile>,
    path: String,
    len: u64,
}

/// A blank made ahead by another thread, so that beginning a segment does not wait for its zeros to be written.
#[derive(Default)]
pub(crate) struct Spare {
    blank: Mutex<Option<Blank>>,
    /// Each blank has a name of its own: one that was taken keeps its name until it gets its number.
    made: AtomicU64,
}

impl Spare {
    /// Makes one unless there is one.
    pub fn prepare(&self, disk: &dyn Disk, len: u64) -> io::Result<()> {
        let mut blank = self.blank.lock().unwrap_or_else(PoisonError::into_inner);
        if blank.is_none() {
            *blank = Some(self.create(disk, len)?);
        }
        Ok(())
    }

    fn take(&self, disk: &dyn Disk, len: u64) -> io::Result<Blank> {
        let mut blank = self.blank.lock().unwrap_or_else(PoisonError::into_inner);
        match blank.take() {
            Some(ready) if ready.len == len => Ok(ready),
            _ => self.create(disk, len),
        }
    }

    fn create(&self, disk: &dyn Disk, len: u64) -> io::Result<Blank> {
        let path = format!("log/blank-{}.tmp", self.made.fetch_add(1, Relaxed));
        let file = disk.create(&path)?;
        if let Err(e) = file.preallocate(len) {
            // A half-made file would only take space from what is needed to free some.
            let _ = disk.remove(&path);
            return Err(e);
        }
        Ok(Blank { file, path, len })
    }
}

/// What is left of a room's active part while its sidecar is written.
struct Sealed {
    writer: usize,
    part: Part,
    section: Arc<Section>,
}

impl Engine {
    /// Whether the next segment should be made now, so that nobody waits for it: once a quarter of this one is used.
    pub(crate) fn wants_spare(&mut self) -> bool {
        let Some(active) = &self.active else { return false };
        if self.asked_spare == active.segment.id || self.tail.end < active.len / 4 {
            return false;
        }
        self.asked_spare = active.segment.id;
        true
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

    /// Turns the active parts into runs that readers find in memory, writes the sidecar, then points the runs to it.
    fn seal(&mut self) {
        self.drop_block();
        self.echo.clear();
        let Some(active) = self.active.take() else { return };
        let sealed: Vec<Sealed> =
            active.introduced.iter().filter_map(|w| self.close_part(*w, &active.segment)).collect();
        let contents = Contents {
            identity: Identity { log_id: self.shared.log_id, segment: active.segment.id, generation: 0 },
            tail: self.tail,
            created_at: active.segment.created_at,
            regions: &[],
            parts: sealed
                .iter()
                .map(|s| PartContents {
                    part: &s.part,
                    slots: &s.section.slots,
                    dedup: self.writers[s.writer].fresh.encoded(),
                })
                .collect(),
        };
        let written = sidecar::write(&*self.disk, &contents);
        drop(contents);
        match written {
            Ok(directory) => self.point_to(&active.segment, &sealed, directory),
            Err(error) => {
                // Everything stays in memory; the next opening makes the sidecar from the segment.
                tracing::warn!(segment = active.segment.id, %error, "sidecar could not be written");
            }
        }
        for s in &sealed {
            let writer = &mut self.writers[s.writer];
            let fresh = std::mem::take(&mut writer.fresh);
            let told = writer.sources.last().is_some_and(|(segment, _)| segment.id == active.segment.id);
            if !told && !fresh.is_empty() {
                writer.sources.push((active.segment.clone(), DedupSource::Memory(Arc::new(fresh))));
            }
        }
    }

    fn close_part(&mut self, w: usize, segment: &Arc<Segment>) -> Option<Sealed> {
        let writer = &mut self.writers[w];
        writer.number = None;
        let mut view = writer.room.view();
        let mut part = match view.active.take() {
            Some(active) => active.part,
            // It was introduced and has no record: its introduction is all that there is to keep.
            None if writer.published => {
                Part::new(writer.room.key.clone(), view.lineage.clone(), view.end + 1)
            }
            None => return None,
        };
        let slots = std::mem::take(&mut part.slots);
        let channels = part.channels.iter().map(|c| c.name.clone()).collect();
        let section = Arc::new(Section { slots, channels, damaged: false });
        let mut head = PartHead::bare(&part, &section.slots);
        head.source = Source::Memory(section.clone());
        view.add_run(segment, &head);
        view.totals.tidy();
        drop(view);
        Some(Sealed { writer: w, part, section })
    }

    fn point_to(&mut self, segment: &Arc<Segment>, sealed: &[Sealed], directory: Directory) {
        segment.disk_bytes.fetch_add(directory.bytes, Relaxed);
        self.shared.counters.disk_bytes.fetch_add(directory.bytes, Relaxed);
        for (s, head) in sealed.iter().zip(directory.parts) {
            let writer = &mut self.writers[s.writer];
            self.shared.keep_section(segment, &writer.room.key, s.section.clone());
            let mut view = writer.room.view();
            if let Some(run) = view.runs.iter_mut().rfind(|run| run.segment.id == segment.id) {
                run.source = head.source;
            }
            drop(view);
            if let Some(source) = head.dedup {
                writer.sources.push((segment.clone(), source));
            }
        }
    }
}
