//! The sidecar of a sealed segment: which rooms and channels it holds and where each record lies.
//!
//! ```text
//! preamble (64 bytes) · directory · sections (the slots of a room; the deduplication data of a room)
//! ```
//! Opening the log reads directories only; a section is read when a reader needs it. Each part has its own checksum.
//! Invariant: a sidecar can always be made again from its segment; one that does not check is as good as none.

use super::dedup::PartDedup;
use super::fields::{Fields, Put};
use super::format::{Tail, put_room, read_room, sidecar_path};
use super::lineage::Lineage;
use super::part::{ChannelPart, Part, Slots, put_slots, read_slots};
use crate::disk::{Disk, DiskFile};
use arqon_core::{ChannelName, RoomKey, Timestamp};
use crc32c::crc32c;
use std::io;
use std::sync::Arc;

const MAGIC: u64 = u64::from_le_bytes(*b"ARQIDX\x00\x01");
pub(crate) const PREAMBLE: usize = 64;
/// The first read of an opening; most directories are whole in it.
const FIRST_READ: usize = 64 << 10;

/// What readers need of a part.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub slots: Slots,
    pub channels: Vec<ChannelName>,
    /// It was made again from a damaged segment: what is missing in it is damaged.
    pub damaged: bool,
}

impl Section {
    pub fn of(part: &Part) -> Self {
        let channels = part.channels.iter().map(|c| c.name.clone()).collect();
        Section { slots: part.slots.clone(), channels, damaged: false }
    }
    /// About how much memory it takes.
    pub fn weight(&self) -> usize {
        64 + self.slots.slots.len() * 24 + self.slots.extents.len() * 16 + self.channels.len() * 16
    }
}

/// Where a section lies in the sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub at: u64,
    pub len: u32,
    pub crc: u32,
}

impl Place {
    fn put(&self, out: &mut Vec<u8>) {
        out.u64(self.at);
        out.u32(self.len);
        out.u32(self.crc);
    }
    fn read(f: &mut Fields<'_>) -> Option<Self> {
        Some(Place { at: f.u64()?, len: f.u32()?, crc: f.u32()? })
    }
    /// The bytes of the section, if they are what was written.
    pub fn load(&self, file: &dyn DiskFile) -> io::Result<Option<Vec<u8>>> {
        // Asked first, so that a wrong length does not ask for memory.
        if self.at.saturating_add(u64::from(self.len)) > file.size()? {
            return Ok(None);
        }
        let mut bytes = vec![0; self.len as usize];
        let n = file.read_at(&mut bytes, self.at)?;
        Ok((n == bytes.len() && crc32c(&bytes) == self.crc).then_some(bytes))
    }
}

/// Where the slots of a part are.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Sidecar(Place),
    Memory(Arc<Section>),
}

/// Where the deduplication data of a part is.
#[derive(Debug, Clone)]
pub(crate) enum DedupSource {
    Sidecar(Place),
    Memory(Arc<PartDedup>),
}

/// What a directory says of one room.
#[derive(Debug, Clone)]
pub(crate) struct PartHead {
    pub key: Arc<RoomKey>,
    pub lineage: Lineage,
    pub start: u64,
    pub end: u64,
    pub first_pos: u64,
    pub last_pos: u64,
    pub max_at: Timestamp,
    pub bytes: u64,
    pub records: u64,
    /// First and last offset; both 0 when there is no record.
    pub first: u64,
    pub last: u64,
    pub damaged: Vec<(u64, u64)>,
    pub channels: Vec<ChannelPart>,
    pub source: Source,
    pub dedup: Option<DedupSource>,
}

impl PartHead {
    /// The head of a part that is in memory.
    pub fn of(part: &Part, dedup: &PartDedup) -> Self {
        let mut head = Self::bare(part, &part.slots);
        head.source = Source::Memory(Arc::new(Section::of(part)));
        head.dedup = (!dedup.is_empty()).then(|| DedupSource::Memory(Arc::new(dedup.clone())));
        head
    }

    /// The head of a part whose slots are elsewhere.
    pub fn bare(part: &Part, slots: &Slots) -> Self {
        PartHead {
            key: part.key.clone(),
            lineage: part.lineage.clone(),
            start: part.start,
            end: part.end,
            first_pos: part.first_pos,
            last_pos: part.last_pos,
            max_at: part.max_at,
            bytes: part.bytes,
            records: slots.slots.len() as u64,
            first: slots.first().unwrap_or(0),
            last: slots.last().unwrap_or(0),
            damaged: part.damaged.clone(),
            channels: part.channels.clone(),
            source: Source::Sidecar(Place::default()),
            dedup: None,
        }
    }
}

/// What a directory says of its segment.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    /// The end of the segment's last block.
    pub tail: Tail,
    pub created_at: Timestamp,
    pub max_at: Timestamp,
    /// Stretches of the file in which nothing could be read.
    pub regions: Vec<(u64, u64)>,
    pub parts: Vec<PartHead>,
    /// The length of the sidecar file.
    pub bytes: u64,
}

/// Which segment a sidecar is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub log_id: u64,
    pub segment: u64,
    pub generation: u32,
}

