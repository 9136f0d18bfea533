//! Rewrites a segment that is mostly dead: what is kept goes into a new file with the same number, the same rooms and the
//! same offsets.
//!
//! Invariant: it changes nothing that readers or the committer see; the committer installs the outcome. A record that
//! does not check stops it, for then the old file is evidence.

use super::format::{
    BLOCK, BlockHeader, ENTRY, EntryHeader, EntryKind, EntryWords, PAGE, SegmentHeader, Tail, put_entry,
    put_room, segment_path,
};
use super::part::{Part, Slot};
use super::room::Segment;
use super::shared::{Missing, Shared};
use super::sidecar::{self, Contents, DedupSource, Directory, Identity, PartContents, PartHead, Section};
use super::trims::Flusher;
use crate::disk::{Disk, DiskFile};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// Bytes of a block of a rewritten segment.
const BLOCK_BYTES: usize = 1 << 20;

/// A rewriting that is to be done.
pub(crate) struct Compaction {
    pub shared: Arc<Shared>,
    pub disk: Arc<dyn Disk>,
    pub segment: Arc<Segment>,
    pub journal: Arc<Flusher>,
}

/// A rewriting that was done.
pub(crate) struct Compacted {
    pub old: Arc<Segment>,
    pub segment: Arc<Segment>,
    pub directory: Directory,
    pub parts: Vec<Part>,
}

/// A record that is kept: where it was, and which room's.
struct Kept {
    pos: u32,
    room: u32,
    offset: u64,
    slot: Slot,
}

/// The new file in the making.
struct Writer {
    file: Arc<dyn DiskFile>,
    seed: u32,
    tail: Tail,
    bytes: Vec<u8>,
    entries: u32,
    at: arqon_core::Timestamp,
}

impl Writer {
    fn flush(&mut self) -> io::Result<()> {
        if self.entries == 0 {
            return Ok(());
        }
        let len = (self.bytes.len() - BLOCK) as u32;
        let (number, count, chain) = (self.tail.block + 1, self.entries, self.tail.chain);
        let (header, crc) = BlockHeader { number, len, count, chain, at: self.at }.bytes(self.seed);
        self.bytes[..BLOCK].copy_from_slice(&header);
        self.file.write_at(&self.bytes, self.tail.end)?;
        let end = self.tail.end + self.bytes.len() as u64;
        self.tail = Tail { end, block: number, chain: crc, ..self.tail };
        self.bytes.truncate(BLOCK);
        self.entries = 0;
        Ok(())
    }

    fn put(&mut self, words: EntryWords, write: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let pos = self.tail.end + self.bytes.len() as u64;
        put_entry(&mut self.bytes, words, self.seed, write);
        self.entries += 1;
        pos
    }
}

impl Compaction {
    /// Does it; `None` when the segment is better left alone.
    pub fn run(&self) -> io::Result<Option<Compacted>> {
        let old = &self.segment;
        let identity = Identity { log_id: self.shared.log_id, segment: old.id, generation: old.generation };
        let Some(directory) = sidecar::open(&*self.disk, identity) else { return Ok(None) };
        let old_path = segment_path(old.id, old.generation);
        let (header, bytes) = load(&*self.disk.open(&old_path)?, old.used.load(Relaxed))?;
        let Some(header) = header else { return Ok(None) };
        let Some((mut parts, kept)) = self.choose(&directory)? else { return Ok(None) };
        let generation = old.generation + 1;
        let path = segment_path(old.id, generation);
        let temporary = format!("{path}.tmp");
        let begin = Tail { end: PAGE, ..header.before };
        let mut writer = Writer {
            file: self.disk.create(&temporary)?,
            seed: old.seed,
            tail: begin,
            bytes: vec![0; BLOCK],
            entries: 0,
            at: old.created_at,
        };
        if !copy(&mut writer, &bytes, &mut parts, &kept)? {
            self.disk.remove(&temporary)?;
            old.damaged.store(true, Relaxed);
            return Ok(None);
        }
        let header = SegmentHeader { generation, file_len: writer.tail.end, ..header };
        writer.file.write_at(&header.page(), 0)?;
        writer.file.sync_data()?;
        let tail = Tail { segment: old.id, ..writer.tail };
        let directory =
            self.write_sidecar((Identity { generation, ..identity }, tail), &parts, &directory)?;
        // What it leaves out must stay known as trimmed, or it would be a hole that nobody can explain.
        self.journal.sync()?;
        self.disk.rename(&temporary, &path)?;
        self.disk.sync_dir("log")?;
        let segment = Arc::new(Segment {
            id: old.id,
            generation,
            seed: old.seed,
            created_at: old.created_at,
            used: AtomicU64::new(tail.end),
            disk_bytes: AtomicU64::new(tail.end + directory.bytes),
            live_records: AtomicU64::new(0),
            live_bytes: AtomicU64::new(0),
            damaged: AtomicBool::new(false),
            max_at: AtomicU64::new(old.max_at.load(Relaxed)),
        });
        Ok(Some(Compacted { old: old.clone(), segment, directory, parts }))
    }

