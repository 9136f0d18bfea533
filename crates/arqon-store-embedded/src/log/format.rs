//! The bytes of a segment file.
//!
//! ```text
//! segment   header page (4,096 bytes, the header twice) · blocks · zeros to the fixed length
//! block     header (40 bytes) · entries; one block is one flush
//! entry     header (32 bytes) · body · zeros to the next multiple of 8
//! ```
//! Integers are little-endian. Every checksum is CRC32C, begun with the log's random id and the segment's number, so
//! that bytes of another log, of another segment, or inside a payload never pass for a block or an entry. An entry's
//! header has a checksum of its own: a damaged body still tells which record it was.
//!
//! Invariant: what these functions read was written by their counterparts, or they answer `None`.

use super::fields::{COUNTED_MOST, Fields, Put};
use super::lineage::{Lineage, Span};
use arqon_core::record::Epoch;
use arqon_core::{RoomKey, RoomName, Tenant, Timestamp};
use crc32c::{crc32c, crc32c_append};
use std::sync::Arc;

/// Bytes of the header page.
pub(crate) const PAGE: u64 = 4096;
/// Bytes of a block's header.
pub(crate) const BLOCK: usize = 40;
/// Bytes of an entry's header.
pub(crate) const ENTRY: usize = 32;
/// No record is shorter than this on disk: what bounds how many records a damaged stretch can have held.
pub(crate) const RECORD_LEAST: u64 = 64;

const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"ARQLOG\x00\x01");
pub(crate) const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"ABLK");
const ENTRY_MAGIC: u16 = 0xA7E1;
/// Where the second copy of the header lies in its page.
pub(crate) const COPY: usize = 2048;

/// Where the log stood at some moment: the end of its last good block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tail {
    /// The segment; 0 before the first.
    pub segment: u64,
    /// Where in the file the next block would have begun.
    pub end: u64,
    /// The number of the last block; 0 before the first.
    pub block: u64,
    /// The checksum of that block's header.
    pub chain: u32,
}

impl Tail {
    pub fn put(&self, out: &mut Vec<u8>) {
        out.u64(self.segment);
        out.u64(self.end);
        out.u64(self.block);
        out.u32(self.chain);
    }
    pub fn read(f: &mut Fields<'_>) -> Option<Self> {
        let tail = Tail { segment: f.u64()?, end: f.u64()?, block: f.u64()?, chain: f.u32()? };
        [tail.segment, tail.end, tail.block].iter().all(|n| *n < COUNTED_MOST).then_some(tail)
    }
}

/// What a segment file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The log's random id.
    pub log_id: u64,
    /// The number of the segment, from 1.
    pub segment: u64,
    /// How often it was rewritten by compaction.
    pub generation: u32,
    /// The fixed length of the file.
    pub file_len: u64,
    /// When it was begun.
    pub created_at: Timestamp,
    /// Where the log stood when this segment was begun. What lies after that in the segment before is void.
    pub before: Tail,
}

impl SegmentHeader {
    /// The header page.
    pub fn page(&self) -> Vec<u8> {
        let mut one = Vec::with_capacity(96);
        one.u64(SEGMENT_MAGIC);
        one.u64(self.log_id);
        one.u64(self.segment);
        one.u32(self.generation);
        one.u64(self.file_len);
        one.u64(self.created_at.0);
        self.before.put(&mut one);
        let crc = crc32c(&one);
        one.u32(crc);
        let mut page = vec![0; PAGE as usize];
        page[..one.len()].copy_from_slice(&one);
        page[COPY..COPY + one.len()].copy_from_slice(&one);
        page
    }

    /// Reads either copy of the header, and says whether both are whole.
    pub fn read(page: &[u8]) -> Option<(Self, bool)> {
        let first = Self::read_one(page);
        let second = page.get(COPY..).and_then(Self::read_one);
        let whole = first.is_some() && second.is_some();
        first.or(second).map(|header| (header, whole))
    }