/// What a sidecar is made of.
pub(crate) struct Contents<'a> {
    pub identity: Identity,
    pub tail: Tail,
    pub created_at: Timestamp,
    pub regions: &'a [(u64, u64)],
    pub parts: Vec<PartContents<'a>>,
}

/// What a sidecar says of one room.
pub(crate) struct PartContents<'a> {
    pub part: &'a Part,
    /// Its slots, which are shared with readers by the time that the sidecar is written.
    pub slots: &'a Slots,
    /// Its deduplication data, encoded; empty if there is none.
    pub dedup: Vec<u8>,
}

/// Writes a sidecar in place of any that is there, and answers with its directory.
pub(crate) fn write(disk: &dyn Disk, contents: &Contents<'_>) -> io::Result<Directory> {
    let (bytes, directory) = encode(contents);
    let path = sidecar_path(contents.identity.segment, contents.identity.generation);
    let temporary = format!("{path}.tmp");
    let file = disk.create(&temporary)?;
    file.write_at(&bytes, 0)?;
    file.sync_data()?;
    disk.rename(&temporary, &path)?;
    disk.sync_dir("log")?;
    Ok(directory)
}

fn encode(contents: &Contents<'_>) -> (Vec<u8>, Directory) {
    let mut sections = Vec::new();
    let mut heads = Vec::with_capacity(contents.parts.len());
    for PartContents { part, slots, dedup } in &contents.parts {
        let mut head = PartHead::bare(part, slots);
        head.source = Source::Sidecar(section(&mut sections, |out| put_section(out, part, slots)));
        head.dedup = (!dedup.is_empty())
            .then(|| DedupSource::Sidecar(section(&mut sections, |out| out.extend_from_slice(dedup))));
        heads.push(head);
    }
    let max_at = heads.iter().map(|h| h.max_at).max().unwrap_or_default();
    let mut directory = Directory {
        tail: contents.tail,
        created_at: contents.created_at,
        max_at,
        regions: contents.regions.to_vec(),
        parts: heads,
        bytes: 0,
    };
    let body = put_directory(&directory);
    let base = (PREAMBLE + body.len()) as u64;
    directory.bytes = base + sections.len() as u64;
    rebase(&mut directory, base);
    let mut out = Vec::with_capacity(directory.bytes as usize);
    out.u64(MAGIC);
    out.u64(contents.identity.log_id);
    out.u64(contents.identity.segment);
    out.u32(contents.identity.generation);
    out.u32(body.len() as u32);
    out.u32(crc32c(&body));
    out.u64(directory.bytes);
    let crc = crc32c(&out);
    out.u32(crc);
    out.resize(PREAMBLE, 0);
    out.extend_from_slice(&body);
    out.extend_from_slice(&sections);
    (out, directory)
}

