//! Seals segments: what they hold becomes runs that readers find in memory at once; the sidecar is written by whoever has
//! the time, and the runs then point to it.
//!
//! Invariant: a sealed segment is complete without its sidecar (the next opening makes a missing one again), and no
//! segment is rewritten or deleted while its sidecar is on its way.

use super::Engine;
use crate::disk::Disk;
use crate::log::dedup::PartDedup;
use crate::log::format::{Tail, sidecar_path};
use crate::log::part::Part;
use crate::log::room::Segment;
use crate::log::sidecar::{
    self, Contents, DedupSource, Directory, Identity, PartContents, PartHead, Section, Source,
};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Sidecars that may wait to be written; beyond it the committer writes one itself, so that memory stays bounded.
const WAITING: usize = 2;

/// What is left of a room's active part while its sidecar is written.
struct Sealed {
    writer: usize,
    part: Part,
    section: Arc<Section>,
    dedup: Option<Arc<PartDedup>>,
}

/// A sidecar that is to be written.
pub(crate) struct SidecarJob {
    disk: Arc<dyn Disk>,
    identity: Identity,
    tail: Tail,
    segment: Arc<Segment>,
    sealed: Vec<Sealed>,
}

/// A sidecar that was written, or could not be.
pub(crate) struct SidecarDone {
    job: SidecarJob,
    written: io::Result<Directory>,
}

impl SidecarJob {
    pub fn is_of(&self, segment: u64) -> bool {
        self.segment.id == segment
    }

    /// Does it.
    pub fn run(self) -> SidecarDone {
        let parts = self.sealed.iter().map(|s| PartContents {
            part: &s.part,
            slots: &s.section.slots,
            dedup: s.dedup.as_ref().map_or_else(Vec::new, |dedup| dedup.encoded()),
        });
        let contents = Contents {
            identity: self.identity,
            tail: self.tail,
            created_at: self.segment.created_at,
            regions: &[],
            parts: parts.collect(),
        };
        let written = sidecar::write(&*self.disk, &contents);
        drop(contents);
        SidecarDone { job: self, written }
    }
}

impl Engine {
    /// Turns the active parts into runs that readers find in memory, and puts the sidecar in line.
    pub(super) fn seal(&mut self) {
        self.drop_block();
        self.echo.clear();
        let Some(active) = self.active.take() else { return };
        active.file.end_appends();
        let segment = active.segment;
        let sealed = active.introduced.iter().filter_map(|w| self.close_part(*w, &segment)).collect();
        let identity = Identity { log_id: self.shared.log_id, segment: segment.id, generation: 0 };
        let job = SidecarJob { disk: self.disk.clone(), identity, tail: self.tail, segment, sealed };
        self.unsettled.insert(identity.segment);
        self.sidecars.push_back(job);
        while self.sidecars.len() > WAITING {
            self.write_sidecar();
        }
    }

    fn close_part(&mut self, w: usize, segment: &Arc<Segment>) -> Option<Sealed> {
        let writer = &mut self.writers[w];
        writer.number = None;
        let fresh = std::mem::take(&mut writer.fresh);
        let dedup = (!fresh.is_empty()).then(|| Arc::new(fresh));
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
        if let Some(dedup) = &dedup {
            writer.sources.push((segment.clone(), DedupSource::Memory(dedup.clone())));
        }
        Some(Sealed { writer: w, part, section, dedup })
    }

    /// Whether a sidecar waits to be written.
    pub(crate) fn has_sidecars(&self) -> bool {
        !self.sidecars.is_empty()
    }

    /// The next sidecar to write, for a thread that has the time.
    pub(crate) fn sidecar(&mut self) -> Option<SidecarJob> {
        self.sidecars.pop_front()
    }

    /// Writes the next sidecar here and now; answers whether there was one.
    pub(super) fn write_sidecar(&mut self) -> bool {
        let Some(job) = self.sidecars.pop_front() else { return false };
        self.settle_sidecar(job.run());
        true
    }

    /// Points the runs of a segment to its sidecar. Without one everything stays in memory.
    pub(crate) fn settle_sidecar(&mut self, done: SidecarDone) {
        let SidecarDone { job, written } = done;
        let segment = &job.segment;
        self.unsettled.remove(&segment.id);
        // It may be worth deleting or rewriting now.
        self.trimmed = true;
        self.sparse = true;
        let directory = match written {
            Ok(directory) => directory,
            Err(error) => {
                tracing::warn!(segment = segment.id, %error, "sidecar could not be written");
                return;
            }
        };
        if !self.segments.get(&segment.id).is_some_and(|s| Arc::ptr_eq(s, segment)) {
            self.remove_file(&sidecar_path(segment.id, segment.generation), 0);
            return;
        }
        segment.disk_bytes.fetch_add(directory.bytes, Relaxed);
        self.shared.counters.disk_bytes.fetch_add(directory.bytes, Relaxed);
        for (s, head) in job.sealed.iter().zip(directory.parts) {
            let writer = &mut self.writers[s.writer];
            self.shared.keep_section(segment, &writer.room.key, s.section.clone());
            let mut view = writer.room.view();
            if let Some(run) = view.runs.iter_mut().rfind(|run| run.segment.id == segment.id) {
                run.source = head.source;
            }
            drop(view);
            let held = writer.sources.iter_mut().rfind(|(kept, _)| kept.id == segment.id);
            if let (Some(source), Some((_, held))) = (head.dedup, held) {
                *held = source;
            }
        }
    }
}