    fn read_one(bytes: &[u8]) -> Option<Self> {
        let mut f = Fields(bytes);
        if f.u64()? != SEGMENT_MAGIC {
            return None;
        }
        let header = SegmentHeader {
            log_id: f.u64()?,
            segment: f.u64()?,
            generation: f.u32()?,
            file_len: f.u64()?,
            created_at: Timestamp(f.u64()?),
            before: Tail::read(&mut f)?,
        };
        let used = bytes.len() - f.0.len();
        (f.u32()? == crc32c(&bytes[..used])).then_some(header)
    }
}

/// What every checksum of a segment begins with.
pub(crate) fn seed(log_id: u64, segment: u64) -> u32 {
    crc32c_append(crc32c(&log_id.to_le_bytes()), &segment.to_le_bytes())
}

/// The header of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    /// Its number; each block's is one more than the one before.
    pub number: u64,
    /// Bytes of its entries.
    pub len: u32,
    /// How many entries.
    pub count: u32,
    /// The checksum of the header of the block before.
    pub chain: u32,
    /// When it was written.
    pub at: Timestamp,
}

impl BlockHeader {
    /// The bytes, and their checksum, which the next block carries on.
    pub fn bytes(&self, seed: u32) -> ([u8; BLOCK], u32) {
        let mut out = Vec::with_capacity(BLOCK);
        out.u32(BLOCK_MAGIC);
        out.u32(self.len);
        out.u64(self.number);
        out.u32(self.count);
        out.u32(self.chain);
        out.u64(self.at.0);
        out.u32(0);
        let crc = crc32c_append(seed, &out);
        out.u32(crc);
        let mut bytes = [0; BLOCK];
        bytes.copy_from_slice(&out);
        (bytes, crc)
    }

    /// Reads a header and its checksum.
    pub fn read(bytes: &[u8], seed: u32) -> Option<(Self, u32)> {
        let mut f = Fields(bytes);
        if f.u32()? != BLOCK_MAGIC || bytes.len() < BLOCK {
            return None;
        }
        let len = f.u32()?;
        let (number, count, chain, at) = (f.u64()?, f.u32()?, f.u32()?, Timestamp(f.u64()?));
        f.u32()?;
        let crc = f.u32()?;
        let good = number < COUNTED_MOST && crc == crc32c_append(seed, &bytes[..BLOCK - 4]);
        good.then_some((BlockHeader { number, len, count, chain, at }, crc))
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A stored message.
    Record,
    /// The introduction of a room: its names, its lineage, and the offset that its next record gets.
    Room,
}

/// The header of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    /// Bytes of the body.
    pub len: u32,
    /// What it is.
    pub kind: EntryKind,
    /// The number of the room in this segment.
    pub room: u32,
    /// The low half of the number of its block.
    pub block: u32,
    /// The record's offset (or the next one's, in an introduction).
    pub offset: u64,
    header_crc: u32,
    body_crc: u32,
}

/// The bytes that an entry with such a body takes.
pub(crate) const fn entry_bytes(body: usize) -> usize {
    (ENTRY + body).next_multiple_of(8)
}

impl EntryHeader {
    /// Bytes of the whole entry.
    pub fn total(&self) -> u64 {
        entry_bytes(self.len as usize) as u64
    }

    /// Reads a header; `None` unless its own checksum holds.
    pub fn read(bytes: &[u8], seed: u32) -> Option<Self> {
        let mut f = Fields(bytes.get(..ENTRY)?);
        let len = f.u32()?;
        let word = f.u32()?;
        if word >> 16 != u32::from(ENTRY_MAGIC) {
            return None;
        }
        let kind = match word & 0xFFFF {
            1 => EntryKind::Record,
            2 => EntryKind::Room,
            _ => return None,
        };
        let (room, block, offset) = (f.u32()?, f.u32()?, f.u64()?);
        let (header_crc, body_crc) = (f.u32()?, f.u32()?);
        let good = offset < COUNTED_MOST && header_crc == crc32c_append(seed, &bytes[..ENTRY - 8]);
        good.then_some(EntryHeader { len, kind, room, block, offset, header_crc, body_crc })
    }