fn section(sections: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Place {
    let at = sections.len();
    write(sections);
    Place { at: at as u64, len: (sections.len() - at) as u32, crc: crc32c(&sections[at..]) }
}

fn put_section(out: &mut Vec<u8>, part: &Part, slots: &Slots) {
    out.num(part.channels.len() as u64);
    part.channels.iter().for_each(|c| out.text(c.name.as_str()));
    put_slots(out, slots);
}

/// Reads the section of a part.
pub(crate) fn read_section(bytes: &[u8]) -> Option<Section> {
    let mut f = Fields(bytes);
    let n = f.count(2)?;
    let mut channels = Vec::with_capacity(n);
    for _ in 0..n {
        channels.push(ChannelName::parse(f.text()?).ok()?);
    }
    Some(Section { slots: read_slots(f.0, n)?, channels, damaged: false })
}

/// Sections are placed from the end of the directory; in memory, from the beginning of the file.
fn rebase(directory: &mut Directory, base: u64) {
    for head in &mut directory.parts {
        if let Source::Sidecar(place) = &mut head.source {
            place.at = place.at.saturating_add(base);
        }
        if let Some(DedupSource::Sidecar(place)) = &mut head.dedup {
            place.at = place.at.saturating_add(base);
        }
    }
}

fn put_ranges(out: &mut Vec<u8>, ranges: &[(u64, u64)]) {
    out.num(ranges.len() as u64);
    for (from, to) in ranges {
        out.num(*from);
        out.num(*to);
    }
}

fn read_ranges(f: &mut Fields<'_>) -> Option<Vec<(u64, u64)>> {
    let n = f.count(2)?;
    (0..n).map(|_| Some((f.counted()?, f.counted()?)).filter(|(from, to)| from <= to)).collect()
}

fn put_directory(directory: &Directory) -> Vec<u8> {
    let mut out = Vec::new();
    directory.tail.put(&mut out);
    out.num(directory.created_at.0);
    out.num(directory.max_at.0);
    put_ranges(&mut out, &directory.regions);
    out.num(directory.parts.len() as u64);
    for head in &directory.parts {
        put_head(&mut out, head);
    }
    out
}

fn put_head(out: &mut Vec<u8>, head: &PartHead) {
    put_room(out, &head.key, &head.lineage);
    for n in [head.start, head.end, head.first_pos, head.last_pos, head.max_at.0] {
        out.num(n);
    }
    for n in [head.bytes, head.records, head.first, head.last] {
        out.num(n);
    }
    put_ranges(out, &head.damaged);
    out.num(head.channels.len() as u64);
    for c in &head.channels {
        out.text(c.name.as_str());
        [c.records, c.bytes, c.first, c.last, c.last_at.0].into_iter().for_each(|n| out.num(n));
    }
    if let Source::Sidecar(place) = &head.source {
        place.put(out);
    }
    match &head.dedup {
        Some(DedupSource::Sidecar(place)) => place.put(out),
        _ => Place::default().put(out),
    }
}

fn read_head(f: &mut Fields<'_>) -> Option<PartHead> {
    let (key, lineage) = read_room(f)?;
    let (start, end, first_pos, last_pos) = (f.counted()?, f.counted()?, f.counted()?, f.counted()?);
    let max_at = Timestamp(f.num()?);
    let (bytes, records, first, last) = (f.counted()?, f.counted()?, f.counted()?, f.counted()?);
    // Each record has an offset of its own. No writer says otherwise, and what is built on it subtracts.
    if records > 0 && last.checked_sub(first).is_none_or(|span| records - 1 > span) {
        return None;
    }
    let damaged = read_ranges(f)?;
    let n = f.count(7)?;
    let mut channels = Vec::with_capacity(n);
    for _ in 0..n {
        channels.push(ChannelPart {
            name: ChannelName::parse(f.text()?).ok()?,
            records: f.counted()?,
            bytes: f.counted()?,
            first: f.counted()?,
            last: f.counted()?,
            last_at: Timestamp(f.num()?),
        });
    }
    let source = Source::Sidecar(Place::read(f)?);
    let dedup = Place::read(f).map(|place| (place.len > 0).then_some(DedupSource::Sidecar(place)))?;
    Some(PartHead {
        key,
        lineage,
        start,
        end,
        first_pos,
        last_pos,
        max_at,
        bytes,
        records,
        first,
        last,
        damaged,
        channels,
        source,
        dedup,
    })
}

/// What a sidecar begins with.
struct Preamble {
    identity: Identity,
    /// Length and checksum of the directory behind it.
    directory: (usize, u32),
    /// The length of the whole file.
    bytes: u64,
}

impl Preamble {
    fn read(bytes: &[u8]) -> Option<Preamble> {
        let mut f = Fields(bytes.get(..PREAMBLE)?);
        if f.u64()? != MAGIC {
            return None;
        }
        let identity = Identity { log_id: f.u64()?, segment: f.u64()?, generation: f.u32()? };
        let directory = (f.u32()? as usize, f.u32()?);
        let length = f.u64()?;
        let used = PREAMBLE - f.0.len();
        (f.u32()? == crc32c(&bytes[..used])).then_some(Preamble { identity, directory, bytes: length })
    }
}

/// Which log a sidecar says that it is of, if its preamble is whole.
pub(crate) fn log_id(disk: &dyn Disk, segment: u64, generation: u32) -> Option<u64> {
    let file = disk.open(&sidecar_path(segment, generation)).ok()?;
    let mut head = [0; PREAMBLE];
    let n = file.read_at(&mut head, 0).ok()?;
    let identity = Preamble::read(&head[..n])?.identity;
    (identity.segment == segment).then_some(identity.log_id)
}

/// Reads the directory of a sidecar; `None` when there is none that can be believed.
pub(crate) fn open(disk: &dyn Disk, identity: Identity) -> Option<Directory> {
    let file = disk.open(&sidecar_path(identity.segment, identity.generation)).ok()?;
    let mut head = vec![0; FIRST_READ];
    let n = file.read_at(&mut head, 0).ok()?;
    head.truncate(n);
    let Preamble { identity: said, directory: (len, crc), bytes } = Preamble::read(&head)?;
    if said != identity || file.size().ok()? != bytes || len as u64 >= bytes {
        return None;
    }
    let mut body = vec![0; len];
    let have = (head.len() - PREAMBLE).min(len);
    body[..have].copy_from_slice(&head[PREAMBLE..PREAMBLE + have]);
    if file.read_at(&mut body[have..], (PREAMBLE + have) as u64).ok()? != len - have || crc32c(&body) != crc {
        return None;
    }
    let mut directory = Directory { bytes, ..read_directory(&body)? };
    rebase(&mut directory, (PREAMBLE + len) as u64);
    Some(directory)
}

/// Reads a directory whose checksum held; the length of its file is not in it.
pub(crate) fn read_directory(body: &[u8]) -> Option<Directory> {
    let mut f = Fields(body);
    let tail = Tail::read(&mut f)?;
    let (created_at, max_at) = (Timestamp(f.num()?), Timestamp(f.num()?));
    let regions = read_ranges(&mut f)?;
    let n = f.count(40)?;
    let parts = (0..n).map(|_| read_head(&mut f)).collect::<Option<Vec<_>>>()?;
    Some(Directory { tail, created_at, max_at, regions, parts, bytes: 0 })
}