    /// What is kept, in the order of the file, and the rooms, still without records.
    fn choose(&self, directory: &Directory) -> io::Result<Option<(Vec<Part>, Vec<Kept>)>> {
        let mut parts = Vec::with_capacity(directory.parts.len());
        let mut kept = Vec::new();
        for (number, head) in (0..).zip(&directory.parts) {
            let mut part = Part::new(head.key.clone(), head.lineage.clone(), head.start);
            // The last records may be among those that go; their offsets are given out all the same.
            part.end = head.end;
            let Some(room) = self.shared.room(&head.key) else { return Ok(None) };
            let run = room.view().runs.iter().find(|run| run.segment.id == self.segment.id).cloned();
            let section: Arc<Section> = match &run {
                None => Arc::default(),
                Some(run) => match self.shared.section(run, &head.key) {
                    Ok(section) => section,
                    Err(Missing::Moved) => return Ok(None),
                    Err(Missing::Disk(e)) => return Err(e),
                },
            };
            if section.damaged {
                return Ok(None);
            }
            let numbers: Vec<u32> = section.channels.iter().map(|name| part.number(name)).collect();
            let view = room.view();
            let floors: Vec<u64> = section.channels.iter().map(|name| view.floor_of(name)).collect();
            drop(view);
            for (offset, slot) in section.slots.from(0) {
                let c = slot.channel as usize;
                if offset > floors[c] {
                    let slot = Slot { channel: numbers[c], ..*slot };
                    kept.push(Kept { pos: slot.pos, room: number, offset, slot });
                }
            }
            parts.push(part);
        }
        kept.sort_unstable_by_key(|k| k.pos);
        Ok(Some((parts, kept)))
    }

    fn write_sidecar(
        &self,
        (identity, tail): (Identity, Tail),
        parts: &[Part],
        old: &Directory,
    ) -> io::Result<Directory> {
        let dedup = |head: &PartHead| -> io::Result<Vec<u8>> {
            let Some(DedupSource::Sidecar(place)) = &head.dedup else { return Ok(Vec::new()) };
            let file =
                self.disk.open(&super::format::sidecar_path(self.segment.id, self.segment.generation))?;
            Ok(place.load(&*file)?.unwrap_or_default())
        };
        let mut contents = Contents {
            identity,
            tail,
            created_at: self.segment.created_at,
            regions: &[],
            parts: Vec::with_capacity(parts.len()),
        };
        for (part, head) in parts.iter().zip(&old.parts) {
            contents.parts.push(PartContents { part, slots: &part.slots, dedup: dedup(head)? });
        }
        sidecar::write(&*self.disk, &contents)
    }
}

fn load(file: &dyn DiskFile, used: u64) -> io::Result<(Option<SegmentHeader>, Vec<u8>)> {
    // As much as there is: where the data ends comes out of another file.
    let len = used.min(file.size()?);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let n = file.read_at(&mut bytes, 0)?;
    bytes.truncate(n);
    let header = SegmentHeader::read(&bytes).filter(|(_, whole)| *whole).map(|(header, _)| header);
    Ok((header, bytes))
}

/// Copies what is kept; answers whether all of it was whole.
fn copy(writer: &mut Writer, bytes: &[u8], parts: &mut [Part], kept: &[Kept]) -> io::Result<bool> {
    introduce(writer, parts, |part| part.start);
    for k in kept {
        let pos = k.pos as usize;
        let Some(header) = bytes.get(pos..).and_then(|b| EntryHeader::read(b, writer.seed)) else {
            return Ok(false);
        };
        let body = bytes.get(pos + ENTRY..pos + ENTRY + header.len as usize).unwrap_or_default();
        if header.kind != EntryKind::Record || header.offset != k.offset || !header.holds(body) {
            return Ok(false);
        }
        let block = writer.tail.block + 1;
        let words = EntryWords { kind: EntryKind::Record, room: k.room, block, offset: k.offset };
        let pos = writer.put(words, |out| out.extend_from_slice(body));
        parts[k.room as usize].push(k.offset, Slot { pos: pos as u32, ..k.slot });
        if writer.bytes.len() >= BLOCK_BYTES {
            writer.flush()?;
        }
    }
    // The introductions a second time, as everywhere; these tell where each room ended.
    introduce(writer, parts, |part| part.end + 1);
    writer.flush()?;
    Ok(true)
}

fn introduce(writer: &mut Writer, parts: &mut [Part], next: impl Fn(&Part) -> u64) {
    let block = writer.tail.block + 1;
    for (room, part) in (0..).zip(parts) {
        let words = EntryWords { kind: EntryKind::Room, room, block, offset: next(part) };
        let pos = writer.put(words, |out| put_room(out, &part.key, &part.lineage));
        if part.first_pos == 0 {
            part.first_pos = pos;
        }
        part.last_pos = pos;
    }
}