    /// Whether the body is what was written.
    pub fn holds(&self, body: &[u8]) -> bool {
        body.len() == self.len as usize && crc32c_append(self.header_crc, body) == self.body_crc
    }
}

/// What an entry says of itself, when it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntryWords {
    pub kind: EntryKind,
    pub room: u32,
    pub block: u64,
    pub offset: u64,
}

/// Appends an entry whose body `write` appends; answers the length of the body.
pub(crate) fn put_entry(
    out: &mut Vec<u8>,
    words: EntryWords,
    seed: u32,
    write: impl FnOnce(&mut Vec<u8>),
) -> u32 {
    let start = out.len();
    out.resize(start + ENTRY, 0);
    write(out);
    let len = u32::try_from(out.len() - start - ENTRY).unwrap_or(u32::MAX);
    out.resize(start + entry_bytes(len as usize), 0);
    let kind = match words.kind {
        EntryKind::Record => 1,
        EntryKind::Room => 2,
    };
    let (header, body) = out[start..].split_at_mut(ENTRY);
    header[0..4].copy_from_slice(&len.to_le_bytes());
    header[4..8].copy_from_slice(&((u32::from(ENTRY_MAGIC) << 16) | kind).to_le_bytes());
    header[8..12].copy_from_slice(&words.room.to_le_bytes());
    header[12..16].copy_from_slice(&(words.block as u32).to_le_bytes());
    header[16..24].copy_from_slice(&words.offset.to_le_bytes());
    let header_crc = crc32c_append(seed, &header[..24]);
    header[24..28].copy_from_slice(&header_crc.to_le_bytes());
    let body_crc = crc32c_append(header_crc, &body[..len as usize]);
    header[28..32].copy_from_slice(&body_crc.to_le_bytes());
    len
}

/// Appends a room's names and lineage: the body of an introduction.
pub(crate) fn put_room(out: &mut Vec<u8>, key: &RoomKey, lineage: &Lineage) {
    out.text(key.tenant().as_str());
    out.text(key.room().as_str());
    out.num(lineage.spans().len() as u64);
    for span in lineage.spans() {
        out.u64(span.epoch.0);
        out.u64(span.first);
    }
}

/// Reads a room's names and lineage.
pub(crate) fn read_room(f: &mut Fields<'_>) -> Option<(Arc<RoomKey>, Lineage)> {
    let tenant = Tenant::parse(f.text()?).ok()?;
    let room = RoomName::parse(f.text()?).ok()?;
    let count = f.count(16)?;
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        spans.push(Span { epoch: Epoch(f.u64()?), first: f.u64().filter(|n| *n < COUNTED_MOST)? });
    }
    Some((Arc::new(RoomKey::new(tenant, room)), Lineage::from_spans(spans)?))
}

/// The path of a segment's data.
pub(crate) fn segment_path(segment: u64, generation: u32) -> String {
    name(segment, generation, "seg")
}

/// The path of a segment's sidecar.
pub(crate) fn sidecar_path(segment: u64, generation: u32) -> String {
    name(segment, generation, "idx")
}

fn name(segment: u64, generation: u32, kind: &str) -> String {
    match generation {
        0 => format!("log/{segment:016}.{kind}"),
        g => format!("log/{segment:016}.{g}.{kind}"),
    }
}

/// The segment and generation that a file's name says, with its kind (`seg` or `idx`).
pub(crate) fn parse_name(name: &str) -> Option<(u64, u32, &str)> {
    let mut parts = name.split('.');
    let number = parts.next().filter(|n| n.len() == 16)?.parse().ok().filter(|n| *n > 0)?;
    let rest: Vec<&str> = parts.collect();
    match rest[..] {
        [kind @ ("seg" | "idx")] => Some((number, 0, kind)),
        [g, kind @ ("seg" | "idx")] => Some((number, g.parse().ok().filter(|g| *g > 0)?, kind)),
        _ => None,
    }
}
